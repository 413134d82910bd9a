//go:build chaos

package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"k8s.io/apimachinery/pkg/api/meta"
	k8stypes "k8s.io/apimachinery/pkg/types"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// facts are what is known about a job at the end.
type facts struct {
	number     int
	plan       plan
	verdict    verdict
	executions []execution
	deeds      map[deed]bool
	// objects are the last seen states of its PipelineJobs.
	objects []*v1alpha1.PipelineJob
}

// cancelledMessage is the beginning of the message with which a deletion is reported to
// CodePipeline.
const cancelledMessage = "cancelled: the PipelineJob "

// violations returns the violations of the model.
func (f facts) violations() []string {
	found := f.lost()
	found = append(found, f.twice()...)
	found = append(found, f.order()...)
	found = append(found, f.wrongVerdict()...)
	for _, object := range f.objects {
		found = append(found, f.wrongObject(object)...)
	}
	return found
}

// lost: the execution has not ended.
func (f facts) lost() []string {
	switch f.verdict.execution {
	case types.PipelineExecutionStatusInProgress, types.PipelineExecutionStatusStopping:
		return []string{fmt.Sprintf("lost: the execution is still %s", f.verdict.execution)}
	default:
		return nil
	}
}

// twice: the step of a run was started for more than one Job.
func (f facts) twice() (found []string) {
	jobs := map[int]map[k8stypes.UID]bool{}
	for _, e := range f.executions {
		if jobs[e.run] == nil {
			jobs[e.run] = map[k8stypes.UID]bool{}
		}
		jobs[e.run][e.job] = true
	}
	for run, of := range jobs {
		if len(of) > 1 {
			found = append(found, fmt.Sprintf("run twice: the step of run %d was started for %d Jobs: %v", run, len(of), slices.Sorted(maps.Keys(of))))
		}
	}
	return found
}

// order: each run follows from the previous one.
func (f facts) order() (found []string) {
	for _, e := range f.executions {
		switch {
		case e.run < 1 || e.run > len(f.plan.runs):
			found = append(found, fmt.Sprintf("run %d was started, and nothing asked for it", e.run))
		case e.run == 1 && e.token != "":
			found = append(found, fmt.Sprintf("run 1 was given the continuation token %q", e.token))
		case e.run > 1 && e.token != tokenOf(f.number, e.run-1):
			found = append(found, fmt.Sprintf("run %d was given the continuation token %q", e.run, e.token))
		case e.run > 1 && !f.ended(e.run-1, continues):
			found = append(found, fmt.Sprintf("run %d was started, but run %d did not ask for it", e.run, e.run-1))
		}
	}
	return found
}

// ended reports whether a run's step ended in this way.
func (f facts) ended(run int, how ending) bool {
	return slices.ContainsFunc(f.executions, func(e execution) bool { return e.run == run && e.ended == how })
}

// wrongVerdict: CodePipeline shows something other than what happened.
func (f facts) wrongVerdict() []string {
	v, last := f.verdict, len(f.plan.runs)
	switch v.action {
	case types.ActionExecutionStatusSucceeded:
		switch {
		case !f.ended(last, succeeds):
			return []string{"a wrong success: the step of the last run did not succeed"}
		case !maps.Equal(v.outputs, outputsOf(f.number, last)):
			return []string{fmt.Sprintf("a wrong success: its output variables are %v", v.outputs)}
		}
	case types.ActionExecutionStatusFailed:
		return f.wrongFailure()
	case types.ActionExecutionStatusAbandoned:
		if !f.deeds[abandons] && !f.deeds[abandonsAndSays] {
			return []string{"it was abandoned, and no user did that"}
		}
	case "":
		if !f.deeds[abandons] && !f.deeds[abandonsAndSays] && !f.deeds[stops] {
			return []string{"its action was never begun, and no user stopped it"}
		}
	case types.ActionExecutionStatusInProgress: // checked by lost
	}
	return nil
}

func (f facts) wrongFailure() []string {
	v := f.verdict
	switch {
	case strings.HasPrefix(v.message, cancelledMessage):
		if !f.deeds[deletes] {
			return []string{fmt.Sprintf("a wrong failure: no user deleted its PipelineJob: %s", v.message)}
		}
	case !f.ended(len(f.plan.runs), fails):
		return []string{fmt.Sprintf("a wrong failure: the step did not fail: %s: %s", v.code, v.message)}
	case v.code != string(v1alpha1.FailureJobFailed) || !strings.Contains(v.message, fmt.Sprintf("exit code %d", exitCode)):
		return []string{fmt.Sprintf("a failure for another reason: %s: %s", v.code, v.message)}
	}
	return nil
}

// wrongObject: a settled PipelineJob differs from CodePipeline.
func (f facts) wrongObject(job *v1alpha1.PipelineJob) []string {
	if !job.Settled() {
		return nil // it is gone, or counts as left behind
	}
	v, phase := f.verdict, job.Status.Phase
	say := func(is bool) []string {
		if is {
			return nil
		}
		return []string{fmt.Sprintf("PipelineJob %s is %s, but the action is %q: %s", job.UID, phase, v.action, v.message)}
	}
	if v.action == types.ActionExecutionStatusAbandoned || v.action == "" {
		return nil // a report whose response was lost may have arrived before that or after
	}
	found := f.unexplained(job)
	cancelled := strings.HasPrefix(v.message, cancelledMessage)
	switch phase {
	case v1alpha1.PhaseSucceeded:
		found = append(found, say(v.action == types.ActionExecutionStatusSucceeded)...)
	case v1alpha1.PhaseFailed:
		found = append(found, say(v.action == types.ActionExecutionStatusFailed && !cancelled)...)
	case v1alpha1.PhaseCancelled:
		found = append(found, say(cancelled)...)
	case v1alpha1.PhaseDropped: // it may be a record of an outdated poll, and another did the work
		found = append(found, say(job.Status.Run == nil)...)
	default:
		found = append(found, say(false)...)
	}
	return found
}

// unexplained: work did not succeed, and no condition has the reason.
func (f facts) unexplained(job *v1alpha1.PipelineJob) []string {
	if job.Status.Phase == v1alpha1.PhaseSucceeded {
		return nil
	}
	for _, kind := range []string{v1alpha1.ConditionFailed, v1alpha1.ConditionAcknowledged} {
		if said := meta.FindStatusCondition(job.Status.Conditions, kind); said != nil && said.Message != "" {
			return nil
		}
	}
	return []string{fmt.Sprintf("PipelineJob %s is %s, and no condition says why", job.UID, job.Status.Phase)}
}

// repeated returns the number of pods that started a step again for the same Job, which Kubernetes
// does, and not the operator.
func (f facts) repeated() (pods int) {
	seen := map[k8stypes.UID]bool{}
	for _, e := range f.executions {
		if seen[e.job] {
			pods++
		}
		seen[e.job] = true
	}
	return pods
}
