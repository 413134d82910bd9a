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
	// recorders is how many jobs of one action are recorded at the same time.
	recorders = 16
	// recordTimeout bounds the recording of one job.
	recordTimeout = 10 * time.Second
	// recordWithin is how long recording the jobs of one poll may take. It is unknown when
	// CodePipeline hands a job out again, which invalidates its nonce.
	recordWithin = 10 * time.Second
	// firstBound is the maximum number of new jobs that the first poll asks for, while the speed
	// of recording is unknown.
	firstBound = 100
	// updateTries bounds the tries of an update that conflicts with newer versions.
	updateTries = 3
	// operationAcknowledge is the name of a claim in status.protocol.call.
	operationAcknowledge = "AcknowledgeJob"
)

// intakeResult is what was done with a job that was handed out.
type intakeResult int

const (
	// intakeLeft: there is no slot for it.
	intakeLeft intakeResult = iota
	// intakeCreated: it got a new object.
	intakeCreated
	// intakeContinued: it updated an existing object.
	intakeContinued
	// intakeKnown: nothing about it is new.
	intakeKnown
	// intakeRenewed: it brought a new nonce for a known job.
	intakeRenewed
	// intakeHeld: it brought one that must wait until a claim ends.
	intakeHeld
)

// speed is how fast jobs are recorded.
type speed struct{ perPoll int32 }

// bound returns the maximum number of new jobs that a poll asks for.
func (s speed) bound() int32 {
	if s.perPoll == 0 {
		return firstBound
	}
	return s.perPoll
}

// learn updates the speed with how many of the tried jobs were recorded in what time. It
// ignores small numbers, which say little about large ones.
func (s *speed) learn(tried, recorded int32, took time.Duration) {
	if tried < recorders {
		return
	}
	inTime := float64(recorded) * float64(recordWithin) / float64(max(took, time.Millisecond))
	s.perPoll = int32(min(max(inTime, recorders), limits.PollBatch))
}

// record records jobs in parallel, as far as there are slots. It keeps those that it could not
// record.
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

// recordKept records the kept jobs. It drops those of an earlier object with the action's
// name, because the garbage collector would delete their PipelineJobs.
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
			if target.HandsOut(kept) { // its account may be another one of the same AWS account
				kept.Spec.AccountRef.Name = target.Account
			}
			offers = append(offers, kept)
		}
	}
	l.kept = later
	return l.record(ctx, target, offers)
}

// recordNew records jobs from a poll. A later hand-out of a job replaces one that was kept.
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
		if later { // it is handed out repeatedly
			l.kept = append(l.kept, offer)
		}
		return later
	})
	return l.record(ctx, target, offers)
}

// inParallel calls do for 0 to n-1, in several goroutines.
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

// count adds up the results. The cause is always that of the first failed job, so that it is
// stable.
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

// keep keeps jobs that were not recorded, at most as many as a poll can return.
func (l *loop) keep(target Target, offers []*v1alpha1.PipelineJob, results []intakeResult, errs []error) {
	for i, offer := range offers {
		if errs[i] == nil && results[i] != intakeLeft && results[i] != intakeHeld || l.leaves(target, offer, results[i], errs[i]) {
			continue
		}
		log := l.poller.Log.WithValues("pipelineJob", client.ObjectKeyFromObject(offer), "jobID", offer.Spec.CodePipelineJob.ID, "action", target.Action)
		if len(l.kept) >= limits.PollBatch {
			log.Info("Left a job for CodePipeline to hand out again: too many jobs wait to be recorded")
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

// failure is a failed try to record a job. Each job has its own retry time, so that it does
// not delay others.
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

// unrecorded returns the error of a job that could not be recorded and will be retried. Of
// several, it is the first by name, so that it is stable. Nil if there is none.
func (l *loop) unrecorded() error {
	if len(l.failures) == 0 {
		return nil
	}
	return l.failures[slices.Min(slices.Collect(maps.Keys(l.failures)))].cause
}

// retryIn returns how long it is until a job that could not be recorded is retried. Zero if
// there is none.
func (l *loop) retryIn() (wait time.Duration) {
	now := l.poller.Clock.Now()
	for _, failure := range l.failures {
		wait = soonest(wait, max(failure.again.Sub(now), time.Millisecond))
	}
	return wait
}

// intake records one job. If its PipelineJob exists, because the job was handed out before or
// continues another, it updates that object. Otherwise, it records the job only if there is a
// slot for it.
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
	created := record.DeepCopy() // a failed call may modify it
	err = l.poller.Client.Create(ctx, created)
	switch {
	case err == nil:
		l.poller.Log.Info("Recorded a job", "pipelineJob", client.ObjectKeyFromObject(created), "jobID", record.Spec.CodePipelineJob.ID, "action", target.Action)
		return intakeCreated, nil
	case apierrors.IsAlreadyExists(err): // the reservation ends when the informer shows it
		return l.advanceLive(ctx, record)
	case record.Spec.Omitted == "" && diagnosis.IsUnfit(err):
		return l.intake(ctx, target, withoutBulk(record, err))
	case isRefusal(err):
		l.poller.capacity.release(target.Action, record.Name)
	}
	return intakeLeft, err
}

// isRefusal reports whether the API server certainly did not create an object. After a timeout
// or a lost answer, it may exist.
func isRefusal(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code >= 400 && status.Status().Code < 500
}

// advanceLive is advance for the newest version of the object.
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

// advance updates spec.codePipelineJob of an existing object, if necessary. The update fails
// if the object was read from a stale cache: a claim may have begun.
func (l *loop) advance(ctx context.Context, known, record *v1alpha1.PipelineJob) (intakeResult, error) {
	for try := 1; ; try++ {
		became, err := compare(known, record)
		if err != nil || became != intakeRenewed && became != intakeContinued {
			return became, err
		}
		before := known.DeepCopy()
		known.Spec.CodePipelineJob = following(known.Spec.CodePipelineJob, record.Spec.CodePipelineJob)
		err = l.poller.Client.Patch(ctx, known, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		if err == nil {
			l.poller.Log.Info("Updated a PipelineJob with a new job or nonce", "pipelineJob", client.ObjectKeyFromObject(known),
				"jobID", known.Spec.CodePipelineJob.ID, "action", naming.ActionOf(known))
			// Not observe: the informer may already have shown a newer version.
			l.poller.capacity.hold(naming.ActionOf(known), known.Name, PlaceOf(known))
			return became, nil
		}
		if apierrors.IsNotFound(err) {
			return intakeLeft, nil // it was deleted just now
		}
		if !apierrors.IsConflict(err) || try == updateTries {
			return intakeLeft, fmt.Errorf("update the PipelineJob with the new job: %w", err)
		}
		known = &v1alpha1.PipelineJob{}
		if err := l.poller.Live.Get(ctx, client.ObjectKeyFromObject(record), known); err != nil {
			return intakeLeft, fmt.Errorf("read the PipelineJob: %w", err)
		}
	}
}

// compare decides what a job that was handed out means for the PipelineJob of its name.
//
// While a claim is in progress, a new nonce is held back until the claim's answer is recorded,
// and then takes effect, whatever the answer was. Before that, it would hide which nonce was
// tried, and whether InvalidNonce means that our claim had its effect or that another worker
// has the job. It must not be dropped: CodePipeline may never hand the job out again.
func compare(known, polled *v1alpha1.PipelineJob) (intakeResult, error) {
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
		return intakeKnown, nil // the outdated answer of an operator that was frozen during the poll
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

// isAwaited reports whether a job is the continuation that a PipelineJob awaits. Its token
// shows that, if the token was given to CodePipeline just now and to no run before: no other
// job can carry it. Tokens do not depend on clocks, which may differ between the operators
// that polled.
func isAwaited(known *v1alpha1.PipelineJob, polled v1alpha1.CodePipelineJob) bool {
	status, token := &known.Status, polled.ContinuationToken
	if token == "" || !known.AwaitsContinuation() || polled.ID == known.Spec.CodePipelineJob.ID {
		return false
	}
	if token == status.ProgressToken() {
		return true // the operator never uses a progress token twice
	}
	return token == status.ContinuationToken && token != known.Spec.CodePipelineJob.ContinuationToken && !mayHaveBeenGiven(status, token)
}

// mayHaveBeenGiven reports whether a run may have been given a continuation token. The status
// keeps only the last runs.
func mayHaveBeenGiven(status *v1alpha1.PipelineJobStatus, token string) bool {
	of := func(run v1alpha1.Run) bool { return run.ContinuationToken == token }
	run, before := status.Run, status.PreviousRuns
	return run == nil || int(run.Number) > len(before)+1 || of(*run) || slices.ContainsFunc(before, of)
}

// following returns the job that replaces another in the spec. Its poll time never goes back,
// because outdated answers are recognized by it.
func following(before, next v1alpha1.CodePipelineJob) v1alpha1.CodePipelineJob {
	if before.PolledAt != nil && next.PolledAt.Before(before.PolledAt) {
		next.PolledAt = before.PolledAt
	}
	return next
}

// mayBeOpen reports whether a reported job may still be open: neither the claim nor the report
// was confirmed, and the job was handed out after the report.
func mayBeOpen(known *v1alpha1.PipelineJob, polled v1alpha1.CodePipelineJob) bool {
	if !known.Status.Protocol.ClaimUnconfirmed || polled.PolledAt == nil {
		return false
	}
	// The API server stores times in whole seconds.
	for _, reported := range []*metav1.Time{known.Status.ReportedAt, known.Status.Protocol.ContinuedAt} {
		if reported != nil && !polled.PolledAt.Truncate(time.Second).After(reported.Time) {
			return false
		}
	}
	return true
}

// newPipelineJob returns the record of a polled job, without the values of secret properties
// and without credentials. A property that the definition does not declare counts as secret.
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
