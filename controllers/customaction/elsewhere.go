package customaction

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
)

// former is a place where an action took jobs before its spec or its account changed. CodePipeline
// may hand these jobs out again, and only there.
type former struct {
	target poller.Target
	// jobs is the number of such jobs.
	jobs int
	// refused is the reason why no calls are made there; nil if they are made.
	refused error
}

// formerPlaces returns the places of jobs that polls in the action's current place do not return.
func (r *Reconciler) formerPlaces(ctx context.Context, action *v1alpha1.CustomAction, a access, jobs []v1alpha1.PipelineJob) ([]former, error) {
	var found []former
	for i := range jobs {
		job := &jobs[i]
		if a.works(action.Namespace) && r.target(action, a, false).HandsOut(job) {
			continue
		}
		place, err := r.formerPlace(ctx, action, job)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(found, func(other former) bool { return other.target.Place() == place.target.Place() })
		if at < 0 {
			found = append(found, place)
			continue
		}
		found[at].jobs++
	}
	slices.SortFunc(found, func(a, b former) int { return a.target.Place().Compare(b.target.Place()) })
	return found, nil
}

// formerPlace returns the place where a job was taken. Calls may be made there under the same rules
// as all other calls for the job.
func (r *Reconciler) formerPlace(ctx context.Context, action *v1alpha1.CustomAction, job *v1alpha1.PipelineJob) (former, error) {
	id, err := identity.Resolver{Reader: r.Client, ClusterID: r.ClusterID}.OfJob(ctx, job)
	var refused *identity.NoAccessError
	if err != nil && !errors.As(err, &refused) {
		return former{}, err
	}
	id.Region = string(job.Spec.Region)
	found := former{refused: err, jobs: 1, target: poller.Target{
		Action: client.ObjectKeyFromObject(action), Account: job.Spec.AccountRef.Name, AccountID: job.Spec.AccountID,
		Identity: id, Type: actionTypeID(action), Interval: action.Spec.Polling.Interval.Duration,
	}}
	with := job.Spec.QueryParam
	if len(with) == 0 { // an older version recorded the job, or the action type has no queryable property
		with = action.Spec.Polling.QueryParam
	}
	for key, value := range with { // at most one
		found.target.QueryKey, found.target.QueryValue = key, string(value)
	}
	return found, nil
}

// polled returns the targets of the places where calls may be made.
func polled(places []former) (targets []poller.Target) {
	for _, place := range places {
		if place.refused == nil {
			targets = append(targets, place.target)
		}
	}
	return targets
}

// tellFormer returns the part of a message about jobs in former places, or an empty string if there
// are none.
func (r *Reconciler) tellFormer(places []former) string {
	var told strings.Builder
	for _, place := range places {
		at := place.target
		where := fmt.Sprintf("%s with CodePipelineAccount %s", at.Identity.Region, at.Account)
		if at.QueryKey != "" {
			where += fmt.Sprintf(" and %s=%s", at.QueryKey, at.QueryValue)
		}
		fmt.Fprintf(&told, "; the action has moved, and %d of its jobs that were taken in %s are not confirmed as reported: ", place.jobs, where)
		failing := r.Poller.HealthElsewhere(at.Action, at.Place()).Err
		switch {
		case place.refused != nil:
			told.WriteString("no calls are made for them, because " + place.refused.Error())
		case failing != nil:
			told.WriteString("the last poll for them failed, and the operator tries again: " + codepipeline.StableText(failing))
		default:
			told.WriteString("the operator polls for them there, in case CodePipeline hands them out again")
		}
	}
	return told.String()
}
