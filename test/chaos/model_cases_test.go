//go:build chaos

package chaos

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// settledAs returns a settled PipelineJob.
func settledAs(phase v1alpha1.Phase, why string) *v1alpha1.PipelineJob {
	job := &v1alpha1.PipelineJob{}
	job.Settle(metav1.Now())
	job.Status.Phase = phase
	if why != "" {
		job.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionFailed, Status: metav1.ConditionTrue, Message: why}}
	}
	return job
}

// TestModel checks facts against the model: two correct jobs, and each way to break it.
func TestModel(t *testing.T) {
	failure := verdict{execution: types.PipelineExecutionStatusFailed, action: types.ActionExecutionStatusFailed, code: "JobFailed", message: "step work ended with exit code 3"}
	cancelled := failure
	cancelled.message = cancelledMessage + "x was deleted"
	success := func() facts {
		return facts{
			number: 7, plan: plan{runs: []run{{ends: continues}, {ends: succeeds}}},
			verdict:    verdict{execution: types.PipelineExecutionStatusSucceeded, action: types.ActionExecutionStatusSucceeded, outputs: outputsOf(7, 2)},
			executions: []execution{{run: 1, job: "a", pod: "p", ended: continues}, {run: 2, job: "b", pod: "q", token: tokenOf(7, 1), ended: succeeds}},
			deeds:      map[deed]bool{}, objects: []*v1alpha1.PipelineJob{settledAs(v1alpha1.PhaseSucceeded, "")},
		}
	}
	failed := func(f *facts) {
		f.plan.runs[1].ends, f.executions[1].ended = fails, fails
		f.verdict, f.objects = failure, []*v1alpha1.PipelineJob{settledAs(v1alpha1.PhaseFailed, "exit code 3")}
	}
	for name, c := range map[string]struct {
		change func(*facts)
		want   []string
	}{
		"a success": {func(*facts) {}, nil},
		"a failure": {failed, nil},
		"another pod of the same Job": {func(f *facts) {
			f.executions = append(f.executions, execution{run: 1, job: "a", pod: "r", ended: continues})
		}, nil},
		"still in progress": {func(f *facts) {
			f.verdict = verdict{execution: types.PipelineExecutionStatusInProgress, action: types.ActionExecutionStatusInProgress}
		}, []string{"lost", "PipelineJob  is Succeeded"}},
		"two Jobs of a run":             {func(f *facts) { f.executions = append(f.executions, execution{run: 1, job: "c", ended: continues}) }, []string{"run twice: the step of run 1"}},
		"a third run":                   {func(f *facts) { f.executions = append(f.executions, execution{run: 3, job: "c", token: tokenOf(7, 2)}) }, []string{"nothing asked for it"}},
		"another token":                 {func(f *facts) { f.executions[1].token = "x" }, []string{`run 2 was given the continuation token "x"`}},
		"a token in run 1":              {func(f *facts) { f.executions[0].token = "x" }, []string{"run 1 was given the continuation token"}},
		"a run that was killed goes on": {func(f *facts) { f.executions[0].ended = "" }, []string{"run 1 did not ask for it"}},
		"a success of a failure":        {func(f *facts) { f.executions[1].ended = fails }, []string{"a wrong success: the step"}},
		"a success of nothing":          {func(f *facts) { f.executions = nil }, []string{"a wrong success: the step"}},
		"other outputs":                 {func(f *facts) { f.verdict.outputs = outputsOf(8, 2) }, []string{"a wrong success: its output"}},
		"a failure of a success":        {func(f *facts) { failed(f); f.executions[1].ended = succeeds }, []string{"a wrong failure: the step did not fail"}},
		"a failure for another reason":  {func(f *facts) { failed(f); f.verdict.message = "the Job was deleted" }, []string{"a failure for another reason"}},
		"a cancellation": {func(f *facts) {
			f.verdict, f.objects, f.deeds[deletes] = cancelled, []*v1alpha1.PipelineJob{settledAs(v1alpha1.PhaseCancelled, "deleted")}, true
		}, nil},
		"a cancellation that nobody asked for": {func(f *facts) {
			f.verdict, f.objects = cancelled, []*v1alpha1.PipelineJob{settledAs(v1alpha1.PhaseCancelled, "deleted")}
		}, []string{"no user deleted"}},
		"abandoned":                 {func(f *facts) { f.verdict.action, f.deeds[abandons] = types.ActionExecutionStatusAbandoned, true }, nil},
		"abandoned by nobody":       {func(f *facts) { f.verdict.action = types.ActionExecutionStatusAbandoned }, []string{"no user did that"}},
		"never begun":               {func(f *facts) { f.verdict.action, f.deeds[stops] = "", true }, nil},
		"never begun, unasked":      {func(f *facts) { f.verdict.action = "" }, []string{"no user stopped it"}},
		"the object says failed":    {func(f *facts) { f.objects = []*v1alpha1.PipelineJob{settledAs(v1alpha1.PhaseFailed, "x")} }, []string{"is Failed, but the action"}},
		"the object says cancelled": {func(f *facts) { f.objects = []*v1alpha1.PipelineJob{settledAs(v1alpha1.PhaseCancelled, "x")} }, []string{"is Cancelled, but the action"}},
		"a dropped object that worked": {func(f *facts) {
			f.objects = []*v1alpha1.PipelineJob{settledAs(v1alpha1.PhaseDropped, "x")}
			f.objects[0].Status.Run = &v1alpha1.Run{}
		}, []string{"is Dropped, but the action"}},
		"a dropped object besides":   {func(f *facts) { f.objects = append(f.objects, settledAs(v1alpha1.PhaseDropped, "x")) }, nil},
		"a failure without a reason": {func(f *facts) { failed(f); f.objects[0].Status.Conditions = nil }, []string{"no condition says why"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := success()
			c.change(&f)
			var want []any
			for _, text := range c.want {
				want = append(want, ContainSubstring(text))
			}
			NewWithT(t).Expect(f.violations()).To(ConsistOf(want...))
		})
	}
}

// TestPlansFollowFromTheSeed: a seed always results in the same plans, and in plans of all kinds.
func TestPlansFollowFromTheSeed(t *testing.T) {
	g := NewWithT(t)
	ofKind, ofDeed, ends := map[kind]int{}, map[deed]int{}, map[ending]int{}
	for number := range 1000 {
		p := planOf(1, number)
		g.Expect(planOf(1, number)).To(Equal(p))
		ofKind[p.kind]++
		ofDeed[p.deed]++
		ends[p.end()]++
	}
	g.Expect(ofKind).To(HaveLen(len(kinds)))
	g.Expect(ofDeed).To(HaveLen(5))
	g.Expect(ends).To(HaveLen(2), "no plan ends with a continuation")
	g.Expect(planOf(2, 1)).NotTo(Equal(planOf(1, 1)))
	g.Expect(disruptionsOf(1, 10_000)).To(HaveLen(140))
	g.Expect(disruptionsOf(1, 10_000)).To(Equal(disruptionsOf(1, 10_000)))
}
