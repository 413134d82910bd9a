package pipelinejob

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

func TestOwnWriteIsNewestUntilAnotherCanTakeOver(t *testing.T) {
	written := time.Now()
	for name, c := range map[string]struct {
		change func(*v1alpha1.PipelineJob)
		after  time.Duration
		newest bool
	}{
		"just now":                 {after: time.Second, newest: true},
		"too long ago":             {after: Takeover},
		"another version":          {change: func(job *v1alpha1.PipelineJob) { job.ResourceVersion = "2" }},
		"another object":           {change: func(job *v1alpha1.PipelineJob) { job.UID = "another" }},
		"in another namespace":     {change: func(job *v1alpha1.PipelineJob) { job.Namespace = "another" }},
		"the clock was set back":   {after: -time.Hour, newest: true},
		"an object without writes": {change: func(job *v1alpha1.PipelineJob) { job.Name = "another" }},
	} {
		t.Run(name, func(t *testing.T) {
			var w wrote
			job := version1()
			w.note(job, written)
			reading := job.DeepCopy()
			if c.change != nil {
				c.change(reading)
			}
			NewWithT(t).Expect(w.isNewest(reading, written.Add(c.after))).To(Equal(c.newest))
		})
	}
}

func TestCallIsUntriedUntilItIsTried(t *testing.T) {
	for name, c := range map[string]struct {
		then    func(*wrote, *v1alpha1.PipelineJob)
		untried bool
	}{
		"as recorded":      {then: func(*wrote, *v1alpha1.PipelineJob) {}, untried: true},
		"tried":            {then: func(w *wrote, job *v1alpha1.PipelineJob) { w.tried(job) }},
		"tried by another": {then: func(_ *wrote, job *v1alpha1.PipelineJob) { job.Status.Protocol.Call.Tries++ }},
		"written since": {untried: true, then: func(w *wrote, job *v1alpha1.PipelineJob) {
			job.ResourceVersion = "2"
			w.note(job, time.Now())
		}},
		"changed by a user": {untried: true, then: func(_ *wrote, job *v1alpha1.PipelineJob) { job.ResourceVersion = "2" }},
		"answered":          {then: func(_ *wrote, job *v1alpha1.PipelineJob) { job.Status.Protocol.Call = nil }},
		"gone":              {then: func(w *wrote, _ *v1alpha1.PipelineJob) { w.forget(client.ObjectKeyFromObject(version1())) }},
		"of a new object with the name": {then: func(w *wrote, job *v1alpha1.PipelineJob) {
			job.UID = "another"
			w.note(job, time.Now())
		}},
		"of another operator": {then: func(w *wrote, _ *v1alpha1.PipelineJob) { *w = wrote{} }},
	} {
		t.Run(name, func(t *testing.T) {
			var w wrote
			job := version1()
			w.note(job, time.Now())
			w.begun(job)
			c.then(&w, job)
			NewWithT(t).Expect(w.isUntried(job)).To(Equal(c.untried))
		})
	}
}

func TestReadingIsOutdated(t *testing.T) {
	for name, c := range map[string]struct {
		read, wrote string
		after       time.Duration
		outdated    bool
	}{
		"older":                  {read: "99", wrote: "100", outdated: true},
		"what was written":       {read: "100", wrote: "100"},
		"newer":                  {read: "1000", wrote: "999"},
		"written long ago":       {read: "99", wrote: "100", after: Takeover},
		"versions without order": {read: "a", wrote: "b"},
	} {
		t.Run(name, func(t *testing.T) {
			var w wrote
			job, now := version1(), time.Now()
			job.ResourceVersion = c.wrote
			w.note(job, now)
			job.ResourceVersion = c.read
			NewWithT(t).Expect(w.isOutdated(job, now.Add(c.after))).To(Equal(c.outdated))
			job.UID = "another"
			NewWithT(t).Expect(w.isOutdated(job, now)).To(BeFalse())
		})
	}
}

func TestWritesAreForgotten(t *testing.T) {
	g := NewWithT(t)
	var w wrote
	now := time.Now()
	waits, tried, settled := version1(), version1(), version1()
	for name, job := range map[string]*v1alpha1.PipelineJob{"waits": waits, "tried": tried, "settled": settled} {
		job.Name = name
		w.note(job, now)
		w.begun(job)
	}
	w.tried(tried)
	settled.Settle(metav1.NewTime(now))
	w.note(settled, now)
	later := version1()
	w.note(later, now.Add(Takeover))
	g.Expect(w.last).To(And(HaveLen(2), HaveKey(client.ObjectKeyFromObject(waits)), HaveKey(client.ObjectKeyFromObject(later))))
	w.begun(tried) // which is already forgotten
	g.Expect(w.last).To(HaveLen(2))
}

func version1() *v1alpha1.PipelineJob {
	job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "work", UID: "1", ResourceVersion: "1"}}
	job.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: "1", Nonce: "1"}
	job.Status.Protocol.Call = &v1alpha1.Call{Operation: operationSuccess, JobID: "1", Since: metav1.Now(), Tries: 1}
	return job
}
