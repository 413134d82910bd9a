package pipelinejob

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/metrics"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
	"github.com/pipelinejob/pipelinejob-operator/internal/plaintext"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// progressLines is how many lines to read from the end of the progress container's log: the
// last one may be half written.
const progressLines = 3

// readProgress reads the progress that the steps report. If it is new, it records it, to be
// reported next.
func (r *Reconciler) readProgress(ctx context.Context, s state) error {
	r.reads.mark(s.job.UID, s.now)
	given, err := r.progressOf(ctx, s.job.Namespace, s.pods)
	if err != nil || given == nil {
		return err
	}
	details := withProgress(s.job.Status.ExecutionDetails, *given)
	if equality.Semantic.DeepEqual(s.job.Status.ExecutionDetails, details) {
		return nil
	}
	return r.writeStatus(ctx, s.job, func(status *v1alpha1.PipelineJobStatus) {
		if status.Protocol.Progress == nil {
			status.Protocol.Progress = &v1alpha1.ProgressReport{}
		}
		status.Protocol.Progress.Updates++
		status.Protocol.Progress.RecordedAt = metav1.NewTime(s.now)
		status.Protocol.Progress.ContinuationToken = fmt.Sprintf("progress/%s/%d", status.Run.JobName, status.Protocol.Progress.Updates)
		status.ExecutionDetails = details
	})
}

// saveProgress records the progress of the steps without a report of its own: CodePipeline
// gets it with the result.
func (r *Reconciler) saveProgress(ctx context.Context, s state) error {
	return r.writeStatus(ctx, s.job, func(status *v1alpha1.PipelineJobStatus) {
		status.ExecutionDetails = withProgress(status.ExecutionDetails, *s.outcome.Said)
	})
}

// progressOf reads the progress from the log of the progress container, in the run's pod whose
// container is running. It returns nil if there is none yet.
func (r *Reconciler) progressOf(ctx context.Context, namespace string, pods []corev1.Pod) (*podcontract.Progress, error) {
	for _, pod := range pods {
		if !runs(pod, podcontract.ContainerProgress) {
			continue
		}
		stream, err := r.Logs.Open(ctx, namespace, pod.Name, podcontract.ContainerProgress, progressLines)
		if err != nil {
			return nil, err
		}
		defer func(c io.Closer) { _ = c.Close() }(stream) // nothing was written
		return podcontract.LastProgress(stream)
	}
	return nil, nil
}

// runs reports whether a container is running, and therefore has a log.
func runs(pod corev1.Pod, container string) bool {
	for _, status := range pod.Status.InitContainerStatuses {
		if status.Name == container {
			return status.State.Running != nil
		}
	}
	return false
}

// withProgress returns the known details of a run, updated with its progress.
func withProgress(known *v1alpha1.ExecutionDetails, given podcontract.Progress) *v1alpha1.ExecutionDetails {
	details := &v1alpha1.ExecutionDetails{}
	if known != nil {
		details = known.DeepCopy()
	}
	if given.PercentComplete != nil {
		details.PercentComplete = given.PercentComplete
	}
	if given.Summary != "" {
		details.Summary = limits.Cut(plaintext.Of(given.Summary), limits.Summary)
	}
	if given.ExternalExecutionID != "" {
		details.ExternalExecutionID = limits.Cut(plaintext.Of(given.ExternalExecutionID), limits.ExternalExecutionID)
	}
	return details
}

// progressCall returns the call that reports recorded progress.
func progressCall(job *v1alpha1.PipelineJob) v1alpha1.Call {
	return v1alpha1.Call{Operation: operationSuccess, JobID: job.Spec.CodePipelineJob.ID, ContinuationToken: job.Status.ProgressToken()}
}

// reportProgress reports recorded progress to CodePipeline. That ends the job. CodePipeline
// then hands out another job with the token, under which the run continues.
func (r *Reconciler) reportProgress(ctx context.Context, job *v1alpha1.PipelineJob) error {
	api, err := r.codePipeline(ctx, job)
	if err != nil {
		return r.callFailed(ctx, job, v1alpha1.ConditionReported, err)
	}
	earlier, err := r.recordCall(ctx, job, progressCall(job))
	if err != nil {
		return err
	}
	details := job.Status.ExecutionDetails
	err = api.PutJobSuccessResult(ctx, codepipeline.Success{
		JobID: job.Spec.CodePipelineJob.ID, ContinuationToken: job.Status.ProgressToken(),
		Summary: details.Summary, ExternalExecutionID: details.ExternalExecutionID, PercentComplete: details.PercentComplete,
	})
	switch verdictOf(operationSuccess, err, earlier) {
	case verdictTaken:
		return r.progressReported(ctx, job, err == nil)
	case verdictGone:
		if job.Status.Protocol.ClaimUnconfirmed {
			return r.progressNotTaken(ctx, job)
		}
		return r.unreported(ctx, job, r.writeAnswer, v1alpha1.ReasonJobNoLongerOpen,
			"CodePipeline no longer waited for the progress: the execution was stopped, or the action timed out")
	case verdictRefused:
		return r.progressRefused(ctx, job, err)
	case verdictAgain:
		return r.answerFailed(ctx, job, v1alpha1.ConditionReported, !earlier, err)
	default:
		return r.answerFailed(ctx, job, v1alpha1.ConditionReported, false, err)
	}
}

// progressReported records the delivery. It does not emit an event, because there would be one
// in each interval.
func (r *Reconciler) progressReported(ctx context.Context, job *v1alpha1.PipelineJob, confirmed bool) error {
	err := r.writeAnswer(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		status.Protocol.ReportedJobID = job.Spec.CodePipelineJob.ID
		status.Protocol.ContinuedAt = ptr.To(metav1.NewTime(r.Clock.Now()))
		status.Protocol.ClaimUnconfirmed = status.Protocol.ClaimUnconfirmed && !confirmed
		status.Protocol.Call = nil
		setCondition(status, v1alpha1.ConditionReported, metav1.ConditionFalse, v1alpha1.ReasonContinuing,
			"CodePipeline accepted the progress; the run continues")
	})
	if err != nil {
		return err
	}
	metrics.Report(naming.ActionOf(job), "Progress")
	return nil
}

// progressNotTaken drops an update of a job that is not open and whose claim CodePipeline did
// not confirm. The claim may never have had its effect, and the job may be handed out again
// with another nonce, so the work continues. The next step asks whether the execution was
// stopped.
func (r *Reconciler) progressNotTaken(ctx context.Context, job *v1alpha1.PipelineJob) error {
	return r.writeAnswer(ctx, job, func(status *v1alpha1.PipelineJobStatus) {
		dropProgress(status)
		setCondition(status, v1alpha1.ConditionReported, metav1.ConditionFalse, v1alpha1.ReasonClaimUnconfirmed,
			"CodePipeline did not accept the progress: either the claim of the job had no effect, and the job will be handed out again, "+
				"or the execution was stopped. The run continues until that is known")
	})
}

func dropProgress(status *v1alpha1.PipelineJobStatus) {
	status.Protocol.Call = nil
	status.Protocol.Progress.ContinuationToken = ""
}

// progressRefused drops an update that CodePipeline will never accept. The work continues:
// only its result matters.
func (r *Reconciler) progressRefused(ctx context.Context, job *v1alpha1.PipelineJob, cause error) error {
	if err := r.writeAnswer(ctx, job, dropProgress); err != nil {
		return err
	}
	r.event(job, corev1.EventTypeWarning, v1alpha1.ReasonReportRefused, "ReportProgress", "CodePipeline refused the progress: "+cause.Error())
	return nil
}

// forgetReads is how long the time of a job's last read is remembered: a job that is still
// running is read much sooner.
const forgetReads = 25 * time.Hour

// reads remembers when the progress of each PipelineJob was last read, so that a read without
// news costs no write.
type reads struct {
	mu   sync.Mutex
	last map[types.UID]time.Time
}

func (r *reads) mark(job types.UID, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[types.UID]time.Time{}
	}
	for other, before := range r.last { // jobs that have ended
		if at.Sub(before) > forgetReads {
			delete(r.last, other)
		}
	}
	r.last[job] = at
}

func (r *reads) of(job types.UID) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last[job]
}
