package controllers

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

// registration is how an attempt to register went: the reason and message of
// condition Registered, and the error behind it.
type registration struct {
	reason  string
	message string
	// err is nil when the action type exists as defined.
	err error
	// retry says that trying again may help without anybody doing anything.
	retry bool
}

// registrations remembers which definitions were found to be registered, so
// that CodePipeline is asked again only when one changes, or for drift: a
// CustomAction is reconciled with each step of each of its jobs. The zero value
// is ready for use.
type registrations struct {
	mu    sync.Mutex
	known map[types.NamespacedName]known
}

// known is a registration that was found in order.
type known struct {
	uid        types.UID
	generation int64
	at         time.Time
	found      registration
}

// of is the registration of an action: as remembered, or as check finds it.
func (r *registrations) of(action *v1alpha1.CustomAction, now time.Time, check func() registration) registration {
	name := client.ObjectKeyFromObject(action)
	r.mu.Lock()
	last, ok := r.known[name]
	r.mu.Unlock()
	if ok && last.uid == action.UID && last.generation == action.Generation && now.Sub(last.at) < driftInterval {
		return last.found
	}
	found := check()
	if found.err != nil {
		r.forget(name)
		return found
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[types.NamespacedName]known{}
	}
	r.known[name] = known{action.UID, action.Generation, now, found}
	return found
}

// forget has the action checked at its next reconciliation.
func (r *registrations) forget(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, name)
}

// register makes sure that CodePipeline has the action type as defined. One
// that differs is left alone: pipelines may use it.
func (r *CustomActionReconciler) register(ctx context.Context, action *v1alpha1.CustomAction) registration {
	api, err := r.AWS.For(ctx, identity(action.Spec.AWS, r.ClusterID, action.Namespace))
	if err != nil {
		return registrationFailed(err)
	}
	wanted := actionTypeOf(action)
	found, err := api.FindActionType(ctx, wanted.ID)
	if err != nil {
		return registrationFailed(err)
	}
	if found == nil {
		return r.registerMissing(ctx, api, action, wanted)
	}
	if fields := codepipeline.Differences(wanted, *found); len(fields) > 0 {
		err := fmt.Errorf("action type %s exists in %s with another definition; it differs in %s: use the next version, or make the definitions equal",
			wanted.ID, action.Spec.AWS.Region, strings.Join(fields, ", "))
		return registration{reason: v1alpha1.ReasonDefinitionConflict, message: err.Error(), err: err}
	}
	return registered(wanted.ID)
}

func (r *CustomActionReconciler) registerMissing(ctx context.Context, api *codepipeline.Client, action *v1alpha1.CustomAction, wanted codepipeline.ActionType) registration {
	if action.Spec.Registration == v1alpha1.RegistrationExternal {
		err := fmt.Errorf("action type %s does not exist in %s, and registration is External: register it, or set registration to Managed",
			wanted.ID, action.Spec.AWS.Region)
		return registration{reason: v1alpha1.ReasonActionTypeNotFound, message: err.Error(), err: err, retry: true}
	}
	tags := map[string]string{}
	for _, tag := range action.Spec.ActionType.Tags {
		tags[tag.Key] = tag.Value
	}
	if err := api.CreateActionType(ctx, wanted, tags); err != nil {
		return registrationFailed(err)
	}
	return registered(wanted.ID)
}

func registered(id codepipeline.ActionTypeID) registration {
	return registration{reason: v1alpha1.ReasonRegistered, message: fmt.Sprintf("CodePipeline has action type %s as defined", id)}
}

// registrationFailed tells failures that pass from those that somebody must mend.
func registrationFailed(err error) registration {
	failed := registration{message: err.Error(), err: err, retry: true}
	switch codepipeline.KindOf(err) {
	case codepipeline.LimitExceeded:
		failed.reason = v1alpha1.ReasonLimitExceeded
	case codepipeline.AccessDenied:
		failed.reason = v1alpha1.ReasonAccessDenied
	case codepipeline.Throttled, codepipeline.Unclear:
		failed.reason = v1alpha1.ReasonAWSUnavailable
	default:
		failed.reason = v1alpha1.ReasonRegistrationFailed
		failed.retry = false
	}
	return failed
}

func actionTypeID(action *v1alpha1.CustomAction) codepipeline.ActionTypeID {
	return codepipeline.ActionTypeID{
		Category: string(action.Spec.ActionType.Category),
		Provider: action.Spec.ActionType.Provider,
		Version:  action.Spec.ActionType.Version,
	}
}

// actionTypeOf is the definition as CodePipeline takes it.
func actionTypeOf(action *v1alpha1.CustomAction) codepipeline.ActionType {
	defined := action.Spec.ActionType
	wanted := codepipeline.ActionType{
		ID:      actionTypeID(action),
		Inputs:  codepipeline.ArtifactBounds{Minimum: defined.InputArtifactDetails.MinimumCount, Maximum: defined.InputArtifactDetails.MaximumCount},
		Outputs: codepipeline.ArtifactBounds{Minimum: defined.OutputArtifactDetails.MinimumCount, Maximum: defined.OutputArtifactDetails.MaximumCount},
	}
	if settings := defined.Settings; settings != nil {
		wanted.Settings = codepipeline.Settings{
			ThirdPartyConfigurationURL: settings.ThirdPartyConfigurationURL,
			EntityURLTemplate:          settings.EntityURLTemplate,
			ExecutionURLTemplate:       settings.ExecutionURLTemplate,
			RevisionURLTemplate:        settings.RevisionURLTemplate,
		}
	}
	for _, property := range defined.ConfigurationProperties {
		wanted.Properties = append(wanted.Properties, codepipeline.Property{
			Name:        property.Name,
			Required:    property.Required,
			Key:         property.Key,
			Secret:      property.Secret,
			Queryable:   property.Queryable != nil && *property.Queryable,
			Description: property.Description,
			Type:        property.Type,
		})
	}
	return wanted
}
