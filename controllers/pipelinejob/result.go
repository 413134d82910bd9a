package pipelinejob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/plaintext"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// recordResult records the end of the run in the status before anything is reported: from then
// on, no report depends on a pod.
func (r *Reconciler) recordResult(ctx context.Context, s state) error {
	job, outcome := s.job, s.outcome
	if outcome.Failure != nil {
		message, err := r.explain(ctx, s, outcome.Failure)
		if err != nil {
			return err
		}
		return r.recordFailure(ctx, s, outcome.Failure.Type, message)
	}
	given := outcome.Result
	if outcome.Log != nil {
		read, err := r.readLog(ctx, job.Namespace, *outcome.Log)
		if errors.Is(err, podcontract.ErrLogLost) {
			return r.recordFailure(ctx, s, v1alpha1.FailureSystemUnavailable, "the result of the work was lost: "+err.Error())
		}
		if err != nil {
			return r.resultUnread(ctx, s, err)
		}
		given = read
	}
	if err := given.Validate(); err != nil {
		return r.recordFailure(ctx, s, v1alpha1.FailureConfigurationError, "the result of the work is invalid: "+err.Error())
	}
	tried := s
	tried.job = job.DeepCopy()
	err := r.recordGiven(ctx, tried, given)
	if err != nil && diagnosis.IsUnfit(err) {
		return r.recordFailure(ctx, s, v1alpha1.FailureConfigurationError, "Kubernetes can't store the result of the work: "+err.Error())
	}
	return err
}

func (r *Reconciler) recordGiven(ctx context.Context, s state, given *podcontract.RunResult) error {
	if given.ContinuationToken != "" {
		return r.recordContinuation(ctx, s, given)
	}
	return r.recordSuccess(ctx, s, given)
}

// readLog reads a result from the log of a pod's report container.
func (r *Reconciler) readLog(ctx context.Context, namespace string, from diagnosis.LogResult) (*podcontract.RunResult, error) {
	stream, err := r.Logs.Open(ctx, namespace, from.Pod, podcontract.ContainerReport, 0)
	if err != nil {
		return nil, err
	}
	defer func(c io.Closer) { _ = c.Close() }(stream) // nothing was written
	return podcontract.ResultFromLog(stream, from.Pointer)
}

// ReadGrace is how long reading a log is retried: its node may be unreachable for a while.
// After that, the log counts as lost.
const ReadGrace = 10 * time.Minute

// resultUnread records that the result can't be read. The condition has the time of the first
// failure, from which ReadGrace counts.
func (r *Reconciler) resultUnread(ctx context.Context, s state, cause error) error {
	job := s.job
	if r.pastReadGrace(job) {
		return r.recordFailure(ctx, s, v1alpha1.FailureSystemUnavailable,
			fmt.Sprintf("the result of the work could not be read for %s: %v. Retry the action; if it happens again, contact the cluster's administrators", diagnosis.ShortDuration(ReadGrace), cause))
	}
	err := r.writeStatus(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionComplete, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonRetrying,
			Message:            limits.Cut(plaintext.OneLine("the result of the work can't be read: "+cause.Error()), limits.ConditionMessage),
			LastTransitionTime: metav1.NewTime(r.Clock.Now()),
		})
	})
	return errors.Join(cause, err)
}

func (r *Reconciler) recordSuccess(ctx context.Context, s state, given *podcontract.RunResult) error {
	empty := emptyOutputs(s.job, given)
	err := r.writeResult(ctx, s, func(status *v1alpha1.PipelineJobStatus) {
		r.endRun(s.job, given)
		details := status.ExecutionDetails
		// A success is complete, whatever percentage a step reported last.
		details.PercentComplete = ptr.To[int32](100)
		details.Summary = withWarning(details.Summary, empty)
		status.OutputVariables = given.OutputVariables
		status.FinishedAt = status.Run.FinishedAt
		setEnd(status, v1alpha1.ConditionComplete, v1alpha1.ReasonSucceeded, details.Summary)
	})
	if err != nil {
		return err
	}
	r.eventEmptyOutputs(s.job, empty)
	return nil
}

// recordContinuation ends a run that returned a continuation token.
func (r *Reconciler) recordContinuation(ctx context.Context, s state, given *podcontract.RunResult) error {
	return r.writeResult(ctx, s, func(status *v1alpha1.PipelineJobStatus) {
		r.endRun(s.job, given)
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionComplete) // left by a log that could not be read at first
		status.ContinuationToken = given.ContinuationToken
		setCondition(status, v1alpha1.ConditionRunning, metav1.ConditionFalse, v1alpha1.ReasonContinuing,
			fmt.Sprintf("run %d ended with a continuation token; the next run starts when CodePipeline hands the action out again", status.Run.Number))
	})
}

// endRun records the end of a run and what it returned, with defaults for what it left out.
func (r *Reconciler) endRun(job *v1alpha1.PipelineJob, given *podcontract.RunResult) {
	now := metav1.NewTime(r.Clock.Now())
	forgetProgress(job)
	status := &job.Status
	status.Run.FinishedAt = &now
	if status.ExecutionDetails == nil {
		status.ExecutionDetails = &v1alpha1.ExecutionDetails{}
	}
	details := status.ExecutionDetails
	details.Summary = limits.Cut(plaintext.Of(given.Summary), limits.Summary)
	if details.Summary == "" {
		details.Summary = defaultSummary(status.Run)
	}
	if given.ExternalExecutionID != "" {
		details.ExternalExecutionID = limits.Cut(plaintext.Of(given.ExternalExecutionID), limits.ExternalExecutionID)
	}
	details.PercentComplete = given.PercentComplete
	if revision := given.CurrentRevision; revision != nil {
		status.CurrentRevision = &v1alpha1.CurrentRevision{
			Revision:         revision.Revision,
			ChangeIdentifier: revision.ChangeIdentifier,
			RevisionSummary:  limits.Cut(plaintext.Of(revision.RevisionSummary), limits.RevisionSummary),
		}
		if revision.Created != nil {
			status.CurrentRevision.Created = ptr.To(metav1.NewTime(*revision.Created))
		}
	}
}

// forgetProgress drops progress that was not reported yet: the result replaces it. Progress
// that may have been reported stays until the answer is known.
func forgetProgress(job *v1alpha1.PipelineJob) {
	told := job.AwaitsContinuation() || underWay(job, progressCall(job))
	if job.Status.Protocol.Progress != nil && !told {
		job.Status.Protocol.Progress.ContinuationToken = ""
	}
}

// defaultSummary names the Job and, if known, how long it took.
func defaultSummary(run *v1alpha1.Run) string {
	if run.StartedAt == nil {
		return "Job " + run.JobName
	}
	return fmt.Sprintf("Job %s took %s", run.JobName, run.FinishedAt.Sub(run.StartedAt.Time).Round(time.Second))
}

func (r *Reconciler) recordFailure(ctx context.Context, s state, kind v1alpha1.FailureType, message string) error {
	return r.recordEnd(ctx, s, v1alpha1.ReasonFailed, &v1alpha1.FailureDetails{Type: kind, Message: message})
}

// lastSummary returns the summary that the steps of a run last wrote, if any.
func lastSummary(status *v1alpha1.PipelineJobStatus) string {
	if status.ExecutionDetails == nil {
		return ""
	}
	return status.ExecutionDetails.Summary
}

// recordEnd records a failure, which is final, and the last progress of the steps.
func (r *Reconciler) recordEnd(ctx context.Context, s state, reason string, failure *v1alpha1.FailureDetails) error {
	failure.Message = limits.Cut(failure.Message, limits.FailureMessage) // the status shows what is sent
	return r.writeResult(ctx, s, func(status *v1alpha1.PipelineJobStatus) {
		if s.outcome.Said != nil && status.RunGoesOn() {
			status.ExecutionDetails = withProgress(status.ExecutionDetails, *s.outcome.Said)
		}
		r.endInFailure(s.job, reason, failure)
	})
}

// writeResult is writeStatus for a result. If the report is the next step, the same write
// records that call.
func (r *Reconciler) writeResult(ctx context.Context, s state, change func(*v1alpha1.PipelineJobStatus)) error {
	begun := false
	err := r.writeStatus(ctx, s.job, func(status *v1alpha1.PipelineJobStatus) {
		change(status)
		next, _ := decide(s)
		if begun = next == stepReport; begun {
			r.begin(status, reportCall(s.job))
		}
	})
	if err == nil && begun {
		r.wrote.begun(s.job)
	}
	return err
}

// endCancelled records that the work ended without a result, because CodePipeline accepts
// none. It keeps everything that the work needs to continue: CodePipeline may hand the action
// out again, and resume then undoes this.
func (r *Reconciler) endCancelled(job *v1alpha1.PipelineJob, why string) {
	if job.Status.HasResult() {
		return
	}
	now := metav1.NewTime(r.Clock.Now())
	message := limits.Cut("cancelled: "+why, limits.FailureMessage)
	job.Status.FinishedAt = &now
	job.Status.FailureDetails = &v1alpha1.FailureDetails{Type: v1alpha1.FailureJobFailed, Message: message}
	setEnd(&job.Status, v1alpha1.ConditionFailed, v1alpha1.ReasonCancelled, message)
}

// resume undoes what endCancelled or drop recorded, because the action was handed out again
// and claimed. A cancellation by deletion stays.
func resume(status *v1alpha1.PipelineJobStatus, deleting bool) {
	failed := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionFailed)
	if failed != nil && failed.Reason == v1alpha1.ReasonCancelled && !deleting {
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionFailed)
		status.FailureDetails = nil
	}
	if !status.HasResult() {
		status.FinishedAt = nil
	}
	reported := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReported)
	if reported != nil && (reported.Reason == v1alpha1.ReasonJobNoLongerOpen || reported.Reason == v1alpha1.ReasonClaimUnconfirmed) {
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionReported)
	}
}

// endInFailure ends the work in a failure, and the run if it has not ended.
func (r *Reconciler) endInFailure(job *v1alpha1.PipelineJob, reason string, failure *v1alpha1.FailureDetails) {
	status, now := &job.Status, metav1.NewTime(r.Clock.Now())
	status.FinishedAt = &now
	if status.Run != nil && status.Run.JobUID != "" && status.ExecutionDetails != nil { // otherwise, the run was only planned
		failure.ExternalExecutionID = status.ExecutionDetails.ExternalExecutionID
	}
	if status.Run != nil && status.Run.FinishedAt == nil {
		status.Run.FinishedAt = &now
		if status.Run.JobUID != "" { // otherwise, the summary is from the previous run
			failure.Message = diagnosis.WithSummary(failure.Message, lastSummary(status))
		}
	}
	forgetProgress(job)
	status.FailureDetails = failure
	status.ContinuationToken = ""
	status.OutputVariables = nil
	setEnd(status, v1alpha1.ConditionFailed, reason, failure.Message)
}
