package pipelinejob

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/plaintext"
)

// statusWriter is writeStatus or writeAnswer.
type statusWriter func(ctx context.Context, job *v1alpha1.PipelineJob, change func(*v1alpha1.PipelineJobStatus)) error

// writeStatus applies change to the status of a PipelineJob, updates its phase, and patches
// what differs. It fails with a conflict if job is not the newest version, so that nothing is
// based on a stale cache.
func (r *Reconciler) writeStatus(ctx context.Context, job *v1alpha1.PipelineJob, change func(*v1alpha1.PipelineJobStatus)) error {
	before := job.DeepCopy()
	applyChange(job, change)
	return r.patchStatus(ctx, job, before)
}

// answerTries bounds the tries to write an answer while the object keeps changing.
const answerTries = 10

// writeAnswer is writeStatus for the answer to the call that job records as in progress. The
// answer must not be lost if the poller updates spec.codePipelineJob in the meantime, so it is
// then written to the newest version.
//
// It must not be written if the newest version no longer records the same try of the call:
// this operator was frozen during the call, and another one leads now and has continued. The
// error is then a conflict.
func (r *Reconciler) writeAnswer(ctx context.Context, job *v1alpha1.PipelineJob, change func(*v1alpha1.PipelineJobStatus)) error {
	before := job.DeepCopy()
	applyChange(job, change)
	for try := 1; ; try++ {
		written := job.DeepCopy()
		err := r.patchStatus(ctx, written, before)
		if err == nil {
			written.DeepCopyInto(job)
			return nil
		}
		if !apierrors.IsConflict(err) || try == answerTries {
			return err
		}
		newest := &v1alpha1.PipelineJob{}
		if err := r.Live.Get(ctx, client.ObjectKeyFromObject(job), newest); err != nil {
			return fmt.Errorf("read PipelineJob %s: %w", job.Name, err)
		}
		if newest.UID != before.UID || !equality.Semantic.DeepEqual(newest.Status.Protocol.Call, before.Status.Protocol.Call) {
			logf.FromContext(ctx).Info("Discarded an answer from CodePipeline: another operator has taken over in the meantime", "call", before.Status.Protocol.Call)
			return err
		}
		before.ResourceVersion = newest.ResourceVersion
	}
}

// applyChange changes the status, and updates its phase and observed generations.
func applyChange(job *v1alpha1.PipelineJob, change func(*v1alpha1.PipelineJobStatus)) {
	change(&job.Status)
	job.Status.ObservedGeneration = job.Generation
	for i := range job.Status.Conditions {
		job.Status.Conditions[i].ObservedGeneration = job.Generation
	}
	job.Status.Phase = phaseOf(job)
}

// patchStatus writes the difference between before and job, to the version of before.
func (r *Reconciler) patchStatus(ctx context.Context, job, before *v1alpha1.PipelineJob) error {
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	at := r.Clock.Now() // taken before the write, in which the operator may be frozen
	if err := r.Status().Patch(ctx, job, patch); err != nil {
		r.wrote.doubt(client.ObjectKeyFromObject(job))
		return fmt.Errorf("write the status of PipelineJob %s: %w", job.Name, err)
	}
	r.wrote.note(job, at)
	return nil
}

// phaseOf summarizes a job's status for people.
func phaseOf(job *v1alpha1.PipelineJob) v1alpha1.Phase {
	status := &job.Status
	switch {
	case status.ReportedAt != nil:
		return finalPhase(status)
	case status.Protocol.AcknowledgedJobID == "":
		return v1alpha1.PhasePending
	case job.AwaitsContinuation() && !status.RunGoesOn() && !status.HasResult():
		return v1alpha1.PhaseContinuing
	case status.HasResult(), status.ContinuationToken != "":
		return v1alpha1.PhaseReporting
	case status.RunGoesOn() && status.Run.JobUID != "":
		return v1alpha1.PhaseRunning
	default:
		return v1alpha1.PhaseAcknowledged
	}
}

func finalPhase(status *v1alpha1.PipelineJobStatus) v1alpha1.Phase {
	failed := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionFailed)
	reported := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReported)
	switch {
	case status.Protocol.AcknowledgedJobID == "":
		return v1alpha1.PhaseDropped
	case reported != nil && reported.Reason == v1alpha1.ReasonReportRefused:
		return v1alpha1.PhaseFailed // the operator gives up only the report of a failure
	case reported == nil || reported.Status != metav1.ConditionTrue:
		return v1alpha1.PhaseCancelled // however the work ended, CodePipeline accepted no result
	case failed == nil:
		return v1alpha1.PhaseSucceeded
	case failed.Reason == v1alpha1.ReasonCancelled:
		return v1alpha1.PhaseCancelled
	default:
		return v1alpha1.PhaseFailed
	}
}

// setCondition sets a condition with a one-line message. The message may contain text from
// AWS, the cluster or a step.
func setCondition(status *v1alpha1.PipelineJobStatus, kind string, is metav1.ConditionStatus, reason, message string) {
	setLines(status, kind, is, reason, plaintext.OneLine(message))
}

// setLines is setCondition for a message that may have several lines.
func setLines(status *v1alpha1.PipelineJobStatus, kind string, is metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{Type: kind, Status: is, Reason: reason,
		Message: limits.Cut(plaintext.Of(message), limits.ConditionMessage)})
}

// setEnd sets how the work ended: Complete or Failed, as for batch/v1 Jobs, and never both.
// The message may have several lines: those of a summary, or the last log lines of a step.
func setEnd(status *v1alpha1.PipelineJobStatus, kind, reason, message string) {
	meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionComplete)
	meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionFailed)
	if status.Run != nil {
		setCondition(status, v1alpha1.ConditionRunning, metav1.ConditionFalse, v1alpha1.ReasonJobFinished, "the work has ended")
	}
	setLines(status, kind, metav1.ConditionTrue, reason, message)
}

// recordCall records that a call is about to be tried. It reports whether the same call was
// already in progress: an earlier try may then have had its effect. Later tries are counted
// too. An object from a stale cache may show a call as in progress whose answer was recorded
// long ago, and an operator that was frozen in a try must not take another operator's try for
// its own.
func (r *Reconciler) recordCall(ctx context.Context, job *v1alpha1.PipelineJob, call v1alpha1.Call) (earlier bool, err error) {
	call.JobID = job.Spec.CodePipelineJob.ID
	earlier = underWay(job, call)
	untried := earlier && r.wrote.isUntried(job)
	if untried && r.wrote.isNewest(job, r.Clock.Now()) {
		r.wrote.tried(job)
		return false, nil
	}
	err = r.writeStatus(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		if earlier {
			status.Protocol.Call.Tries++
			return
		}
		r.begin(status, call)
	})
	if err == nil {
		r.wrote.tried(job)
	}
	return earlier && !untried, err
}

// begin records the first try of a call.
func (r *Reconciler) begin(status *v1alpha1.PipelineJobStatus, call v1alpha1.Call) {
	status.ReportedAt = nil
	call.Since, call.Tries = metav1.NewTime(r.Clock.Now()), 1
	status.Protocol.Call = &call
}

// underWay reports whether a call was tried and its answer is unknown.
func underWay(job *v1alpha1.PipelineJob, call v1alpha1.Call) bool {
	known := job.Status.Protocol.Call
	return known != nil && known.Operation == call.Operation && known.JobID == call.JobID &&
		known.Nonce == call.Nonce && known.ContinuationToken == call.ContinuationToken
}

// answerFailed records the failure of a recorded call that will be retried. A call that
// certainly had no effect is no longer in progress.
func (r *Reconciler) answerFailed(ctx context.Context, job *v1alpha1.PipelineJob, condition string, noEffect bool, cause error) error {
	err := r.writeAnswer(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		setCondition(status, condition, metav1.ConditionFalse, v1alpha1.ReasonRetrying, cause.Error())
		if noEffect {
			status.Protocol.Call = nil
		}
	})
	if err != nil {
		return err
	}
	return cause
}

// callFailed records a failure that will be retried, if it is not recorded yet.
func (r *Reconciler) callFailed(ctx context.Context, job *v1alpha1.PipelineJob, condition string, cause error) error {
	return r.stepFailed(ctx, job, condition, v1alpha1.ReasonRetrying, cause)
}

// stepFailed is callFailed with a reason.
func (r *Reconciler) stepFailed(ctx context.Context, job *v1alpha1.PipelineJob, condition, reason string, cause error) error {
	say := func(status *v1alpha1.PipelineJobStatus) {
		setCondition(status, condition, metav1.ConditionFalse, reason, cause.Error())
	}
	said := job.DeepCopy()
	say(&said.Status)
	if equality.Semantic.DeepEqual(said.Status, job.Status) {
		return cause
	}
	if err := r.writeStatus(ctx, job, say); err != nil {
		return err
	}
	return cause
}
