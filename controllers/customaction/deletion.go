package customaction

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/staleness"
)

// finalize stops polling, lets running jobs finish, and only then takes the
// action type back, if it was told to.
func (r *Reconciler) finalize(ctx context.Context, action *v1alpha1.CustomAction, inFlight int32) error {
	if !controllerutil.ContainsFinalizer(action, v1alpha1.FinalizerCustomAction) {
		return nil
	}
	if inFlight > 0 {
		return r.drain(ctx, action, inFlight)
	}
	r.Poller.Remove(client.ObjectKeyFromObject(action))
	if action.Spec.DeletionPolicy == v1alpha1.DeletionDelete && action.Spec.Registration == v1alpha1.RegistrationManaged {
		if gone, err := r.deregister(ctx, action); err != nil || !gone {
			return err
		}
	}
	before := action.DeepCopy()
	controllerutil.RemoveFinalizer(action, v1alpha1.FinalizerCustomAction)
	if err := r.Patch(ctx, action, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("release CustomAction %s: %w", action.Name, err))
	}
	return nil
}

// deregister deletes the action type, unless somebody else has it too. It says
// whether the object may go.
func (r *Reconciler) deregister(ctx context.Context, action *v1alpha1.CustomAction) (bool, error) {
	// From a stale reading the type may be another object's by now.
	if err := staleness.Check(ctx, r.Live, action, &v1alpha1.CustomAction{}); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	others, err := r.sharing(ctx, action)
	if err != nil {
		return false, err
	}
	switch decideDeletion(action, others) {
	case keepActionType:
		return true, nil
	case awaitOthers:
		return false, r.sayDeleting(ctx, action, 0, fmt.Sprintf("being deleted: waiting for CustomAction %s/%s, which has the same action type and is being deleted too",
			others[0].Namespace, others[0].Name))
	}
	id := actionTypeID(action)
	api, err := r.AWS.For(ctx, r.identity(action))
	if err == nil {
		err = api.DeleteActionType(ctx, id)
	}
	if err != nil {
		return false, errors.Join(err, r.sayDeleting(ctx, action, 0, "being deleted, but action type "+id.String()+
			" can't be: "+explain(action, err)+" (to leave it in CodePipeline, set spec.deletionPolicy to Retain)"))
	}
	r.event(action, corev1.EventTypeNormal, v1alpha1.ReasonDeregistered, "Deregister", fmt.Sprintf("deleted action type %s in %s", id, action.Spec.AWS.Region))
	return true, nil
}

// drain says that the object waits for its jobs. Jobs that will be handed out
// again, because their last run ended with a continuation token, can come back
// only through a poll: as long as there are such, polling goes on.
func (r *Reconciler) drain(ctx context.Context, action *v1alpha1.CustomAction, inFlight int32) error {
	continuing, err := r.continuing(ctx, action)
	if err != nil {
		return err
	}
	if continuing {
		target := r.target(action)
		target.MaxConcurrent = 0 // for new jobs
		r.Poller.Ensure(target)
	} else {
		r.Poller.Remove(client.ObjectKeyFromObject(action))
	}
	return r.sayDeleting(ctx, action, inFlight, fmt.Sprintf("being deleted: waiting for %d jobs to finish", inFlight))
}

func (r *Reconciler) sayDeleting(ctx context.Context, action *v1alpha1.CustomAction, inFlight int32, message string) error {
	return r.writeStatus(ctx, action, func(status *v1alpha1.CustomActionStatus) {
		status.JobsInFlight = inFlight
		setActionCondition(status, metav1.Condition{Type: v1alpha1.ConditionPolling, Status: metav1.ConditionFalse,
			Reason: v1alpha1.ReasonDeleting, Message: message})
		setActionCondition(status, metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse,
			Reason: v1alpha1.ReasonDeleting, Message: message})
	})
}

func (r *Reconciler) continuing(ctx context.Context, action *v1alpha1.CustomAction) (bool, error) {
	jobs, err := r.unsettled(ctx, action)
	return slices.ContainsFunc(jobs, func(job v1alpha1.PipelineJob) bool {
		return job.Status.ContinuationToken != "" || job.AwaitsContinuation()
	}), err
}

// deletionDecision says what happens to an action type when a CustomAction that
// may delete it is deleted.
type deletionDecision int

const (
	// deleteActionType: no other object needs it.
	deleteActionType deletionDecision = iota
	// keepActionType: another object uses it, or will delete it.
	keepActionType
	// awaitOthers: another object that uses it is being deleted too.
	awaitOthers
)

// decideDeletion decides by the others that share the action type. Of objects
// that are deleted together the oldest goes last, and decides.
func decideDeletion(action *v1alpha1.CustomAction, others []v1alpha1.CustomAction) deletionDecision {
	decided := deleteActionType
	for i := range others {
		if others[i].DeletionTimestamp.IsZero() || isOlder(&others[i], action) {
			return keepActionType
		}
		decided = awaitOthers
	}
	return decided
}
