package pipelinejob

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
)

// working decides while the result is not known yet.
func (s state) working() (step, time.Duration) {
	run := s.job.Status.Run
	if run == nil {
		return stepPlanRun, 0
	}
	if run.FinishedAt != nil {
		if s.mustStopRun() || s.lingersFor() > 0 {
			return stepStopRun, 0 // two runs must never overlap
		}
		return stepPlanRun, 0
	}
	needsSecret, renewIn := s.secretDue()
	if run.JobUID == "" {
		if needsSecret && renewIn <= 0 {
			return stepRenewSecret, 0
		}
		return stepCreateJob, 0
	}
	if end := s.endOfRun(); end != "" {
		return end, 0
	}
	if s.mustSaveProgress() {
		return stepSaveProgress, 0
	}
	if needsSecret && renewIn <= 0 {
		return stepRenewSecret, 0
	}
	if s.mustNoteRunning() {
		return stepNoteRunning, 0
	}
	progressIn := s.progressDue()
	if s.progressEvery > 0 && progressIn <= 0 {
		return stepReadProgress, 0
	}
	if s.mustAskOfUnconfirmed() {
		return stepAskExecution, 0 // last, so that a call that fails delays nothing else
	}
	return stepWait, soonest(s.recheck, renewIn, progressIn)
}

// endOfRun returns the step for the end of a run. It is empty if the run has not ended.
func (s state) endOfRun() step {
	switch {
	case s.outcome.Ended():
		return stepRecordResult
	case s.run == nil || s.run.DeletionTimestamp != nil:
		return stepRecordLost
	default:
		return ""
	}
}

// mustNoteRunning reports whether the condition Running is out of date: it does not name what
// the run waits for, or still names it although the run is working.
func (s state) mustNoteRunning() bool {
	said := meta.FindStatusCondition(s.job.Status.Conditions, v1alpha1.ConditionRunning)
	switch {
	case s.outcome.Waiting != nil:
		return said == nil || said.Status != metav1.ConditionFalse || !s.outcome.Waiting.SaidBy(said.Reason, said.Message)
	case s.outcome.Working:
		return said == nil || said.Status != metav1.ConditionTrue
	default:
		return false
	}
}

// mustReportProgress reports whether recorded progress is to be reported. More important steps
// replace it, unless an earlier try may have reported it: its answer is then needed first.
func (s state) mustReportProgress() bool {
	token := s.job.Status.ProgressToken()
	if token == "" {
		return false
	}
	if underWay(s.job, progressCall(s.job)) {
		return true
	}
	return s.job.Status.RunGoesOn() && s.endOfRun() == "" && !s.deleting()
}

// progressDue returns how long it is until the progress is read.
func (s state) progressDue() time.Duration {
	if s.progressEvery == 0 {
		return 0
	}
	last := s.progressRead
	for _, at := range []*metav1.Time{s.job.Status.Run.StartedAt, s.recordedProgress()} {
		if at != nil && at.After(last) {
			last = at.Time
		}
	}
	return last.Add(s.progressEvery).Sub(s.now)
}

func (s state) recordedProgress() *metav1.Time {
	if s.job.Status.Protocol.Progress == nil {
		return nil
	}
	return &s.job.Status.Protocol.Progress.RecordedAt
}

// isClosed reports whether CodePipeline no longer waits for the job. While a report is in
// progress, its answer decides: a report whose answer was lost may have closed the action
// itself.
func (s state) isClosed() bool {
	if call := s.job.Status.Protocol.Call; call != nil && call.Operation != operationAcknowledge {
		return false
	}
	return s.closed != ""
}

// hasResult reports whether the status has something to report: a final result, or the
// continuation token of a run that has ended.
func (s state) hasResult() bool {
	return s.job.Status.HasResult() || s.job.Status.ContinuationToken != ""
}

// runStillWorks reports whether the Kubernetes Job exists and may have a pod that is running
// or starting.
func (s state) runStillWorks() bool {
	return s.run != nil && s.run.DeletionTimestamp.IsZero() && !diagnosis.Finished(s.run)
}

// mustStopRun reports whether the Kubernetes Job is to be deleted.
func (s state) mustStopRun() bool {
	return s.runStillWorks() && s.lingersFor() <= 0 && !s.isLeft(stepStopRun)
}

// lingersFor returns how long the pod of a run may continue after it gave its result. It is
// zero if the run gave none, or if the time is over.
func (s state) lingersFor() time.Duration {
	run := s.job.Status.Run
	gave := meta.IsStatusConditionTrue(s.job.Status.Conditions, v1alpha1.ConditionComplete) || s.job.Status.ContinuationToken != ""
	if run == nil || run.FinishedAt == nil || !gave || s.deleting() || !s.runStillWorks() || s.runMayTryAgain() {
		return 0
	}
	return max(run.FinishedAt.Add(lingeringGracePeriod).Sub(s.now), 0)
}

// runMayTryAgain reports whether the Job may replace a pod that ends: the steps would do the
// work again.
func (s state) runMayTryAgain() bool {
	return s.run.Status.Failed > 0 || s.run.Status.Terminating != nil && *s.run.Status.Terminating > 0
}

// mustSaveProgress reports whether a pod that is being deleted has progress that is not
// recorded.
func (s state) mustSaveProgress() bool {
	leaving := func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil }
	if s.outcome.Said == nil || !slices.ContainsFunc(s.pods, leaving) {
		return false
	}
	known := s.job.Status.ExecutionDetails
	return !equality.Semantic.DeepEqual(known, withProgress(known, *s.outcome.Said))
}

// mustDropSecret reports whether the Secret is to be deleted.
func (s state) mustDropSecret() bool {
	return s.job.Status.Protocol.Secret != nil && !s.isLeft(stepDropSecret)
}

// secretDue reports whether the job needs a Secret, and how long it is until the Secret is
// renewed.
func (s state) secretDue() (bool, time.Duration) {
	if !jobspec.NeedsSecret(s.job) {
		return false, 0
	}
	secret := s.job.Status.Protocol.Secret
	if secret == nil || secret.RenewedAt == nil {
		return true, 0
	}
	// The credentials of the previous job stay valid until they expire: a progress report must
	// not cost a GetJobDetails as well.
	if secret.JobID != s.job.Spec.CodePipelineJob.ID && s.job.Status.Run.JobUID == "" {
		return true, 0
	}
	return true, secret.RenewedAt.Add(cmp.Or(s.renewal, DefaultRenewal)).Sub(s.now)
}
