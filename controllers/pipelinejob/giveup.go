package pipelinejob

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/bounds"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/metrics"
)

// giveUp settles a PipelineJob that is being deleted, and records what CodePipeline was
// not told.
func (r *Reconciler) giveUp(ctx context.Context, job *v1alpha1.PipelineJob) error {
	message := notTold(job)
	return r.writeStatus(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		status.Protocol.Call = nil
		if status.Protocol.AcknowledgedJobID != "" {
			r.endCancelled(job, message)
		}
		job.Settle(metav1.NewTime(r.Clock.Now()))
		setCondition(status, v1alpha1.ConditionReported, metav1.ConditionFalse, v1alpha1.ReasonNotReported, message)
	})
}

// release removes the finalizer: CodePipeline waits for nothing more, or was given up.
// That is told before, more than once if need be: afterwards nothing says it any more.
func (r *Reconciler) release(ctx context.Context, s state) error {
	job := s.job
	if !controllerutil.ContainsFinalizer(job, v1alpha1.FinalizerPipelineJob) {
		return r.settleKept(ctx, job)
	}
	unreported := s.unreported()
	if unreported != "" {
		r.tellUnreported(ctx, job, unreported)
	}
	if err := bounds.ChangeFinalizers(ctx, r.Client, r.Live, job, bounds.Removes(v1alpha1.FinalizerPipelineJob)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("release PipelineJob %s: %w", job.Name, err))
	}
	if unreported != "" {
		metrics.DeletedUnreported()
	}
	return nil
}

// settleKept settles a PipelineJob that was let go before it was claimed, and that finalizers of
// others keep: it would count as a job in flight for as long as they do.
func (r *Reconciler) settleKept(ctx context.Context, job *v1alpha1.PipelineJob) error {
	if job.Settled() {
		return nil
	}
	return r.writeStatus(ctx, job, func(*v1alpha1.PipelineJobStatus) { job.Settle(metav1.NewTime(r.Clock.Now())) })
}

// unreported says what CodePipeline was not told, or may not have been, of a PipelineJob that is
// let go; empty if it knows all.
func (s state) unreported() string {
	said := meta.FindStatusCondition(s.job.Status.Conditions, v1alpha1.ConditionReported)
	switch {
	case said != nil && said.Reason == v1alpha1.ReasonNotReported,
		said != nil && said.Reason == v1alpha1.ReasonReportRefused && settledByDeletion(s.job):
		return said.Message
	case s.handOutMayStillCome():
		return fmt.Sprintf("The PipelineJob was deleted, and CodePipeline confirmed neither the claim of job %s nor a result. "+
			"If it has taken neither, it hands the action out again, and the work begins again: look at the action, and stop its execution to prevent that",
			s.job.Status.Protocol.AcknowledgedJobID)
	default:
		return ""
	}
}

// settledByDeletion reports whether a PipelineJob was settled after it was deleted: what
// came of one before was told then.
func settledByDeletion(job *v1alpha1.PipelineJob) bool {
	return job.Status.ReportedAt != nil && !job.Status.ReportedAt.Before(job.DeletionTimestamp)
}

// tellUnreported says what CodePipeline was not told in an event about the PipelineJob
// and, since a namespace that is being deleted takes no new events, in the log and in an
// event about the operator's own pod.
func (r *Reconciler) tellUnreported(ctx context.Context, job *v1alpha1.PipelineJob, message string) {
	logf.FromContext(ctx).Info("A PipelineJob is deleted without CodePipeline being told", "message", message)
	r.event(job, corev1.EventTypeWarning, v1alpha1.ReasonNotReported, "Delete", message)
	if r.Self != nil {
		note := fmt.Sprintf("PipelineJob %s/%s: %s", job.Namespace, job.Name, message)
		r.Events.Eventf(r.Self, nil, corev1.EventTypeWarning, v1alpha1.ReasonNotReported, "Delete", "%s", limits.CutBytes(note, limits.EventNote))
	}
}

// notTold says what CodePipeline does not know of a PipelineJob that is let go.
func notTold(job *v1alpha1.PipelineJob) string {
	const untilItEnds = "The action stays in progress in CodePipeline until its execution is stopped or it times out"
	id := job.Spec.CodePipelineJob.ID
	what := ""
	switch {
	case job.AwaitsContinuation():
		return "The PipelineJob was deleted, and CodePipeline has not handed the action out again after a continuation token: it was not told that the work is cancelled. " + untilItEnds
	case job.Status.Protocol.AcknowledgedJobID != id:
		what = fmt.Sprintf("may have taken the claim of job %s and was not told that the work is cancelled. If it has not, it hands the action out again, and the work starts again: stop the execution to prevent that", id)
	case job.Status.FailureDetails != nil:
		first, _, _ := strings.Cut(job.Status.FailureDetails.Message, "\n")
		what = fmt.Sprintf("was not told the failure of job %s (%s)", id, first)
	default:
		what = fmt.Sprintf("was not told the result of job %s", id)
	}
	message := fmt.Sprintf("The PipelineJob was deleted, and calls to AWS failed for %s: CodePipeline %s. %s", diagnosis.ShortDuration(deletionGracePeriod), what, untilItEnds)
	for _, condition := range job.Status.Conditions {
		if condition.Reason == v1alpha1.ReasonRetrying {
			message += ". The last error: " + condition.Message
		}
	}
	return message
}
