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
	"github.com/pipelinejob/pipelinejob-operator/internal/lanes"
	"github.com/pipelinejob/pipelinejob-operator/internal/staleness"
)

// finalize stops polling, lets running jobs finish, and only then takes the
// action type back, if it was told to.
func (r *Reconciler) finalize(ctx context.Context, action *v1alpha1.CustomAction, inFlight int32) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(action, v1alpha1.FinalizerCustomAction) {
		return ctrl.Result{}, nil
	}
	if inFlight > 0 {
		again, err := r.drain(ctx, action, inFlight)
		return ctrl.Result{RequeueAfter: again}, err
	}
	r.Poller.Remove(client.ObjectKeyFromObject(action))
	decided, other, err := r.decideRelease(ctx, action)
	if err != nil {
		return ctrl.Result{}, err
	}
	switch decided {
	case notRegistered:
		return ctrl.Result{}, r.leave(ctx, action, "this object did not register it")
	case keepActionType:
		return ctrl.Result{}, r.release(ctx, action)
	case awaitOthers:
		return ctrl.Result{}, r.sayDeleting(ctx, action, fmt.Sprintf("being deleted: waiting for CustomAction %s/%s, which has the same action type and is being deleted too",
			other.Namespace, other.Name))
	case awaitAccount:
		return r.awaitAccount(ctx, action, other)
	case deleteActionType:
	}
	if _, _, wait := r.examinations.of(action, r.Clock.Now()); wait > 0 { // it failed before
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	left := deletionGracePeriod - r.Clock.Since(action.DeletionTimestamp.Time)
	if silent := r.Lanes.SilentFor(lanes.Of(r.identity(action))); left <= 0 && silent >= deletionGracePeriod {
		return ctrl.Result{}, r.giveUp(ctx, action, "calls to that account and region are not answered, and its own has not had its turn")
	}
	r.inLane(ctx, action, "DeleteCustomActionType", r.takeBack)
	return ctrl.Result{RequeueAfter: max(left, lastRetry)}, nil
}

// release lets the object go.
func (r *Reconciler) release(ctx context.Context, action *v1alpha1.CustomAction) error {
	if err := bounds.ChangeFinalizers(ctx, r.Client, r.Live, action, bounds.Removes(v1alpha1.FinalizerCustomAction)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("release CustomAction %s: %w", action.Name, err))
	}
	return nil
}

// decideRelease decides what happens to the action type, and because of which other
// object.
func (r *Reconciler) decideRelease(ctx context.Context, action *v1alpha1.CustomAction) (deletionDecision, *sharer, error) {
	if action.Spec.DeletionPolicy != v1alpha1.DeletionDelete || action.Spec.Registration != v1alpha1.RegistrationManaged {
		return keepActionType, nil, nil
	}
	if !isRegistered(action) {
		return notRegistered, nil, nil
	}
	others, err := r.sharing(ctx, action, func(*v1alpha1.CustomAction) bool { return true })
	if err != nil {
		return keepActionType, nil, err
	}
	decided, other := decideDeletion(action, others)
	return decided, other, nil
}

// awaitAccount waits until AWS tells if another object uses the action type.
func (r *Reconciler) awaitAccount(ctx context.Context, action *v1alpha1.CustomAction, other *sharer) (ctrl.Result, error) {
	if other.account == askedAccount {
		return ctrl.Result{}, nil // it is reconciled when there is an answer
	}
	why := fmt.Sprintf("it is not known whether CustomAction %s/%s uses it: GetCallerIdentity failed: %s", other.Namespace, other.Name, other.why)
	return ctrl.Result{RequeueAfter: lastRetry}, r.cantDeregister(ctx, action, why)
}

// takeBack deletes the action type and lets the object go. What fails is tried again.
func (r *Reconciler) takeBack(ctx context.Context, action *v1alpha1.CustomAction) {
	began := r.Clock.Now()
	err := r.deregister(ctx, action)
	if err == nil {
		return
	}
	logf.FromContext(ctx).Error(err, "A CustomAction can't be deleted yet")
	r.examinations.record(action, began, r.Clock.Now(), examined{registration: finding{err: err, retry: true}})
}

// deregister deletes the action type, unless another object uses it by now, and lets the
// object go.
func (r *Reconciler) deregister(ctx context.Context, action *v1alpha1.CustomAction) error {
	// From a stale reading the type may be another object's by now.
	if err := staleness.Check(ctx, r.Live, action, &v1alpha1.CustomAction{}); err != nil {
		return client.IgnoreNotFound(err)
	}
	decided, _, err := r.decideRelease(ctx, action)
	if err != nil || decided != deleteActionType {
		return err
	}
	id := actionTypeID(action)
	differs, err := r.deleteUnlessDiffers(ctx, action)
	if err != nil && r.timeIsUp(action) {
		return r.giveUp(ctx, action, explain(action, err))
	}
	if err != nil {
		return errors.Join(err, r.cantDeregister(ctx, action, explain(action, err)))
	}
	if len(differs) > 0 {
		return r.leave(ctx, action, "it differs from spec.actionType in "+strings.Join(differs, ", "))
	}
	r.event(action, corev1.EventTypeNormal, v1alpha1.ReasonDeregistered, "Deregister", fmt.Sprintf("deleted action type %s in %s", id, action.Spec.AWS.Region))
	return r.release(ctx, action)
}

// deleteUnlessDiffers deletes the action type. If it is not as the object defines it, it
// remains, and the fields are returned.
func (r *Reconciler) deleteUnlessDiffers(ctx context.Context, action *v1alpha1.CustomAction) (fields []string, err error) {
	wanted := actionTypeOf(action)
	api, err := r.AWS.For(ctx, r.identity(action))
	if err != nil {
		return nil, err
	}
	found, err := api.FindActionType(ctx, wanted.ID)
	if err != nil {
		return nil, err
	}
	if found != nil {
		fields = codepipeline.Differences(wanted, *found)
	}
	if len(fields) > 0 {
		return fields, nil
	}
	// One that was made a moment ago may not be listed yet.
	err = api.DeleteActionType(ctx, wanted.ID)
	if found == nil && codepipeline.KindOf(err) == codepipeline.AccessDenied {
		return nil, nil
	}
	return nil, err
}

// leave lets the object go without its action type, and says why.
func (r *Reconciler) leave(ctx context.Context, action *v1alpha1.CustomAction, why string) error {
	message := fmt.Sprintf("action type %s, if there is one, remains in CodePipeline in %s: %s", actionTypeID(action), action.Spec.AWS.Region, why)
	logf.FromContext(ctx).Info("A CustomAction is deleted without its action type", "message", message)
	r.event(action, corev1.EventTypeNormal, v1alpha1.ReasonNotDeregistered, "Deregister", message)
	return r.release(ctx, action)
}

// drain says that the object waits for its jobs. It takes no new ones; those that
// CodePipeline is to hand out again are polled for.
func (r *Reconciler) drain(ctx context.Context, action *v1alpha1.CustomAction, inFlight int32) (time.Duration, error) {
	r.Poller.Ensure(r.target(action, false))
	return r.writeDeleting(ctx, action, inFlight, fmt.Sprintf("being deleted: waiting for %d jobs to finish", r.shown(action, inFlight)))
}

// shown is the number of jobs that the message of a deletion tells: a number that
// changes with each job would make each a write.
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

// deletionDecision says what happens to an action type when a CustomAction that
// may delete it is deleted.
type deletionDecision int

const (
	// deleteActionType: no other object needs it.
	deleteActionType deletionDecision = iota
	// keepActionType: another object uses it, or will delete it.
	keepActionType
	// notRegistered: the action type is not this object's.
	notRegistered
	// awaitOthers: another object that uses it is being deleted too.
	awaitOthers
	// awaitAccount: another object may use it; AWS does not say whether it is of the
	// same account.
	awaitAccount
)

// decideDeletion decides by the others that share the action type, and names the one
// that it decides by. Of objects that are deleted together the oldest goes last, and
// decides.
func decideDeletion(action *v1alpha1.CustomAction, others []sharer) (decided deletionDecision, by *sharer) {
	for i := range others {
		other := &others[i]
		switch {
		case !other.DeletionTimestamp.IsZero() && isOlder(action, &other.CustomAction):
			if by == nil {
				decided, by = awaitOthers, other
			}
		case other.account == sameAccount:
			return keepActionType, other
		default:
			decided, by = awaitAccount, other
		}
	}
	return decided, by
}
