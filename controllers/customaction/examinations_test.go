package customaction

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestGoodExaminationOutlastsWhatPasses has an examination fail after one that succeeded.
func TestGoodExaminationOutlastsWhatPasses(t *testing.T) {
	broken := errors.New("broken")
	fine := examined{registration: finding{reason: v1alpha1.ReasonRegistered}, arn: "arn"}
	for name, c := range map[string]struct {
		found      finding
		generation int64
		kept       bool
	}{
		"throttled":                  {finding{reason: v1alpha1.ReasonAWSUnavailable, err: broken, retry: true}, 1, true},
		"no credentials for now":     {finding{reason: v1alpha1.ReasonCredentialsUnavailable, err: broken, retry: true}, 1, true},
		"no answer to the dry run":   {finding{reason: v1alpha1.ReasonAPIServerUnavailable, err: broken, retry: true}, 1, true},
		"throttled, but has changed": {finding{reason: v1alpha1.ReasonAWSUnavailable, err: broken, retry: true}, 2, false},
		"access was revoked":         {finding{reason: v1alpha1.ReasonAccessDenied, err: broken, retry: true}, 1, false},
		"another definition":         {finding{reason: v1alpha1.ReasonDefinitionConflict, err: broken}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var e examinations
			now := time.Now()
			action := &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Name: "work", UID: "1", Generation: 1}}
			examine := func(result examined) examined {
				e.record(action, now, now, result)
				found, known, wait := e.of(action, now)
				g.Expect(known).To(BeTrue())
				g.Expect(wait).To(BeNumerically(">", 0), "the next examination is not due immediately")
				return found
			}
			g.Expect(examine(fine)).To(Equal(fine))
			action.Generation = c.generation
			for range 2 {
				found := examine(examined{registration: c.found})
				_, wrong := found.wrong()
				g.Expect(wrong).To(Equal(!c.kept))
				if c.kept {
					g.Expect(found.passing).To(Equal(c.found))
					g.Expect(found.arn).To(Equal("arn"))
				}
			}
			g.Expect(examine(fine)).To(Equal(fine))
		})
	}
}

func TestWhenToExamine(t *testing.T) {
	g := NewWithT(t)
	var e examinations
	now := time.Now()
	action := &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Name: "work", UID: "1", Generation: 1}}
	name := client.ObjectKeyFromObject(action)
	due := func() time.Duration {
		_, _, wait := e.of(action, now)
		return wait
	}
	_, known, wait := e.of(action, now)
	g.Expect(known).To(BeFalse())
	g.Expect(wait).To(BeZero())

	throttled := examined{registration: finding{reason: v1alpha1.ReasonAWSUnavailable, err: errors.New("throttled"), retry: true}}
	for _, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		e.record(action, now, now, throttled)
		g.Expect(due()).To(Equal(wait * time.Second))
	}
	e.recheck(name, now.Add(time.Second), now, 0)
	g.Expect(due()).To(Equal(time.Minute), "it is tried again anyway")

	e.record(action, now, now, examined{})
	g.Expect(due()).To(Equal(DriftInterval))
	e.recheck(name, now.Add(-time.Second), now, 0)
	g.Expect(due()).To(Equal(DriftInterval), "it was examined after polls began to fail")
	e.recheck(name, now.Add(time.Second), now, 0)
	g.Expect(due()).To(BeZero())
	e.record(action, now, now, examined{})
	now = now.Add(lastRetry + 1)
	e.recheck(name, now.Add(-time.Hour), now, 0)
	g.Expect(due()).To(BeZero(), "polls still fail")

	e.record(action, now, now, examined{registration: finding{err: errors.New("another definition")}})
	g.Expect(due()).To(Equal(DriftInterval), "only a change helps")
	action.Generation = 2
	_, known, wait = e.of(action, now)
	g.Expect(known).To(BeFalse())
	g.Expect(wait).To(BeZero())
}

func TestCountsAreWrittenOnceAMinute(t *testing.T) {
	g := NewWithT(t)
	var c counts
	now, name := time.Now(), types.NamespacedName{Name: "work"}
	g.Expect(c.wait(name, now)).To(BeNumerically("<=", 0))
	c.written(name, now)
	g.Expect(c.wait(name, now.Add(time.Second))).To(Equal(countEvery - time.Second))
	g.Expect(c.wait(name, now.Add(countEvery))).To(BeZero())
	c.forget(name)
	g.Expect(c.wait(name, now)).To(BeNumerically("<=", 0))

	var status v1alpha1.CustomActionStatus
	tally{inFlight: 3}.set(&status)
	g.Expect(status).To(Equal(v1alpha1.CustomActionStatus{JobsInFlight: 3}), "no poll was answered yet")
	tally{inFlight: 2, lastPoll: now}.set(&status)
	tally{inFlight: 1, lastPoll: now.Add(-time.Hour)}.set(&status)
	g.Expect(status.JobsInFlight).To(BeEquivalentTo(1))
	g.Expect(status.LastPollTime.Time).To(BeTemporally("~", now, time.Second), "it does not go back")
}

// TestTagsThatTheStatusDoesNotShowYet: such tags are removed, too, when they are no longer in the
// spec.
func TestTagsThatTheStatusDoesNotShowYet(t *testing.T) {
	g := NewWithT(t)
	now := time.Now()
	action := &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Name: "work", UID: "1", Generation: 1}}
	r := &Reconciler{}
	r.examinations.record(action, now, now, examined{tagKeys: []string{"stage", "team"}})
	action.Generation, action.Status.TagKeys = 2, []string{"cost", "team"}
	g.Expect(r.tagKeysOf(action)).To(Equal([]string{"cost", "stage", "team"}))
	action.UID = "2" // an object of the same name
	g.Expect(r.tagKeysOf(action)).To(Equal([]string{"cost", "team"}))
}
