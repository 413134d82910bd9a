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

// giveUp settles a PipelineJob that is being deleted, and records what was not reported to
// CodePipeline.
func (r *Reconciler) giveUp(ctx context.Context, job *v1alpha1.PipelineJob) error {
	message := notReported(job)
	return r.writeStatus(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		status.Protocol.Call = nil
		if status.Protocol.AcknowledgedJobID != "" {
			r.endCancelled(job, message)
		}
		job.Settle(metav1.NewTime(r.Clock.Now()))
		setCondition(status, v1alpha1.ConditionReported, metav1.ConditionFalse, v1alpha1.ReasonNotReported, message)
	})
}

// release removes the finalizer: CodePipeline no longer waits, or the operator gave up
// reporting. What was not reported is published first, more than once if necessary, because
// nothing shows it afterwards.
func (r *Reconciler) release(ctx context.Context, s state) error {
	job := s.job
	if !controllerutil.ContainsFinalizer(job, v1alpha1.FinalizerPipelineJob) {
		return r.settleKept(ctx, job)
	}
	unreported := s.unreported()
	if unreported != "" {
		r.publishUnreported(ctx, job, unreported)
	}
	if err := bounds.ChangeFinalizers(ctx, r.Client, r.Live, job, bounds.Removes(v1alpha1.FinalizerPipelineJob)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("release PipelineJob %s: %w", job.Name, err))
	}
	if unreported != "" {
		metrics.DeletedUnreported()
	}
	return nil
}

// settleKept settles a PipelineJob that was released before it was claimed, and that other
// finalizers keep. Otherwise it would count as a job in flight for as long as they do.
func (r *Reconciler) settleKept(ctx context.Context, job *v1alpha1.PipelineJob) error {
	if job.Settled() {
		return nil
	}
	return r.writeStatus(ctx, job, func(*v1alpha1.PipelineJobStatus) { job.Settle(metav1.NewTime(r.Clock.Now())) })
}

// unreported describes what was not reported to CodePipeline, or may not have been, about a
// PipelineJob that is released. It is empty if everything was.
func (s state) unreported() string {
	said := meta.FindStatusCondition(s.job.Status.Conditions, v1alpha1.ConditionReported)
	switch {
	case said != nil && said.Reason == v1alpha1.ReasonNotReported,
		said != nil && said.Reason == v1alpha1.ReasonReportRefused && settledByDeletion(s.job):
		return said.Message
	case s.handOutMayStillCome():
		return fmt.Sprintf("The PipelineJob was deleted, and CodePipeline confirmed neither the claim of job %s nor a result. "+
			"If it accepted neither, it hands the action out again, and the work starts again: check the action, and stop its execution to prevent that",
			s.job.Status.Protocol.AcknowledgedJobID)
	default:
		return ""
	}
}

// settledByDeletion reports whether a PipelineJob was settled after it was deleted. If it was
// settled before, its end was published then.
func settledByDeletion(job *v1alpha1.PipelineJob) bool {
	return job.Status.ReportedAt != nil && !job.Status.ReportedAt.Before(job.DeletionTimestamp)
}

// publishUnreported publishes what was not reported to CodePipeline in an event about the
// PipelineJob. A namespace that is being deleted accepts no new events, so it is also in the
// log and in an event about the operator's own pod.
func (r *Reconciler) publishUnreported(ctx context.Context, job *v1alpha1.PipelineJob, message string) {
	logf.FromContext(ctx).Info("Deleting a PipelineJob that was not fully reported to CodePipeline", "message", message)
	r.event(job, corev1.EventTypeWarning, v1alpha1.ReasonNotReported, "Delete", message)
	if r.Self != nil {
		note := fmt.Sprintf("PipelineJob %s/%s: %s", job.Namespace, job.Name, message)
		r.Events.Eventf(r.Self, nil, corev1.EventTypeWarning, v1alpha1.ReasonNotReported, "Delete", "%s", limits.CutBytes(note, limits.EventNote))
	}
}

// notReported describes what was not reported to CodePipeline when the operator gives up.
func notReported(job *v1alpha1.PipelineJob) string {
	const untilItEnds = "The action stays in progress in CodePipeline until its execution is stopped or it times out"
	id := job.Spec.CodePipelineJob.ID
	what := ""
	switch {
	case job.AwaitsContinuation():
		return "The PipelineJob was deleted, and CodePipeline has not handed the action out again after a continuation token: the cancellation was not reported. " + untilItEnds
	case job.Status.Protocol.AcknowledgedJobID != id:
		what = fmt.Sprintf("CodePipeline may have accepted the claim of job %s, and the cancellation was not reported. If it did not accept the claim, it hands the action out again, and the work starts again: stop the execution to prevent that", id)
	case job.Status.FailureDetails != nil:
		first, _, _ := strings.Cut(job.Status.FailureDetails.Message, "\n")
		what = fmt.Sprintf("the failure of job %s was not reported (%s)", id, first)
	default:
		what = fmt.Sprintf("the result of job %s was not reported", id)
	}
	message := fmt.Sprintf("The PipelineJob was deleted, and calls to AWS failed for %s: %s. %s", diagnosis.ShortDuration(deletionGracePeriod), what, untilItEnds)
	for _, condition := range job.Status.Conditions {
		if condition.Reason == v1alpha1.ReasonRetrying {
			message += ". Last error: " + condition.Message
		}
	}
	return message
}
