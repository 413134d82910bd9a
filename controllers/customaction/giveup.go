package customaction

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/metrics"
)

// deletionGracePeriod is how long the deletion of an action type may fail before its object is
// released: the deletion of the object's namespace waits for it.
const deletionGracePeriod = 5 * time.Minute

// timeIsUp reports whether the deletion of the action type has failed for
// deletionGracePeriod. The condition keeps the time of the first failure.
func (r *Reconciler) timeIsUp(action *v1alpha1.CustomAction) bool {
	failing := meta.FindStatusCondition(action.Status.Conditions, v1alpha1.ConditionDeregistered)
	return failing != nil && r.Clock.Now().Sub(failing.LastTransitionTime.Time) >= deletionGracePeriod
}

// cantDeregister records why the action type can't be deleted. If the grace period is over, it
// releases the object.
func (r *Reconciler) cantDeregister(ctx context.Context, action *v1alpha1.CustomAction, why string) error {
	if r.timeIsUp(action) {
		return r.giveUp(ctx, action, why)
	}
	return r.sayNotDeregistered(ctx, action, v1alpha1.ReasonRetrying, fmt.Sprintf(
		"being deleted, but action type %s can't be deleted: %s (to leave it in CodePipeline, set spec.deletionPolicy to Retain)", actionTypeID(action), why))
}

// giveUp releases the object although its action type remains. It records that first, even if a
// retry records it again, because nothing can afterwards. A namespace that is being deleted accepts
// no new events, so giveUp also writes to the log, and an event on the operator's own pod.
func (r *Reconciler) giveUp(ctx context.Context, action *v1alpha1.CustomAction, why string) error {
	message := remains(action, why)
	if err := r.sayNotDeregistered(ctx, action, v1alpha1.ReasonNotDeregistered, message); err != nil {
		return err
	}
	logf.FromContext(ctx).Info("A CustomAction is deleted, and its action type remains", "message", message)
	r.event(action, corev1.EventTypeWarning, v1alpha1.ReasonNotDeregistered, "Deregister", message)
	if r.Self != nil {
		note := fmt.Sprintf("CustomAction %s/%s: %s", action.Namespace, action.Name, message)
		r.Events.Eventf(r.Self, nil, corev1.EventTypeWarning, v1alpha1.ReasonNotDeregistered, "Deregister", "%s", limits.CutBytes(note, limits.EventNote))
	}
	if err := r.release(ctx, action); err != nil {
		return err
	}
	metrics.DeletedNotDeregistered()
	return nil
}

// remains returns a message with the action type that remains, the command that deletes it, and the
// reason.
func remains(action *v1alpha1.CustomAction, why string) string {
	id, where := actionTypeID(action), string(regionOf(action))
	if account := action.Status.AccountID; account != "" && action.Status.Region == regionOf(action) {
		where += " of account " + account
	}
	return fmt.Sprintf("The CustomAction was deleted, but its action type could not be deleted for %s: action type %s remains in CodePipeline in %s. "+
		"To delete it, run aws codepipeline delete-custom-action-type --category %s --provider %s --action-version %s --region %s. Reason: %s",
		deletionGracePeriod, id, where, id.Category, id.Provider, id.Version, regionOf(action), why)
}

func (r *Reconciler) sayNotDeregistered(ctx context.Context, action *v1alpha1.CustomAction, reason, message string) error {
	_, err := r.writeStatus(ctx, action, tally{}, func(status *v1alpha1.CustomActionStatus) {
		setDeleting(status, message)
		setActionCondition(status, metav1.Condition{Type: v1alpha1.ConditionDeregistered, Status: metav1.ConditionFalse,
			Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(r.Clock.Now())})
	})
	return err
}
