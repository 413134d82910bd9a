package pipelinejob

import (
	"context"
	"errors"
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/bounds"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
	"github.com/pipelinejob/pipelinejob-operator/internal/metrics"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
	"github.com/pipelinejob/pipelinejob-operator/internal/staleness"
)

// MaxPreviousRuns bounds status.previousRuns.
const MaxPreviousRuns = 10

// planRun records the next run, and that it gets a Secret, before they are created. Whatever
// happens to the job, the status then shows what may have to be deleted.
func (r *Reconciler) planRun(ctx context.Context, job *v1alpha1.PipelineJob) error {
	return r.writeStatus(ctx, job, func(*v1alpha1.PipelineJobStatus) { planNext(job) })
}

// planNext changes the status for planRun.
func planNext(job *v1alpha1.PipelineJob) {
	status, number := &job.Status, int32(1)
	if status.Run != nil {
		number = status.Run.Number + 1
		status.PreviousRuns = append(status.PreviousRuns, *status.Run)
		status.PreviousRuns = status.PreviousRuns[max(0, len(status.PreviousRuns)-MaxPreviousRuns):]
	}
	status.Run = &v1alpha1.Run{
		Number:            number,
		JobName:           naming.JobName(job, number),
		ContinuationToken: job.Spec.CodePipelineJob.ContinuationToken,
	}
	if status.Protocol.Secret == nil && jobspec.NeedsSecret(job) {
		status.Protocol.Secret = &v1alpha1.SecretState{JobID: job.Spec.CodePipelineJob.ID}
	}
}

// createJob creates the Kubernetes Job of the planned run. If an earlier try created it, it is
// adopted.
func (r *Reconciler) createJob(ctx context.Context, s state, action *v1alpha1.CustomAction) error {
	job := s.job
	if omitted := job.Spec.Omitted; omitted != "" {
		return r.recordFailure(ctx, s, v1alpha1.FailureConfigurationError,
			"the job from CodePipeline is too large for a Kubernetes object. The PipelineJob leaves out "+omitted+
				". Pass large values between actions as artifacts")
	}
	if action == nil {
		return r.recordFailure(ctx, s, v1alpha1.FailureConfigurationError,
			fmt.Sprintf("the CustomAction %q is gone: there is no jobTemplate to run", job.Spec.ActionRef.Name))
	}
	if why, is := bounds.TooLarge(action); is {
		return r.recordFailure(ctx, s, v1alpha1.FailureConfigurationError, fmt.Sprintf("CustomAction %s: %s", action.Name, why))
	}
	whole, err := r.complete(ctx, job)
	if err != nil {
		return err
	}
	options, err := r.jobOptions(ctx, s.account, action)
	if err != nil {
		return err
	}
	built, err := jobspec.Build(action, whole, *job.Status.Run, options)
	if invalid := (*jobspec.FieldError)(nil); errors.As(err, &invalid) {
		return r.recordFailure(ctx, s, v1alpha1.FailureConfigurationError,
			fmt.Sprintf("CustomAction %s: %v", action.Name, err))
	}
	if err != nil {
		return err
	}
	if err := controllerutil.SetControllerReference(job, built, r.Scheme()); err != nil {
		return err
	}
	// The job may have been read from a stale cache: an earlier try may have created the Job, and
	// a user may have deleted it. Creating it again would do the work twice.
	if err := r.checkNewest(ctx, job); err != nil {
		return err
	}
	return r.jobAnswered(ctx, s, action, built, r.Create(ctx, built))
}

// jobAnswered handles the API server's answer to the creation of a Job.
func (r *Reconciler) jobAnswered(ctx context.Context, s state, action *v1alpha1.CustomAction, built *batchv1.Job, err error) error {
	switch diagnosis.AnswerOf(err) {
	case diagnosis.AnswerTaken:
		if err != nil { // AlreadyExists
			return r.adoptJob(ctx, s.job, built.Name)
		}
		return r.jobStarted(ctx, s.job, built)
	case diagnosis.AnswerInvalid:
		return r.recordFailure(ctx, s, v1alpha1.FailureConfigurationError,
			fmt.Sprintf("Kubernetes refused the Job made from the jobTemplate of CustomAction %s: %v", action.Name, err))
	case diagnosis.AnswerQuotaExceeded:
		return r.notAdmitted(ctx, s, stepCreateJob, fmt.Errorf("create Job %s: %w", built.Name, err))
	case diagnosis.AnswerDenied, diagnosis.AnswerNotPermitted:
		return r.jobRefused(ctx, s, action, built, err)
	default:
		return r.callFailed(ctx, s.job, v1alpha1.ConditionRunning, fmt.Errorf("create Job %s: %w", built.Name, err))
	}
}

// jobRefused records that an admission policy refuses the Job. Policies are rolled out in
// steps, so the work fails only after the grace period for refused pods.
func (r *Reconciler) jobRefused(ctx context.Context, s state, action *v1alpha1.CustomAction, built *batchv1.Job, cause error) error {
	grace := diagnosis.DefaultGracePeriods.Admission
	wayOut := diagnosis.WayOut(cause.Error(), built.Spec.Template.Spec)
	// Only the text is kept: a webhook chooses the status code, which may be that of a conflict.
	refusal := refusedError{fmt.Errorf("create Job %s: %s. %s", built.Name, strings.TrimRight(cause.Error(), " ."), wayOut)}
	if r.retries.failsFor(client.ObjectKeyFromObject(s.job), stepCreateJob, refusal, s.now) < grace {
		return r.stepFailed(ctx, s.job, v1alpha1.ConditionRunning, v1alpha1.ReasonJobRefused, refusal)
	}
	return r.recordFailure(ctx, s, v1alpha1.FailurePermissionError,
		fmt.Sprintf("for %s, Kubernetes has refused the Job made from the jobTemplate of CustomAction %s: %v", diagnosis.ShortDuration(grace), action.Name, refusal))
}

// notAdmitted records that the API server refuses an object that the work needs. The work
// fails only after a grace period: policies are rolled out in steps, and a full quota has room
// when other work ends.
func (r *Reconciler) notAdmitted(ctx context.Context, s state, taken step, cause error) error {
	kind, reason, wayOut := v1alpha1.FailurePermissionError, v1alpha1.ReasonRetrying, "Grant the operator the permission, or have the policy changed"
	grace := s.gracePeriods.Schedule
	if diagnosis.IsQuotaExceeded(cause) {
		kind, reason, grace = v1alpha1.FailureSystemUnavailable, v1alpha1.ReasonQuotaExceeded, s.gracePeriods.Quota
		wayOut = "Retry the action when others have ended, or have the quota raised"
	}
	if r.retries.failsFor(client.ObjectKeyFromObject(s.job), taken, cause, s.now) >= grace {
		return r.recordFailure(ctx, s, kind, fmt.Sprintf("for %s, Kubernetes has refused to %v. %s", diagnosis.ShortDuration(grace), cause, wayOut))
	}
	return r.stepFailed(ctx, s.job, v1alpha1.ConditionRunning, reason, cause)
}

func (r *Reconciler) adoptJob(ctx context.Context, job *v1alpha1.PipelineJob, name string) error {
	existing := &batchv1.Job{}
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: job.Namespace, Name: name}, existing); err != nil {
		return fmt.Errorf("read Job %s: %w", name, err)
	}
	if !metav1.IsControlledBy(existing, job) {
		return r.callFailed(ctx, job, v1alpha1.ConditionRunning,
			fmt.Errorf("the existing Job %s does not belong to this PipelineJob: delete it", name))
	}
	return r.jobStarted(ctx, job, existing)
}

func (r *Reconciler) jobStarted(ctx context.Context, job *v1alpha1.PipelineJob, run *batchv1.Job) error {
	err := r.writeStatus(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		now := metav1.NewTime(r.Clock.Now())
		status.Run.JobUID = string(run.UID)
		status.Run.StartedAt = &now
		status.ExecutionDetails = &v1alpha1.ExecutionDetails{ExternalExecutionID: naming.ExternalExecutionID(job.Namespace, run.Name)}
		setCondition(status, v1alpha1.ConditionRunning, metav1.ConditionTrue, v1alpha1.ReasonJobStarted, "Job "+run.Name+" was created")
	})
	if err != nil {
		return err
	}
	if polled := job.Spec.CodePipelineJob.PolledAt; polled != nil {
		metrics.Start(job.Status.Run.StartedAt.Sub(polled.Time))
	}
	return nil
}

// noteRunning records that the run's pod is running, or what it waits for. It does not emit an
// event: those of the Job and its pod say the same.
func (r *Reconciler) noteRunning(ctx context.Context, job *v1alpha1.PipelineJob, outcome diagnosis.Outcome) error {
	return r.writeStatus(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		if waiting := outcome.Waiting; waiting != nil {
			setCondition(status, v1alpha1.ConditionRunning, metav1.ConditionFalse, waiting.Reason, waiting.Message())
			return
		}
		setCondition(status, v1alpha1.ConditionRunning, metav1.ConditionTrue, v1alpha1.ReasonJobStarted, "The pod of Job "+status.Run.JobName+" is running")
	})
}

// checkNewest returns a conflict error if job is not its newest version.
func (r *Reconciler) checkNewest(ctx context.Context, job *v1alpha1.PipelineJob) error {
	if r.wrote.isNewest(job, r.Clock.Now()) {
		return nil
	}
	return staleness.Check(ctx, r.Live, job, &v1alpha1.PipelineJob{})
}

// stopRun deletes the Kubernetes Job and, with it, its pods.
func (r *Reconciler) stopRun(ctx context.Context, s state) error {
	err := r.Delete(ctx, s.run, client.PropagationPolicy(metav1.DeletePropagationBackground),
		client.Preconditions{UID: &s.run.UID})
	return r.notDeleted(s.job, "Job "+s.run.Name, err)
}

// notDeleted reports in an event that an object can't be deleted. It returns nil if err is nil
// or NotFound.
func (r *Reconciler) notDeleted(job *v1alpha1.PipelineJob, what string, err error) error {
	if client.IgnoreNotFound(err) == nil {
		return nil
	}
	err = fmt.Errorf("delete %s: %w", what, err)
	if !apierrors.IsConflict(err) {
		r.event(job, corev1.EventTypeWarning, v1alpha1.ReasonRetrying, "Delete", err.Error())
	}
	return err
}

// cancel records the deletion of the PipelineJob as the result.
func (r *Reconciler) cancel(ctx context.Context, s state) error {
	message := fmt.Sprintf("cancelled: the PipelineJob %s/%s was deleted", s.job.Namespace, s.job.Name)
	if r.namespaceIsDeleted(ctx, s.job.Namespace) {
		message = fmt.Sprintf("cancelled: the PipelineJob %s was deleted with its namespace %s", s.job.Name, s.job.Namespace)
	}
	return r.recordEnd(ctx, s, v1alpha1.ReasonCancelled, &v1alpha1.FailureDetails{Type: v1alpha1.FailureJobFailed, Message: message})
}

// namespaceIsDeleted reports whether a namespace is being deleted. It is false if the
// namespace can't be read: the cancellation does not wait for that.
func (r *Reconciler) namespaceIsDeleted(ctx context.Context, name string) bool {
	namespace := &corev1.Namespace{}
	err := r.Live.Get(ctx, client.ObjectKey{Name: name}, namespace)
	return err == nil && namespace.DeletionTimestamp != nil
}
