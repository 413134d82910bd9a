package pipelinejob

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/metrics"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

const (
	operationSuccess = "PutJobSuccessResult"
	operationFailure = "PutJobFailureResult"
)

// report reports the recorded result to CodePipeline. It records the call first: if the answer
// is lost, the next try finds the job closed, and only the record tells a delivered result
// from a stopped job.
func (r *Reconciler) report(ctx context.Context, s state) error {
	job, err := r.complete(ctx, s.job)
	if err != nil {
		return err
	}
	s.job = job
	api, err := r.codePipeline(ctx, job)
	if err != nil {
		return r.callFailed(ctx, job, v1alpha1.ConditionReported, err)
	}
	call := reportCall(job)
	operation := call.Operation
	earlier, err := r.recordCall(ctx, job, call)
	if err != nil {
		return err
	}
	if operation == operationFailure {
		err = api.PutJobFailureResult(ctx, failureOf(job))
	} else {
		err = api.PutJobSuccessResult(ctx, successOf(job))
	}
	switch verdictOf(operation, err, earlier) {
	case verdictTaken:
		return r.reported(ctx, job, err == nil)
	case verdictGone:
		return r.unreported(ctx, job, r.writeAnswer, v1alpha1.ReasonJobNoLongerOpen,
			"CodePipeline no longer waited for the result: the execution was stopped, or the action timed out")
	case verdictRefused:
		return r.refused(ctx, s, operation, err)
	case verdictAgain:
		return r.answerFailed(ctx, job, v1alpha1.ConditionReported, !earlier, err)
	default:
		return r.answerFailed(ctx, job, v1alpha1.ConditionReported, false, err)
	}
}

// reportCall returns the call that reports the recorded result.
func reportCall(job *v1alpha1.PipelineJob) v1alpha1.Call {
	return v1alpha1.Call{Operation: reportOf(job), JobID: job.Spec.CodePipelineJob.ID, ContinuationToken: job.Status.ContinuationToken}
}

// reportOf returns the operation that reports the recorded result.
func reportOf(job *v1alpha1.PipelineJob) string {
	if job.Status.FailureDetails != nil {
		return operationFailure
	}
	return operationSuccess
}

// reported records the delivery, which proves the claim if CodePipeline confirmed it. After a
// continuation token, the action stays open, and CodePipeline hands it out again under another
// job ID.
func (r *Reconciler) reported(ctx context.Context, job *v1alpha1.PipelineJob, confirmed bool) error {
	continues := job.Status.ContinuationToken != ""
	err := r.writeAnswer(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		status.Protocol.ReportedJobID = job.Spec.CodePipelineJob.ID
		status.Protocol.Call = nil
		status.Protocol.ClaimUnconfirmed = status.Protocol.ClaimUnconfirmed && !confirmed
		if continues {
			status.Protocol.ContinuedAt = ptr.To(metav1.NewTime(r.Clock.Now()))
			setCondition(status, v1alpha1.ConditionReported, metav1.ConditionFalse, v1alpha1.ReasonContinuing,
				"CodePipeline accepted the continuation token of job "+job.Spec.CodePipelineJob.ID)
			return
		}
		job.Settle(metav1.NewTime(r.Clock.Now()))
		setCondition(status, v1alpha1.ConditionReported, metav1.ConditionTrue, v1alpha1.ReasonReported,
			"CodePipeline accepted the result of job "+job.Spec.CodePipelineJob.ID)
	})
	if err != nil {
		return err
	}
	result := string(job.Status.Phase)
	if continues {
		result = "Continued"
	}
	metrics.Report(naming.ActionOf(job), result)
	if !continues {
		r.eventEnd(job)
	}
	return nil
}

// eventEnd emits an event about how the work ended. It is the only event of a PipelineJob that
// runs as expected; the conditions show the rest. Thousands of jobs must not fill the
// cluster's events.
func (r *Reconciler) eventEnd(job *v1alpha1.PipelineJob) {
	accepted := "CodePipeline accepted the result of job " + job.Spec.CodePipelineJob.ID
	failure := job.Status.FailureDetails
	if failure == nil {
		r.event(job, corev1.EventTypeNormal, v1alpha1.ReasonSucceeded, "Report", "The work succeeded; "+accepted)
		return
	}
	reason := v1alpha1.ReasonFailed
	if job.Status.Phase == v1alpha1.PhaseCancelled {
		reason = v1alpha1.ReasonCancelled
	}
	r.event(job, corev1.EventTypeWarning, reason, "Report", fmt.Sprintf("%s; %s: %s", accepted, failure.Type, failure.Message))
}

// unreported settles a job whose result CodePipeline does not accept. If the reason is the
// answer to a recorded call, write is writeAnswer.
func (r *Reconciler) unreported(ctx context.Context, job *v1alpha1.PipelineJob, write statusWriter, reason, message string) error {
	err := write(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		status.Protocol.Call = nil
		r.endCancelled(job, message)
		job.Settle(metav1.NewTime(r.Clock.Now()))
		setCondition(status, v1alpha1.ConditionReported, metav1.ConditionFalse, reason, message)
	})
	if err != nil {
		return err
	}
	metrics.Report(naming.ActionOf(job), "Unreported")
	r.event(job, corev1.EventTypeWarning, reason, "Report", message)
	return nil
}

// recordClosed settles a job that CodePipeline no longer waits for.
func (r *Reconciler) recordClosed(ctx context.Context, s state) error {
	why, write := s.closed, r.writeOver
	if why == "" {
		write = r.writeStatus
		why = fmt.Sprintf("the action has taken longer than %s, and CodePipeline did not confirm that it still waits for it", diagnosis.ShortDuration(s.longest))
	}
	if s.job.Status.Protocol.AcknowledgedJobID == "" {
		return r.drop(ctx, s.job, r.writeStatus, v1alpha1.ReasonJobNoLongerOpen, why)
	}
	return r.unreported(ctx, s.job, write, v1alpha1.ReasonJobNoLongerOpen, why)
}

// writeOver is writeStatus for an action that CodePipeline reports as over: its job is not
// handed out again, whether or not the claim was confirmed.
func (r *Reconciler) writeOver(ctx context.Context, job *v1alpha1.PipelineJob, change func(*v1alpha1.PipelineJobStatus)) error {
	return r.writeStatus(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		change(status)
		status.Protocol.ClaimUnconfirmed = false
	})
}

// noteOverdue records and publishes, once, that CodePipeline has not handed an action out
// again.
func (r *Reconciler) noteOverdue(ctx context.Context, job *v1alpha1.PipelineJob) error {
	message := fmt.Sprintf("CodePipeline accepted a continuation token more than %s ago and has not handed the action out again: check whether its execution was stopped, or whether another worker polls for it", diagnosis.ShortDuration(overdueAfter))
	err := r.writeStatus(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		setCondition(status, v1alpha1.ConditionReported, metav1.ConditionFalse, v1alpha1.ReasonContinuationOverdue, message)
	})
	if err != nil {
		return err
	}
	r.event(job, corev1.EventTypeWarning, v1alpha1.ReasonContinuationOverdue, "AwaitContinuation", message)
	return nil
}

// refused turns a success that CodePipeline will never accept into a failure that says so:
// without a result, the action would hang until it times out.
func (r *Reconciler) refused(ctx context.Context, s state, operation string, cause error) error {
	job := s.job
	if operation == operationFailure {
		return r.unreported(ctx, job, r.writeAnswer, v1alpha1.ReasonReportRefused, cause.Error())
	}
	what := "the work succeeded, but CodePipeline refused its result"
	if job.Status.ContinuationToken != "" {
		what = "the work returned a continuation token, but CodePipeline refused it"
	}
	return r.recordFailure(ctx, s, v1alpha1.FailureConfigurationError, fmt.Sprintf("%s: %v", what, cause))
}

// successOf returns the request that reports the recorded success.
func successOf(job *v1alpha1.PipelineJob) codepipeline.Success {
	status := &job.Status
	success := codepipeline.Success{
		JobID:             job.Spec.CodePipelineJob.ID,
		ContinuationToken: status.ContinuationToken,
		OutputVariables:   status.OutputVariables,
	}
	if details := status.ExecutionDetails; details != nil {
		success.Summary = details.Summary
		success.ExternalExecutionID = details.ExternalExecutionID
		success.PercentComplete = details.PercentComplete
	}
	if revision := status.CurrentRevision; revision != nil {
		success.CurrentRevision = &codepipeline.Revision{
			Revision:         revision.Revision,
			ChangeIdentifier: revision.ChangeIdentifier,
			Created:          timeOf(revision.Created),
			Summary:          revision.RevisionSummary,
		}
	}
	return success
}

// failureOf returns the request that reports the recorded failure.
func failureOf(job *v1alpha1.PipelineJob) codepipeline.Failure {
	failure := job.Status.FailureDetails
	return codepipeline.Failure{
		JobID:               job.Spec.CodePipelineJob.ID,
		Type:                string(failure.Type),
		Message:             failure.Message,
		ExternalExecutionID: failure.ExternalExecutionID,
	}
}

func timeOf(t *metav1.Time) *time.Time {
	if t == nil {
		return nil
	}
	return &t.Time
}

// event emits an event about a PipelineJob.
func (r *Reconciler) event(job *v1alpha1.PipelineJob, kind, reason, action, note string) {
	r.Events.Eventf(job, nil, kind, reason, action, "%s", limits.CutBytes(note, limits.EventNote))
}
