package customaction

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

// finding is what was found out about a part of a CustomAction: the reason and
// message of a condition, and the error behind it.
type finding struct {
	reason  string
	message string
	// err is nil when the part is in order.
	err error
	// retry says that trying again may help without anybody doing anything.
	retry bool
}

// passes reports whether the part only could not be examined: AWS or the cluster did
// not answer, or not now.
func (f finding) passes() bool {
	switch f.reason {
	case v1alpha1.ReasonAWSUnavailable, v1alpha1.ReasonCredentialsUnavailable, v1alpha1.ReasonAPIServerUnavailable:
		return f.retry
	default:
		return false
	}
}

// examined is all that was found out about a definition.
type examined struct {
	template finding
	// registration is the zero value when the template is not in order: nothing
	// was tried.
	registration finding
	// passing is why the last examination failed, if that will pass and the one before
	// it still counts.
	passing finding
	// arn is that of the action type, tagKeys are those of its tags that are ours.
	arn     string
	tagKeys []string
}

// wrong is the first part that is not in order.
func (e examined) wrong() (finding, bool) {
	for _, part := range []finding{e.template, e.registration} {
		if part.err != nil {
			return part, true
		}
	}
	return finding{}, false
}

// examine checks the template, and makes sure that CodePipeline has the action
// type as defined.
func (r *Reconciler) examine(ctx context.Context, action *v1alpha1.CustomAction) examined {
	found := examined{tagKeys: r.tagKeysOf(action)}
	if isRegistered(action) { // else the ARN is of another account or region
		found.arn = action.Status.ActionTypeARN
	}
	if found.template = r.checkTemplate(ctx, action); found.template.err != nil {
		return found
	}
	api, err := r.AWS.For(ctx, r.identity(action))
	if err != nil {
		found.registration = registrationFailed(action, err)
		return found
	}
	if found.registration = r.register(ctx, api, action); found.registration.err != nil {
		return found
	}
	if action.Spec.Registration == v1alpha1.RegistrationManaged {
		found.tagKeys, err = r.syncTags(ctx, api, action)
	}
	if err != nil {
		problem := "its tags are out of sync with spec.actionType.tags: " + codepipeline.StableText(err)
		found.registration.message += "; " + problem
		r.event(action, corev1.EventTypeWarning, v1alpha1.ReasonTagsOutOfSync, "KeepTags", problem)
	}
	switch arn, err := api.ActionTypeARN(ctx, actionTypeID(action)); {
	case err == nil:
		found.arn = arn
	case found.arn == "":
		found.registration.message += "; its ARN is not known: " + codepipeline.StableText(err)
	}
	return found
}

// register makes sure that CodePipeline has the action type as defined. One
// that differs is left alone: pipelines may use it.
func (r *Reconciler) register(ctx context.Context, api *codepipeline.Client, action *v1alpha1.CustomAction) finding {
	wanted := actionTypeOf(action)
	found, err := api.FindActionType(ctx, wanted.ID)
	if err != nil {
		return registrationFailed(action, err)
	}
	if found != nil {
		return compared(action, wanted, *found)
	}
	if err := r.recordRegistration(ctx, action); err != nil {
		return finding{reason: v1alpha1.ReasonAPIServerUnavailable, message: err.Error(), err: err, retry: true}
	}
	return r.registerMissing(ctx, api, action, wanted)
}

// compared is what is found of an action type that exists.
func compared(action *v1alpha1.CustomAction, wanted codepipeline.ActionType, found codepipeline.ListedActionType) finding {
	if fields := codepipeline.Differences(wanted, found); len(fields) > 0 {
		err := fmt.Errorf("action type %s exists in %s with another definition; it differs in %s: use the next version, or make the definitions equal",
			wanted.ID, action.Spec.AWS.Region, strings.Join(fields, ", "))
		return finding{reason: v1alpha1.ReasonDefinitionConflict, message: err.Error(), err: err}
	}
	return registered(wanted.ID)
}

func (r *Reconciler) registerMissing(ctx context.Context, api *codepipeline.Client, action *v1alpha1.CustomAction, wanted codepipeline.ActionType) finding {
	if action.Spec.Registration == v1alpha1.RegistrationExternal {
		err := fmt.Errorf("action type %s does not exist in %s, and registration is External: register it, or set registration to Managed",
			wanted.ID, action.Spec.AWS.Region)
		return finding{reason: v1alpha1.ReasonActionTypeNotFound, message: err.Error(), err: err, retry: true}
	}
	if err := api.CreateActionType(ctx, wanted, tagsOf(action)); err != nil {
		// Another object of this type may have registered it at the same time.
		if found, _ := api.FindActionType(ctx, wanted.ID); found != nil {
			return compared(action, wanted, *found)
		}
		return registrationFailed(action, err)
	}
	r.event(action, corev1.EventTypeNormal, v1alpha1.ReasonRegistered, "Register",
		fmt.Sprintf("registered action type %s in %s", wanted.ID, action.Spec.AWS.Region))
	return registered(wanted.ID)
}

// syncTags sets the tags of the action type to those of the spec, and returns the
// keys that the operator manages. Without any it makes no call.
func (r *Reconciler) syncTags(ctx context.Context, api *codepipeline.Client, action *v1alpha1.CustomAction) ([]string, error) {
	wanted, ours := tagsOf(action), r.tagKeysOf(action)
	if len(wanted)+len(ours) == 0 {
		return nil, nil
	}
	arn, err := api.ActionTypeARN(ctx, actionTypeID(action))
	if err != nil {
		return ours, err
	}
	found, err := api.Tags(ctx, arn)
	if err != nil {
		return ours, err
	}
	if changes := codepipeline.ChangeTags(wanted, found, ours); !changes.None() {
		if err := api.UpdateTags(ctx, arn, changes); err != nil {
			return ours, err
		}
	}
	return slices.Sorted(maps.Keys(wanted)), nil
}

// tagKeysOf are the tags that the operator has set. The status may not show yet what the
// last examination set.
func (r *Reconciler) tagKeysOf(action *v1alpha1.CustomAction) []string {
	keys := append(r.examinations.tagKeys(action), action.Status.TagKeys...)
	slices.Sort(keys)
	return slices.Compact(keys)
}

func tagsOf(action *v1alpha1.CustomAction) map[string]string {
	tags := map[string]string{}
	for _, tag := range action.Spec.ActionType.Tags {
		tags[tag.Key] = tag.Value
	}
	return tags
}

func registered(id codepipeline.ActionTypeID) finding {
	return finding{reason: v1alpha1.ReasonRegistered, message: fmt.Sprintf("CodePipeline has action type %s as defined", id)}
}

// registrationFailed tells failures that may pass from those that only a change of the
// object ends: CodePipeline refused the request, with an error of its model. Any other
// answer, such as a proxy's, is tried again.
func registrationFailed(action *v1alpha1.CustomAction, cause error) finding {
	failed := finding{reason: reasonOf(cause), message: explain(action, cause), err: cause, retry: true}
	switch {
	case failed.reason != "":
	case codepipeline.IsRetiredVersion(cause):
		failed.reason, failed.retry = v1alpha1.ReasonVersionRetired, false
		failed.message += ": use the next version, or the definition that it had"
	case codepipeline.KindOf(cause) == codepipeline.LimitExceeded:
		failed.reason = v1alpha1.ReasonLimitExceeded
		failed.message += ": delete action types that are not in use, or have the quota raised"
	case codepipeline.KindOf(cause) == codepipeline.Refused:
		failed.reason, failed.retry = v1alpha1.ReasonRegistrationFailed, false
		failed.message += " (a version that was deleted comes back only with the definition that it had)"
	default:
		failed.reason = v1alpha1.ReasonRegistrationFailed
	}
	return failed
}

// reasonOf is the reason of a call that failed for what has nothing to do with
// what it asked for; empty for any other.
func reasonOf(cause error) string {
	var credentials *codepipeline.CredentialsError
	var role *codepipeline.RoleNotAllowedError
	var anonymous *codepipeline.NoExternalIDError
	_, unknown := codepipeline.UnknownHost(cause)
	switch {
	case errors.As(cause, &role), errors.As(cause, &anonymous):
		return v1alpha1.ReasonRoleNotAllowed
	case errors.As(cause, &credentials):
		return v1alpha1.ReasonCredentialsUnavailable
	case unknown:
		return v1alpha1.ReasonRegionNotFound
	}
	switch codepipeline.KindOf(cause) {
	case codepipeline.AccessDenied:
		return v1alpha1.ReasonAccessDenied
	case codepipeline.Throttled, codepipeline.Unclear:
		return v1alpha1.ReasonAWSUnavailable
	default:
		return ""
	}
}

// explain says what a failed call means for the object.
func explain(action *v1alpha1.CustomAction, cause error) string {
	if host, unknown := codepipeline.UnknownHost(cause); unknown {
		return fmt.Sprintf("spec.aws.region is %q, and there is no host %s: is the region right, and does the cluster's DNS resolve it? (%s)",
			action.Spec.AWS.Region, host, codepipeline.StableText(cause))
	}
	return codepipeline.StableText(cause)
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
