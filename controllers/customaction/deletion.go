package customaction

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/bounds"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
	"github.com/pipelinejob/pipelinejob-operator/internal/staleness"
)

// finalize waits until running jobs have finished, stops polling, and then deletes the action
// type if the deletion policy says so.
func (r *Reconciler) finalize(ctx context.Context, action *v1alpha1.CustomAction, jobs []v1alpha1.PipelineJob) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(action, v1alpha1.FinalizerCustomAction) {
		// A finalizer of others may keep it for ever: users may take off the operator's first.
		r.forget(ctx, client.ObjectKeyFromObject(action))
		return ctrl.Result{}, nil
	}
	if left := r.handOutsMayComeIn(jobs); left > 0 || inFlight(jobs) > 0 {
		again, err := r.drain(ctx, action, jobs)
		if left > 0 {
			again = min(again, left)
		}
		return ctrl.Result{RequeueAfter: again}, err
	}
	name := client.ObjectKeyFromObject(action)
	r.Poller.Remove(name)
	allowed, err := r.accessOf(ctx, action)
	if err != nil {
		return ctrl.Result{}, err
	}
	decided, why, err := r.decideRelease(ctx, action, allowed)
	if err != nil {
		return ctrl.Result{}, err
	}
	switch decided {
	case keepActionType:
		return ctrl.Result{}, r.release(ctx, action)
	case notGranted:
		return ctrl.Result{}, r.leave(ctx, action, why)
	case awaitProof:
		return ctrl.Result{RequeueAfter: lastRetry}, r.cantDeregister(ctx, action, why)
	case awaitOthers:
		return ctrl.Result{RequeueAfter: lastRetry}, r.sayDeleting(ctx, action, "being deleted: waiting for "+why)
	case deleteActionType:
	}
	if _, _, wait := r.examinations.of(action, r.Clock.Now()); wait > 0 { // the last try failed
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	left := deletionGracePeriod - r.Clock.Since(action.DeletionTimestamp.Time)
	if silent := r.Lanes.SilentFor(lanes.Of(r.identity(allowed, action))); left <= 0 && silent >= deletionGracePeriod {
		return ctrl.Result{}, r.giveUp(ctx, resolved(action, allowed), "AWS responds to no call to that account and region, and DeleteCustomActionType is still queued")
	}
	r.inLane(ctx, action, allowed, "DeleteCustomActionType", func(ctx context.Context, action *v1alpha1.CustomAction) { r.takeBack(ctx, action, allowed) })
	return ctrl.Result{RequeueAfter: max(left, lastRetry)}, nil
}

// release removes the finalizer, and lets other CustomActions take the jobs.
func (r *Reconciler) release(ctx context.Context, action *v1alpha1.CustomAction) error {
	if err := bounds.ChangeFinalizers(ctx, r.Client, r.Live, action, bounds.Removes(v1alpha1.FinalizerCustomAction)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("release CustomAction %s: %w", action.Name, err))
	}
	r.releaseJobs(ctx, client.ObjectKeyFromObject(action))
	return nil
}

// decideRelease decides what happens to the action type, and returns the reason.
func (r *Reconciler) decideRelease(ctx context.Context, action *v1alpha1.CustomAction, a access) (decided deletionDecision, why string, err error) {
	if action.Spec.DeletionPolicy != v1alpha1.DeletionDelete || action.Spec.Registration != v1alpha1.RegistrationManaged {
		return keepActionType, "", nil
	}
	switch {
	case a.given.MayRegister && !identity.IsProven(a.account):
		return awaitProof, fmt.Sprintf("the AWS account of CodePipelineAccount %s is not known yet: its condition Ready says why", a.account.Name), nil
	case !a.given.MayRegister || !a.works(action.Namespace):
		return notGranted, fmt.Sprintf("no grant of CodePipelineAccount %s with mayRegister applies to it", action.Spec.AccountRef.Name), nil
	}
	others, err := r.sharing(ctx, action, func(of place) bool { return of.accountID == a.accountID() && of.region == a.region })
	if err != nil {
		return keepActionType, "", err
	}
	decided, why = decideDeletion(action, others)
	return decided, why, nil
}

// takeBack deletes the action type and releases the object. A failure is tried again later.
func (r *Reconciler) takeBack(ctx context.Context, action *v1alpha1.CustomAction, a access) {
	began := r.Clock.Now()
	err := r.deregister(ctx, action, a)
	if err == nil {
		return
	}
	logf.FromContext(ctx).Error(err, "A CustomAction can't be deleted yet")
	r.examinations.record(action, began, r.Clock.Now(), examined{registration: finding{err: err, retry: true}})
}

// deregister deletes the action type if this object owns it and no other object uses it by now,
// and then releases the object.
func (r *Reconciler) deregister(ctx context.Context, action *v1alpha1.CustomAction, a access) error {
	// If action is stale, another object may own the action type by now.
	if err := staleness.Check(ctx, r.Live, action, &v1alpha1.CustomAction{}); err != nil {
		return client.IgnoreNotFound(err)
	}
	decided, _, err := r.decideRelease(ctx, action, a)
	if err != nil || decided != deleteActionType {
		return err
	}
	id := actionTypeID(action)
	remains, err := r.deleteOwned(ctx, action, a)
	if err != nil && r.timeIsUp(action) {
		return r.giveUp(ctx, action, explain(action, err))
	}
	if err != nil {
		return errors.Join(err, r.cantDeregister(ctx, action, explain(action, err)))
	}
	if remains != "" {
		return r.leave(ctx, action, remains)
	}
	r.event(action, corev1.EventTypeNormal, v1alpha1.ReasonDeregistered, "Deregister", fmt.Sprintf("deleted action type %s in %s", id, regionOf(action)))
	return r.release(ctx, action)
}

// deleteOwned deletes the action type. If its tags do not name this object, or its definition
// differs, it remains, and deleteOwned returns the reason.
func (r *Reconciler) deleteOwned(ctx context.Context, action *v1alpha1.CustomAction, a access) (remains string, err error) {
	wanted := actionTypeOf(action)
	api, err := r.AWS.For(ctx, r.identity(a, action))
	if err != nil {
		return "", err
	}
	// A new action type may not be listed yet, but its tags can be read.
	found, err := api.FindActionType(ctx, wanted.ID)
	if err != nil {
		return "", err
	}
	arn, err := arnOf(ctx, api, action, a)
	if err != nil {
		return "", err
	}
	tags, err := api.Tags(ctx, arn)
	if found == nil && codepipeline.KindOf(err) == codepipeline.ResourceNotFound {
		return "", nil // it was deleted by other means
	}
	if err != nil {
		return "", err
	}
	if r.owner(action, tags) != v1alpha1.OwnerThis {
		return "it was not registered for this object", nil
	}
	if found != nil {
		if fields := codepipeline.Differences(wanted, *found); len(fields) > 0 {
			return "it differs from spec.actionType in " + strings.Join(fields, ", "), nil
		}
	}
	return "", api.DeleteActionType(ctx, wanted.ID)
}

// leave releases the object without deleting its action type, and records the reason.
func (r *Reconciler) leave(ctx context.Context, action *v1alpha1.CustomAction, why string) error {
	message := fmt.Sprintf("action type %s, if it exists, remains in CodePipeline in %s: %s", actionTypeID(action), regionOf(action), why)
	logf.FromContext(ctx).Info("A CustomAction is deleted without its action type", "message", message)
	r.event(action, corev1.EventTypeNormal, v1alpha1.ReasonNotDeregistered, "Deregister", message)
	return r.release(ctx, action)
}

// drain records that the object waits for its jobs. It takes no new jobs, and polls for those that
// CodePipeline may hand out again.
func (r *Reconciler) drain(ctx context.Context, action *v1alpha1.CustomAction, jobs []v1alpha1.PipelineJob) (time.Duration, error) {
	allowed, err := r.accessOf(ctx, action)
	if err != nil {
		return 0, err
	}
	places, err := r.formerPlaces(ctx, action, allowed, jobs)
	if err != nil {
		return 0, err
	}
	r.poll(action, allowed, false, places)
	count := inFlight(jobs)
	waits := "being deleted: waiting for jobs that CodePipeline may hand out again, because it confirmed neither their claim nor a report"
	if count > 0 {
		waits = fmt.Sprintf("being deleted: waiting for %d jobs to finish", r.shown(action, count))
	}
	return r.writeDeleting(ctx, action, count, waits+r.tellFormer(places))
}

// handOutsMayComeIn returns how long an action that is being deleted still polls for settled jobs
// for which CodePipeline confirmed neither the claim nor a report. PipelineJobs, which are deleted
// after their action, are kept for the same time. Time without a leader does not count: nothing
// polled for the jobs.
func (r *Reconciler) handOutsMayComeIn(jobs []v1alpha1.PipelineJob) (left time.Duration) {
	now := r.Clock.Now()
	for i := range jobs {
		if !jobs[i].Settled() {
			continue
		}
		since := jobs[i].Status.ReportedAt.Time
		if since.Before(r.leadingSince) || since.After(now) { // another replica's clock was fast
			since = r.leadingSince
		}
		left = max(left, since.Add(deletionGracePeriod).Sub(now))
	}
	return left
}

// shown returns the number of jobs for the message of a deletion. It is not always the current
// number, which would cause a write for each job.
func (r *Reconciler) shown(action *v1alpha1.CustomAction, inFlight int32) int32 {
	deleting := readiness(action).Reason == v1alpha1.ReasonDeleting
	if deleting && r.counts.wait(client.ObjectKeyFromObject(action), r.Clock.Now()) > 0 {
		return action.Status.JobsInFlight
	}
	return inFlight
}

func (r *Reconciler) sayDeleting(ctx context.Context, action *v1alpha1.CustomAction, message string) error {
	_, err := r.writeDeleting(ctx, action, 0, message)
	return err
}

func (r *Reconciler) writeDeleting(ctx context.Context, action *v1alpha1.CustomAction, inFlight int32, message string) (time.Duration, error) {
	return r.writeStatus(ctx, action, tally{inFlight: inFlight}, func(status *v1alpha1.CustomActionStatus) {
		setDeleting(status, message)
	})
}

func setDeleting(status *v1alpha1.CustomActionStatus, message string) {
	for _, kind := range []string{v1alpha1.ConditionPolling, v1alpha1.ConditionReady} {
		setActionCondition(status, metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonDeleting, Message: message})
	}
}

// deletionDecision is what happens to an action type when its CustomAction is deleted.
type deletionDecision int

const (
	// deleteActionType: no other object uses it.
	deleteActionType deletionDecision = iota
	// keepActionType: another object uses it, or the object's policy keeps it.
	keepActionType
	// notGranted: it may not be deleted.
	notGranted
	// awaitProof: the role may belong to another AWS account, without the action type.
	awaitProof
	// awaitOthers: another object that uses it is being deleted too.
	awaitOthers
)

// decideDeletion decides by the other CustomActions that use the action type: those that may take
// its jobs, or have some. It waits for others that are being deleted too.
func decideDeletion(action *v1alpha1.CustomAction, others []standing) (decided deletionDecision, why string) {
	for i := range others {
		if others[i].DeletionTimestamp.IsZero() {
			return keepActionType, ""
		}
		who := "a CustomAction of another namespace"
		if others[i].Namespace == action.Namespace {
			who = "CustomAction " + others[i].Name
		}
		decided, why = awaitOthers, who+", which has the same action type and is being deleted too"
	}
	return decided, why
}
