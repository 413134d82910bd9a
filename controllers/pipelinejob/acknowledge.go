package pipelinejob

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/metrics"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

const operationAcknowledge = "AcknowledgeJob"

// acknowledge claims the job. It records the call first: if the answer is lost, the next try
// fails with InvalidNonce, and only the record tells the operator's own claim from another
// worker's.
func (r *Reconciler) acknowledge(ctx context.Context, s state) error {
	job := s.job
	api, err := r.codePipeline(ctx, job)
	if err != nil {
		return r.callFailed(ctx, job, v1alpha1.ConditionAcknowledged, err)
	}
	earlier, err := r.recordCall(ctx, job, v1alpha1.Call{Operation: operationAcknowledge, Nonce: job.Spec.CodePipelineJob.Nonce})
	if err != nil {
		return err
	}
	// A job that was claimed before stays claimed: this hand-out may be a duplicate.
	earlier = earlier || claimedBefore(job)
	status, err := api.AcknowledgeJob(ctx, job.Spec.CodePipelineJob.ID, job.Spec.CodePipelineJob.Nonce)
	switch verdictOf(operationAcknowledge, err, earlier) {
	case verdictTaken:
		if err == nil && status != codepipeline.JobStatusInProgress {
			return r.drop(ctx, job, r.writeAnswer, v1alpha1.ReasonNotInProgress,
				fmt.Sprintf("CodePipeline answered the claim of the job with status %s: the job no longer needs work", status))
		}
		return r.acknowledged(ctx, s, err == nil)
	case verdictLost:
		if r.maybeHandedOutAgain(s) {
			return r.answerFailed(ctx, job, v1alpha1.ConditionAcknowledged, true, err)
		}
		return r.drop(ctx, job, r.writeAnswer, v1alpha1.ReasonClaimedElsewhere, "another worker claimed the job first")
	case verdictGone:
		return r.drop(ctx, job, r.writeAnswer, v1alpha1.ReasonJobNoLongerOpen, "CodePipeline no longer knows the job: "+err.Error())
	case verdictRefused:
		return r.drop(ctx, job, r.writeAnswer, v1alpha1.ReasonNotInProgress, "CodePipeline refused the claim of the job: "+err.Error())
	case verdictAgain:
		return r.answerFailed(ctx, job, v1alpha1.ConditionAcknowledged, !earlier, err)
	default:
		return r.answerFailed(ctx, job, v1alpha1.ConditionAcknowledged, false, err)
	}
}

// claimGracePeriod is how long, after its poll, a continuation that seems to be claimed by
// another worker may still be handed out again.
const claimGracePeriod = 2 * time.Minute

// maybeHandedOutAgain reports whether a continuation that another worker seems to have claimed
// may have been handed out to this operator again, with a nonce that is not recorded yet.
// Dropping it would end the work. The time before this operator became the leader does not
// count, because without a leader no nonce is recorded.
func (r *Reconciler) maybeHandedOutAgain(s state) bool {
	polled := s.job.Spec.CodePipelineJob.PolledAt
	if s.job.Status.Protocol.AcknowledgedJobID == "" || polled == nil {
		return false
	}
	return r.Clock.Since(latest(polled.Time, s.leadingSince)) < claimGracePeriod
}

// acknowledged records the claim and, if a run is next, plans it in the same write. If a
// different job carries the token with which the last run ended, the token was delivered and
// is used up. The same job handed out again proves nothing, because a run may end with the
// token that it was given.
//
// If CodePipeline did not confirm the claim, it may hand the job out again. It has then
// accepted neither the claim nor a result. A confirmed claim stays confirmed: if the job is
// handed out again, that is a duplicate.
func (r *Reconciler) acknowledged(ctx context.Context, s state, confirmed bool) error {
	job := s.job
	again := claimedBefore(job)
	confirmed = confirmed || again && !job.Status.Protocol.ClaimUnconfirmed
	err := r.writeAnswer(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		now := metav1.NewTime(r.Clock.Now())
		status.Protocol.AcknowledgedJobID, status.Protocol.AcknowledgedNonce = job.Spec.CodePipelineJob.ID, job.Spec.CodePipelineJob.Nonce
		status.Protocol.Call, status.Protocol.ClaimUnconfirmed = nil, !confirmed
		if status.Protocol.ReportedJobID == job.Spec.CodePipelineJob.ID {
			status.Protocol.ReportedJobID = ""
		}
		resume(status, !job.DeletionTimestamp.IsZero())
		if status.AcknowledgedAt == nil {
			status.AcknowledgedAt = &now
		}
		if !again && status.ContinuationToken == job.Spec.CodePipelineJob.ContinuationToken {
			status.ContinuationToken = ""
		}
		if status.Protocol.Progress != nil && (!again || !status.RunGoesOn()) {
			status.Protocol.Progress.ContinuationToken = "" // the run continues under whichever job was handed out
		}
		setCondition(status, v1alpha1.ConditionAcknowledged, metav1.ConditionTrue, v1alpha1.ReasonAcknowledged, claimed(job, confirmed))
		if next, _ := decide(s); next == stepPlanRun {
			planNext(job)
		}
	})
	if err != nil {
		return err
	}
	metrics.Claim(naming.ActionOf(job), v1alpha1.ReasonAcknowledged)
	return nil
}

// claimedBefore reports whether an earlier hand-out of the job was claimed.
func claimedBefore(job *v1alpha1.PipelineJob) bool {
	return job.Status.Protocol.AcknowledgedJobID == job.Spec.CodePipelineJob.ID
}

// claimed returns the condition message for a claim.
func claimed(job *v1alpha1.PipelineJob, confirmed bool) string {
	if confirmed {
		return "CodePipeline accepted the claim of job " + job.Spec.CodePipelineJob.ID
	}
	return fmt.Sprintf("job %s counts as claimed: the answer to an earlier try was lost, and CodePipeline refused the next one with InvalidNonceException", job.Spec.CodePipelineJob.ID)
}

// drop gives up a job that another worker has, or that no longer needs work. If the reason is
// the answer to a recorded call, write is writeAnswer.
func (r *Reconciler) drop(ctx context.Context, job *v1alpha1.PipelineJob, write statusWriter, reason, message string) error {
	err := write(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		now := metav1.NewTime(r.Clock.Now())
		status.Protocol.Call = nil
		status.Protocol.ClaimUnconfirmed = false     // the job is over, whether or not the claim had its effect
		if status.Protocol.AcknowledgedJobID != "" { // the work of an earlier job ends with this one
			r.endCancelled(job, message)
			setCondition(status, v1alpha1.ConditionReported, metav1.ConditionFalse, reason, message)
		}
		if status.FinishedAt == nil {
			status.FinishedAt = &now
		}
		job.Settle(now)
		setCondition(status, v1alpha1.ConditionAcknowledged, metav1.ConditionFalse, reason, message)
	})
	if err != nil {
		return err
	}
	metrics.Claim(naming.ActionOf(job), reason)
	r.event(job, corev1.EventTypeNormal, reason, operationAcknowledge, message)
	return nil
}
