package poller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

const (
	// recorders is how many jobs of one action are recorded at a time.
	recorders = 16
	// recordTimeout bounds the recording of one job.
	recordTimeout = 10 * time.Second
	// recordWithin is how long the recording of a poll's jobs may take: CodePipeline
	// does not say when it hands a job out again, which makes its nonce useless.
	recordWithin = 10 * time.Second
	// firstBound is the most new jobs of a poll before any were recorded.
	firstBound = 100
	// moveTries is how often an update is tried that meets newer versions.
	moveTries = 3
	// operationAcknowledge is how status.protocol.call names a claim.
	operationAcknowledge = "AcknowledgeJob"
)

// intakeResult is what became of a job that was handed out.
type intakeResult int

const (
	// intakeLeft: there is no slot for it.
	intakeLeft intakeResult = iota
	// intakeCreated: it has an object of its own.
	intakeCreated
	// intakeContinued: it moved on an object that was there.
	intakeContinued
	// intakeKnown: all of it is known already.
	intakeKnown
	// intakeRenewed: it brought a new nonce for a job that is known.
	intakeRenewed
	// intakeHeld: it brought one, which must wait for the end of a claim.
	intakeHeld
)

// speed is how fast jobs are recorded.
type speed struct{ perPoll int32 }

// bound is the most new jobs that a poll asks for.
func (s speed) bound() int32 {
	if s.perPoll == 0 {
		return firstBound
	}
	return s.perPoll
}

// learn takes note of how many jobs were recorded, of how many that were tried, in
// what time. A few say nothing of many.
func (s *speed) learn(tried, recorded int32, took time.Duration) {
	if tried < recorders {
		return
	}
	inTime := float64(recorded) * float64(recordWithin) / float64(max(took, time.Millisecond))
	s.perPoll = int32(min(max(inTime, recorders), limits.PollBatch))
}

// record records jobs, at once for as many as there are slots. It keeps those that
// it could not record.
func (l *loop) record(ctx context.Context, target Target, offers []*v1alpha1.PipelineJob) tally {
	results, errs := make([]intakeResult, len(offers)), make([]error, len(offers))
	began := l.poller.Clock.Now()
	inParallel(len(offers), recorders, func(i int) { results[i], errs[i] = l.intake(ctx, target, offers[i]) })
	sum := count(offers, results, errs)
	recorded := sum.created + sum.continued
	l.speed.learn(recorded+sum.failed, recorded, l.poller.Clock.Since(began))
	l.keep(target, offers, results, errs)
	return sum
}

// recordKept records what was kept. Records of an object of this name that was there
// before would be deleted with it.
func (l *loop) recordKept(ctx context.Context, target Target, action *v1alpha1.CustomAction) tally {
	now := l.poller.Clock.Now()
	var offers, later []*v1alpha1.PipelineJob
	for _, kept := range l.kept {
		switch {
		case !metav1.IsControlledBy(kept, action), now.Sub(kept.Spec.CodePipelineJob.PolledAt.Time) > l.poller.KeepFor:
			l.poller.Log.Info("Dropped a job that was not recorded", "pipelineJob", client.ObjectKeyFromObject(kept), "jobID", kept.Spec.CodePipelineJob.ID, "action", target.Action)
		case l.failures[kept.Name].again.After(now):
			later = append(later, kept)
		default:
			offers = append(offers, kept)
		}
	}
	l.kept = later
	return l.record(ctx, target, offers)
}

// recordNew records jobs that were handed out now. A later hand-out of a job takes
// the place of one that was kept.
func (l *loop) recordNew(ctx context.Context, target Target, action *v1alpha1.CustomAction, jobs []codepipeline.Job, polledAt time.Time) tally {
	offers, latest := []*v1alpha1.PipelineJob{}, map[string]int{}
	for _, job := range jobs {
		record := fitting(newPipelineJob(action, target, job, metav1.NewTime(polledAt)))
		if at, twice := latest[record.Name]; twice {
			offers[at] = record
			continue
		}
		latest[record.Name] = len(offers)
		offers = append(offers, record)
	}
	l.kept = slices.DeleteFunc(l.kept, func(kept *v1alpha1.PipelineJob) bool {
		_, again := latest[kept.Name]
		return again
	})
	now := l.poller.Clock.Now()
	offers = slices.DeleteFunc(offers, func(offer *v1alpha1.PipelineJob) bool {
		later := l.failures[offer.Name].again.After(now)
		if later { // it is handed out again and again
			l.kept = append(l.kept, offer)
		}
		return later
	})
	return l.record(ctx, target, offers)
}

// inParallel calls do for 0 to n-1, several at a time.
func inParallel(n, workers int, do func(int)) {
	var group sync.WaitGroup
	var next atomic.Int64
	for range min(n, workers) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	group.Wait()
}

// count sums up what became of jobs. The error is that of the first that failed, so
// that it is the same each time.
func count(offers []*v1alpha1.PipelineJob, results []intakeResult, errs []error) (sum tally) {
	for i := range offers {
		if errs[i] != nil {
			sum.failed++
			if sum.cause == nil {
				sum.cause = recordError(offers[i], errs[i])
			}
			continue
		}
		switch results[i] {
		case intakeCreated:
			sum.created++
		case intakeContinued:
			sum.continued++
		case intakeRenewed:
			sum.renewed++
		case intakeHeld:
			sum.held++
		case intakeLeft, intakeKnown:
		}
	}
	return sum
}

// keep keeps what was not recorded, as many jobs as a poll can hand out.
func (l *loop) keep(target Target, offers []*v1alpha1.PipelineJob, results []intakeResult, errs []error) {
	for i, offer := range offers {
		if errs[i] == nil && results[i] != intakeLeft && results[i] != intakeHeld || l.leaves(target, offer, results[i], errs[i]) {
			continue
		}
		log := l.poller.Log.WithValues("pipelineJob", client.ObjectKeyFromObject(offer), "jobID", offer.Spec.CodePipelineJob.ID, "action", target.Action)
		if len(l.kept) >= limits.PollBatch {
			log.Info("Left a job to be handed out again: too many wait to be recorded")
			continue
		}
		if errs[i] != nil {
			log.Error(errs[i], "Could not record a job")
			l.failed(offer, errs[i])
		}
		l.kept = append(l.kept, offer)
	}
	maps.DeleteFunc(l.failures, func(name string, _ failure) bool {
		return !slices.ContainsFunc(l.kept, func(kept *v1alpha1.PipelineJob) bool { return kept.Name == name })
	})
}

// failure is that of a job that could not be recorded. Each is tried again at a time of
// its own, so that it holds up no other.
type failure struct {
	wait  time.Duration
	again time.Time
	cause error
}

func (l *loop) failed(offer *v1alpha1.PipelineJob, cause error) {
	if l.failures == nil {
		l.failures = map[string]failure{}
	}
	wait := grow(l.failures[offer.Name].wait, maxErrorWait)
	l.failures[offer.Name] = failure{wait, l.poller.Clock.Now().Add(wait), recordError(offer, cause)}
}

func recordError(offer *v1alpha1.PipelineJob, cause error) error {
	return fmt.Errorf("record job %s: %w", offer.Spec.CodePipelineJob.ID, cause)
}

// unrecorded is why a job could not be recorded that is tried again later: of several,
// that of the first name, so that it stays the same. Nil if there is none.
func (l *loop) unrecorded() error {
	if len(l.failures) == 0 {
		return nil
	}
	return l.failures[slices.Min(slices.Collect(maps.Keys(l.failures)))].cause
}

// retryIn is how long it is until a job that could not be recorded is tried again; zero
// if there is none.
func (l *loop) retryIn() (wait time.Duration) {
	now := l.poller.Clock.Now()
	for _, failure := range l.failures {
		wait = soonest(wait, max(failure.again.Sub(now), time.Millisecond))
	}
	return wait
}

// intake records one job. A job that is known already, because it was handed out
// before or is the continuation of another, moves its object on. One that is not
// known is recorded only if there is a slot for it.
func (l *loop) intake(ctx context.Context, target Target, record *v1alpha1.PipelineJob) (intakeResult, error) {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	known := &v1alpha1.PipelineJob{}
	err := l.poller.Client.Get(ctx, client.ObjectKeyFromObject(record), known)
	if err == nil {
		return l.advance(ctx, known, record)
	}
	if !apierrors.IsNotFound(err) {
		return intakeLeft, fmt.Errorf("read the PipelineJob: %w", err)
	}
	if !l.reserve(target, record) {
		return intakeLeft, nil
	}
	created := record.DeepCopy() // a failed call may leave it half filled in
	err = l.poller.Client.Create(ctx, created)
	switch {
	case err == nil:
		l.poller.Log.Info("Recorded a job", "pipelineJob", client.ObjectKeyFromObject(created), "jobID", record.Spec.CodePipelineJob.ID, "action", target.Action)
		return intakeCreated, nil
	case apierrors.IsAlreadyExists(err): // the reservation waits for the informer to show it
		return l.advanceLive(ctx, record)
	case record.Spec.Omitted == "" && diagnosis.IsUnfit(err):
		return l.intake(ctx, target, withoutBulk(record, err))
	case isRefusal(err):
		l.poller.capacity.release(target.Action, record.Name)
	}
	return intakeLeft, err
}

// isRefusal reports whether the API server certainly did not create an object. After
// a time-out, or an answer that was lost, it may be there.
func isRefusal(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code >= 400 && status.Status().Code < 500
}

// advanceLive is advance from the newest reading.
func (l *loop) advanceLive(ctx context.Context, record *v1alpha1.PipelineJob) (intakeResult, error) {
	known := &v1alpha1.PipelineJob{}
	err := l.poller.Live.Get(ctx, client.ObjectKeyFromObject(record), known)
	if apierrors.IsNotFound(err) {
		return intakeLeft, nil // it was deleted just now
	}
	if err != nil {
		return intakeLeft, fmt.Errorf("read the PipelineJob: %w", err)
	}
	return l.advance(ctx, known, record)
}

// advance updates spec.codePipelineJob of an existing object, if that is called for.
// The update fails if the reading was stale: a claim may have begun.
func (l *loop) advance(ctx context.Context, known, record *v1alpha1.PipelineJob) (intakeResult, error) {
	for try := 1; ; try++ {
		became, err := meet(known, record)
		if err != nil || became != intakeRenewed && became != intakeContinued {
			return became, err
		}
		before := known.DeepCopy()
		known.Spec.CodePipelineJob = following(known.Spec.CodePipelineJob, record.Spec.CodePipelineJob)
		err = l.poller.Client.Patch(ctx, known, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		if err == nil {
			l.poller.Log.Info("Moved a PipelineJob on to a new job or nonce", "pipelineJob", client.ObjectKeyFromObject(known),
				"jobID", known.Spec.CodePipelineJob.ID, "action", naming.ActionOf(known))
			// Not observed: the informer may have shown a newer version by now.
			l.poller.capacity.hold(naming.ActionOf(known), known.Name)
			return became, nil
		}
		if apierrors.IsNotFound(err) {
			return intakeLeft, nil // it was deleted just now
		}
		if !apierrors.IsConflict(err) || try == moveTries {
			return intakeLeft, fmt.Errorf("move the PipelineJob on to the new job: %w", err)
		}
		known = &v1alpha1.PipelineJob{}
		if err := l.poller.Live.Get(ctx, client.ObjectKeyFromObject(record), known); err != nil {
			return intakeLeft, fmt.Errorf("read the PipelineJob: %w", err)
		}
	}
}

// meet decides what a job that was handed out is to the PipelineJob of its name.
//
// A new nonce of a job whose claim is under way is held back until the claim's
// answer is recorded, and comes into effect then, whatever the answer was. Until
// then it would only hide which nonce was tried, and with it whether an InvalidNonce
// means that our claim had its effect or that another worker has the job. It must
// not be forgotten: CodePipeline may never hand the job out again.
func meet(known, polled *v1alpha1.PipelineJob) (intakeResult, error) {
	is, was := polled.Spec.CodePipelineJob, known.Spec.CodePipelineJob
	protocol := known.Status.Protocol
	switch {
	case known.Spec.Pipeline.ActionExecutionID != polled.Spec.Pipeline.ActionExecutionID:
		return intakeLeft, fmt.Errorf("PipelineJob %s belongs to another action execution (%s): delete it",
			known.Name, known.Spec.Pipeline.ActionExecutionID)
	case protocol.ReportedJobID == is.ID && !mayBeOpen(known, is):
		return intakeKnown, nil // it has ended
	case isAwaited(known, is):
		return intakeContinued, nil
	case is.PolledAt != nil && was.PolledAt != nil && is.PolledAt.Before(was.PolledAt):
		return intakeKnown, nil // an operator that was frozen has a poll's answer that is outdated
	case was.ID != is.ID:
		return intakeContinued, nil
	case was.Nonce == is.Nonce:
		return intakeKnown, nil
	case protocol.Call != nil && protocol.Call.Operation == operationAcknowledge && protocol.Call.JobID == is.ID:
		return intakeHeld, nil
	default:
		return intakeRenewed, nil
	}
}

// isAwaited reports whether a job is the continuation that a PipelineJob awaits, by its token: no
// other job can carry one that was given to CodePipeline just now, and to no run before. That
// tells whatever the clocks say: the operator that polled may not be the one that polled before.
func isAwaited(known *v1alpha1.PipelineJob, polled v1alpha1.CodePipelineJob) bool {
	status, token := &known.Status, polled.ContinuationToken
	if token == "" || !known.AwaitsContinuation() || polled.ID == known.Spec.CodePipelineJob.ID {
		return false
	}
	if token == status.ProgressToken() {
		return true // each is the operator's own
	}
	return token == status.ContinuationToken && token != known.Spec.CodePipelineJob.ContinuationToken && !mayHaveBeenGiven(status, token)
}

// mayHaveBeenGiven reports whether a run may have been given a continuation token: the status
// keeps the last runs.
func mayHaveBeenGiven(status *v1alpha1.PipelineJobStatus, token string) bool {
	of := func(run v1alpha1.Run) bool { return run.ContinuationToken == token }
	run, before := status.Run, status.PreviousRuns
	return run == nil || int(run.Number) > len(before)+1 || of(*run) || slices.ContainsFunc(before, of)
}

// following is the job that takes the place of another. The time of its poll never goes back: an
// outdated answer to a poll is known by it.
func following(before, next v1alpha1.CodePipelineJob) v1alpha1.CodePipelineJob {
	if before.PolledAt != nil && next.PolledAt.Before(before.PolledAt) {
		next.PolledAt = before.PolledAt
	}
	return next
}

// mayBeOpen reports whether a job that was reported is not known to have ended: neither the
// claim nor the report was confirmed, and it was handed out after that.
func mayBeOpen(known *v1alpha1.PipelineJob, polled v1alpha1.CodePipelineJob) bool {
	if !known.Status.Protocol.ClaimUnconfirmed || polled.PolledAt == nil {
		return false
	}
	// The API server keeps whole seconds.
	for _, reported := range []*metav1.Time{known.Status.ReportedAt, known.Status.Protocol.ContinuedAt} {
		if reported != nil && !polled.PolledAt.Truncate(time.Second).After(reported.Time) {
			return false
		}
	}
	return true
}

// newPipelineJob is the record of a polled job. The values of secret
// properties and the credentials stay out of it. A property that the
// definition does not declare counts as secret.
func newPipelineJob(action *v1alpha1.CustomAction, target Target, job codepipeline.Job, polledAt metav1.Time) *v1alpha1.PipelineJob {
	record := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{
		Name:            naming.PipelineJobName(action.Name, job.Pipeline.ActionExecutionID, job.ID),
		Namespace:       action.Namespace,
		Finalizers:      []string{v1alpha1.FinalizerPipelineJob},
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(action, v1alpha1.GroupVersion.WithKind("CustomAction"))},
	}}
	record.Spec = v1alpha1.PipelineJobSpec{
		ActionRef:  v1alpha1.ActionReference{Name: action.Name},
		AccountRef: v1alpha1.AccountReference{Name: target.Account},
		Region:     v1alpha1.Region(target.Identity.Region),
		AccountID:  job.AccountID,
		QueryParam: target.queryParam(),
		Pipeline: v1alpha1.PipelineContext{
			Name:              job.Pipeline.Name,
			ARN:               job.Pipeline.ARN,
			ExecutionID:       job.Pipeline.ExecutionID,
			Stage:             job.Pipeline.Stage,
			Action:            job.Pipeline.Action,
			ActionExecutionID: job.Pipeline.ActionExecutionID,
		},
		InputArtifacts:  artifacts(job.InputArtifacts),
		OutputArtifacts: artifacts(job.OutputArtifacts),
		CodePipelineJob: v1alpha1.CodePipelineJob{
			ID:                job.ID,
			Nonce:             job.Nonce,
			ContinuationToken: job.ContinuationToken,
			PolledAt:          &polledAt,
		},
	}
	if job.EncryptionKey.ID != "" {
		record.Spec.EncryptionKey = &v1alpha1.EncryptionKey{ID: job.EncryptionKey.ID, Type: job.EncryptionKey.Type}
	}
	record.Spec.Configuration, record.Spec.SecretConfiguration = jobspec.SplitConfiguration(action, job.Configuration)
	record.Labels = naming.Labels(record)
	return record
}

func artifacts(polled []codepipeline.Artifact) []v1alpha1.Artifact {
	var kept []v1alpha1.Artifact
	for _, artifact := range polled {
		kept = append(kept, v1alpha1.Artifact{
			Name:       artifact.Name,
			Revision:   artifact.Revision,
			S3Location: v1alpha1.S3Location{BucketName: artifact.Bucket, ObjectKey: artifact.ObjectKey},
		})
	}
	return kept
}
