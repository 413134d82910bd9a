package customaction

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
)

// finding is the result of a check: the reason and message of a condition, and the error that caused
// them.
type finding struct {
	reason  string
	message string
	// err is nil if the check passed.
	err error
	// retry is true if the check may pass later without a change by a user.
	retry bool
}

// passes reports whether the failure is temporary, so that it says nothing about the definition: AWS
// or the cluster did not respond, or is unavailable.
func (f finding) passes() bool {
	switch f.reason {
	case v1alpha1.ReasonAWSUnavailable, v1alpha1.ReasonCredentialsUnavailable, v1alpha1.ReasonAPIServerUnavailable:
		return f.retry
	default:
		return false
	}
}

// examined is the result of an examination of a definition.
type examined struct {
	template finding
	// registration is the zero value if the template failed its check: the action type is then
	// not checked.
	registration finding
	// passing is the temporary failure of the last examination, if the result of the one before
	// it still counts.
	passing finding
	// accountID and region are the place in which the operator looked for the action type.
	accountID string
	region    v1alpha1.Region
	// arn is the ARN of the action type in that place, tagKeys are the keys of the tags that the
	// operator manages, and owner is the owner according to the tags.
	arn     string
	tagKeys []string
	owner   v1alpha1.ActionTypeOwner
	// foreign is true if its tags name an object of another namespace or cluster.
	foreign bool
}

// isOf reports whether the result is for the account and region of a.
func (e examined) isOf(a access) bool { return e.accountID == a.accountID() && e.region == a.region }

// wrong returns the first failed check, and reports whether there is one.
func (e examined) wrong() (finding, bool) {
	for _, part := range []finding{e.template, e.registration} {
		if part.err != nil {
			return part, true
		}
	}
	return finding{}, false
}

// examine checks the template, and ensures that CodePipeline has the action type as it is defined.
func (r *Reconciler) examine(ctx context.Context, action *v1alpha1.CustomAction, a access) examined {
	found := recordedOf(action, a)
	found.tagKeys = r.tagKeysOf(action)
	if last, known := r.examinations.last(action); known && last.isOf(a) {
		found.foreign = last.foreign // until the tags are read
	}
	if found.template = r.checkTemplate(ctx, action, a.given.ReferencesIn); found.template.err != nil {
		if found.owner == v1alpha1.OwnerThis {
			r.confirmOwner(ctx, action, a, &found)
		}
		return found
	}
	api, err := r.AWS.For(ctx, r.identity(a, action))
	if err != nil {
		found.registration = registrationFailed(action, err)
		return found
	}
	listed, err := api.FindActionType(ctx, actionTypeID(action))
	if err != nil { // arn and owner remain: the failure may be temporary
		found.registration = registrationFailed(action, err)
		return found
	}
	found.registration = r.register(ctx, api, action, a, listed)
	if found.registration.err != nil {
		found.arn, found.owner = "", "" // the action type may be a different one by now
		return found
	}
	if err := r.examineTags(ctx, api, action, a, &found); err != nil {
		found.registration = registrationFailed(action, err)
	}
	return found
}

// confirmOwner reads the tags for an object that can't take jobs, and that owns the action type
// according to its status: it would keep the jobs from others for ever, although the tags may name
// another object by now, or a user may have written the status. While the tags can't be read, the
// status counts.
func (r *Reconciler) confirmOwner(ctx context.Context, action *v1alpha1.CustomAction, a access, found *examined) {
	api, err := r.AWS.For(ctx, r.identity(a, action))
	if err != nil {
		return
	}
	arn, err := arnOf(ctx, api, action, a)
	if err != nil {
		return
	}
	tags, err := api.Tags(ctx, arn)
	switch {
	case codepipeline.KindOf(err) == codepipeline.ResourceNotFound:
		found.arn, found.owner = "", ""
	case err == nil:
		found.arn, found.owner, found.foreign = arn, r.owner(action, tags), r.isOfAnotherNamespace(action, tags)
	}
}

// register ensures that CodePipeline has the action type as it is defined; found is the existing
// action type, or nil. One with another definition is not changed: pipelines may use it.
func (r *Reconciler) register(ctx context.Context, api *codepipeline.Client, action *v1alpha1.CustomAction, a access, found *codepipeline.ListedActionType) finding {
	wanted := actionTypeOf(action)
	switch {
	case found != nil:
		return compared(action, wanted, *found)
	case action.Spec.Registration == v1alpha1.RegistrationExternal:
		return missing(v1alpha1.ReasonActionTypeNotFound,
			"action type %s does not exist in %s, and registration is External: register it, or set registration to Managed", wanted.ID, regionOf(action))
	case !a.given.MayRegister:
		return missing(v1alpha1.ReasonRegistrationNotGranted,
			"action type %s does not exist in %s, and no grant of CodePipelineAccount %s allows namespace %s to create it: the platform team can create it, or set mayRegister in a grant",
			wanted.ID, regionOf(action), action.Spec.AccountRef.Name, action.Namespace)
	}
	// If several CustomActions that may create it find it missing, the one that takes the jobs does.
	if taken, err := r.createdByAnother(ctx, action, a); err != nil || taken.err != nil {
		taken.retry = true // once the action type exists, nobody has to create it
		return unlessAPIServer(taken, err)
	}
	return r.create(ctx, api, action, wanted)
}

// createdByAnother returns a finding if another CustomAction that may create the action type takes
// precedence.
func (r *Reconciler) createdByAnother(ctx context.Context, action *v1alpha1.CustomAction, a access) (finding, error) {
	at := placeOf(action, a)
	mine, err := r.standingOf(ctx, action, a, func(of place) bool { return of == at })
	if err != nil {
		return finding{}, err
	}
	return r.takenBefore(ctx, mine, at, func(other standing) bool { return other.creates })
}

// unlessAPIServer returns a finding, or if the API server failed, a finding with its error.
func unlessAPIServer(found finding, err error) finding {
	if err != nil {
		return finding{reason: v1alpha1.ReasonAPIServerUnavailable, message: err.Error(), err: err, retry: true}
	}
	return found
}

// missing returns a finding for an action type that does not exist, and that others may create.
func missing(reason, format string, args ...any) finding {
	found := refusal(reason, format, args...)
	found.retry = true
	return found
}

// compared returns a finding for an action type that exists.
func compared(action *v1alpha1.CustomAction, wanted codepipeline.ActionType, found codepipeline.ListedActionType) finding {
	if fields := codepipeline.Differences(wanted, found); len(fields) > 0 {
		return refusal(v1alpha1.ReasonDefinitionConflict,
			"action type %s exists in %s with another definition; it differs in %s: use the next version, or make the definitions equal",
			wanted.ID, regionOf(action), strings.Join(fields, ", "))
	}
	return registered(wanted.ID)
}

// create creates the action type, with the tags that name its owner.
func (r *Reconciler) create(ctx context.Context, api *codepipeline.Client, action *v1alpha1.CustomAction, wanted codepipeline.ActionType) finding {
	if err := r.stillThere(ctx, action); err != nil {
		return unlessAPIServer(finding{}, err)
	}
	if err := api.CreateActionType(ctx, wanted, r.createTags(action)); err != nil {
		// Another object of this type may have created it at the same time.
		if found, _ := api.FindActionType(ctx, wanted.ID); found != nil {
			return compared(action, wanted, *found)
		}
		return registrationFailed(action, err)
	}
	r.event(action, corev1.EventTypeNormal, v1alpha1.ReasonRegistered, "Register",
		fmt.Sprintf("registered action type %s in %s", wanted.ID, regionOf(action)))
	return registered(wanted.ID)
}

// stillThere returns an error if an object is being deleted or gone. It reads from the API server,
// without the cache: nothing would delete an action type that is created for a deleted object.
func (r *Reconciler) stillThere(ctx context.Context, action *v1alpha1.CustomAction) error {
	newest := &v1alpha1.CustomAction{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(action), newest); err != nil {
		return fmt.Errorf("read CustomAction %s: %w", action.Name, err)
	}
	if newest.UID != action.UID || !newest.DeletionTimestamp.IsZero() {
		return fmt.Errorf("CustomAction %s is being deleted: its action type is not registered", action.Name)
	}
	return nil
}

// arnOf returns the ARN of the action type, from the status if possible: the failure of a call would
// stop polling after a restart of the operator. An ARN of another action type is not used: its tags
// would prove an ownership of that one, and users may be able to write a status.
func arnOf(ctx context.Context, api *codepipeline.Client, action *v1alpha1.CustomAction, a access) (string, error) {
	id := actionTypeID(action)
	if known := recordedOf(action, a); codepipeline.IsActionTypeARN(known.arn, string(known.region), known.accountID, id) {
		return known.arn, nil
	}
	return api.ActionTypeARN(ctx, id)
}

// examineTags determines the owner of the action type, and keeps its tags in sync if this object
// owns it.
func (r *Reconciler) examineTags(ctx context.Context, api *codepipeline.Client, action *v1alpha1.CustomAction, a access, found *examined) error {
	arn, err := arnOf(ctx, api, action, a)
	if err != nil {
		return err
	}
	tags, err := api.Tags(ctx, arn)
	if err != nil {
		return err
	}
	found.arn, found.owner, found.foreign = arn, r.owner(action, tags), r.isOfAnotherNamespace(action, tags)
	if taken, is := r.foreign(action, tags, a); is {
		found.registration = taken
		return nil
	}
	if action.Spec.Registration == v1alpha1.RegistrationExternal {
		return nil
	}
	var problem string
	found.tagKeys, problem = r.syncTags(ctx, api, action, *found, tags)
	if problem != "" {
		problem = "its tags are out of sync with spec.actionType.tags: " + problem
		found.registration.message += "; " + problem
		r.event(action, corev1.EventTypeWarning, v1alpha1.ReasonTagsOutOfSync, "KeepTags", problem)
	}
	return nil
}

// syncTags sets the tags of an action type that this object owns to those of the spec. It returns
// the keys that the operator manages and, if the tags are out of sync, the problem.
func (r *Reconciler) syncTags(ctx context.Context, api *codepipeline.Client, action *v1alpha1.CustomAction, found examined, tags map[string]string) (keys []string, problem string) {
	wanted := tagsOf(action)
	changes := codepipeline.ChangeTags(wanted, tags, found.tagKeys)
	switch {
	case found.owner != v1alpha1.OwnerThis:
		if changes.None() || len(changes.Set) == 0 {
			return nil, ""
		}
		return nil, "the action type was not registered for this object, so its tags are not changed"
	case changes.None():
	default:
		if err := api.UpdateTags(ctx, found.arn, changes); err != nil {
			return found.tagKeys, codepipeline.StableText(err)
		}
	}
	return slices.Sorted(maps.Keys(wanted)), ""
}

// tagKeysOf returns the keys of the tags that the operator has set. The status may not have those of
// the last examination yet.
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

// registrationFailed returns a finding for a failed call. It lasts until the object changes only if
// CodePipeline refused the request with an error of its API model. After any other response, such as
// a proxy's, the operator tries again.
func registrationFailed(action *v1alpha1.CustomAction, cause error) finding {
	failed := finding{reason: identity.ReasonOf(cause), message: explain(action, cause), err: cause, retry: true}
	switch {
	case failed.reason != "":
	case codepipeline.IsRetiredVersion(cause):
		failed.reason, failed.retry = v1alpha1.ReasonVersionRetired, false
		failed.message += ": use the next version, or the definition that it had"
	case codepipeline.KindOf(cause) == codepipeline.LimitExceeded:
		failed.reason = v1alpha1.ReasonLimitExceeded
		failed.message += ": delete unused action types, or request a quota increase"
	case codepipeline.KindOf(cause) == codepipeline.Refused:
		failed.reason, failed.retry = v1alpha1.ReasonRegistrationFailed, false
		failed.message += " (a deleted version can be created again only with the definition that it had)"
	default:
		failed.reason = v1alpha1.ReasonRegistrationFailed
	}
	return failed
}

// explain returns a message for a failed call that names the field to check, if there is one.
func explain(action *v1alpha1.CustomAction, cause error) string {
	if host, unknown := codepipeline.UnknownHost(cause); unknown {
		return fmt.Sprintf("the region is %q, and host %s does not exist: check the region, and that the cluster's DNS resolves the host (%s)",
			regionOf(action), host, codepipeline.StableText(cause))
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

// actionTypeOf returns the definition for CodePipeline.
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
