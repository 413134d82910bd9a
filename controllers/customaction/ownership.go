package customaction

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// isRegistered reports whether the action type is the object's: the operator registered
// it for the object, or found it as the object defines it. No other is ever deleted.
func isRegistered(action *v1alpha1.CustomAction) bool {
	with := action.Status.RegisteredWith
	return with != nil && *with == action.Spec.AWS
}

// registeredWith is status.registeredWith after an examination. One that could not tell
// changes nothing.
func (e examined) registeredWith(action *v1alpha1.CustomAction) *v1alpha1.AWS {
	switch e.registration.reason {
	case v1alpha1.ReasonRegistered:
		return action.Spec.AWS.DeepCopy()
	case v1alpha1.ReasonDefinitionConflict:
		return nil
	default:
		return action.Status.RegisteredWith
	}
}

// recordRegistration records that the action type is about to be registered: if the
// operator ends after the call and before its answer, the object's deletion still
// deletes the action type. The rest of the status is left to writeStatus: its conditions
// are not of this generation yet.
func (r *Reconciler) recordRegistration(ctx context.Context, action *v1alpha1.CustomAction) error {
	if action.Spec.Registration == v1alpha1.RegistrationExternal || isRegistered(action) {
		return nil
	}
	before := action.DeepCopy()
	action.Status.RegisteredWith, action.Status.ActionTypeARN = action.Spec.AWS.DeepCopy(), ""
	if err := r.Status().Patch(ctx, action, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("record the registration of CustomAction %s: %w", action.Name, err)
	}
	if !action.DeletionTimestamp.IsZero() { // it may have been let go already
		return fmt.Errorf("CustomAction %s is being deleted: its action type is not registered", action.Name)
	}
	return nil
}
