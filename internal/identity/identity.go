// Package identity derives the identity with which the operator calls AWS for an object from the
// CodePipelineAccount that the object names.
package identity

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

// Caller identifies the CustomAction for which a call is made.
type Caller struct {
	Region v1alpha1.Region
	// Namespace and name of the CustomAction. Action is empty if a call is made for several.
	Namespace, Action string
	// MayRegister allows calls that create, tag or delete action types.
	MayRegister bool
}

// Of returns the identity for a caller. The external ID of an assumed role names the cluster and the
// namespace, so that the role's trust policy can limit who may assume it. Without the cluster's ID,
// there is no external ID, and the role can't be assumed: /NAMESPACE would be the same in all
// clusters.
func Of(account *v1alpha1.CodePipelineAccount, clusterID string, caller Caller) codepipeline.Identity {
	id := codepipeline.Identity{Region: string(caller.Region), RoleARN: account.Spec.RoleARN}
	if id.RoleARN != "" {
		id.SessionName, id.MayRegister = codepipeline.SessionName(caller.Namespace, caller.Action), caller.MayRegister
	}
	if id.RoleARN != "" && clusterID != "" {
		id.ExternalID = clusterID + "/" + caller.Namespace
	}
	return id
}

// IndexAccount is the name of the cache's index of CustomActions, and of PipelineJobs that
// CodePipeline may hand out, by the name of their CodePipelineAccount.
const IndexAccount = "spec.accountRef.name"

// ByAccount is the indexer for IndexAccount.
func ByAccount(object client.Object) []string {
	switch object := object.(type) {
	case *v1alpha1.CustomAction:
		return []string{object.Spec.AccountRef.Name}
	case *v1alpha1.PipelineJob:
		if object.MayBeHandedOut() {
			return []string{object.Spec.AccountRef.Name}
		}
	}
	return nil
}

// Resolver resolves the identities for PipelineJobs.
type Resolver struct {
	// Reader reads CodePipelineAccounts, from a cache.
	Reader client.Reader
	// ClusterID is part of the external ID for assuming roles.
	ClusterID string
}

// IsProven reports whether AWS has returned the ID of an account for its current role. It remains
// true while AWS does not respond.
func IsProven(account *v1alpha1.CodePipelineAccount) bool {
	return account.Status.AccountID != "" && account.Status.ProvenRoleARN == account.Spec.RoleARN
}

// NoAccessError is the reason why no call is made for a PipelineJob. It usually lasts until a user
// changes the account.
type NoAccessError struct{ message string }

func (e *NoAccessError) Error() string { return e.message }

// OfJob returns the identity for calls for a PipelineJob. It returns a *NoAccessError unless the
// status of the account lists the namespace and the region. Only the operator writes that status, and
// only for namespaces with a grant, whereas a PipelineJob proves no access. After a grant is
// withdrawn, the namespace remains listed until its last job is reported.
//
// OfJob also returns a *NoAccessError unless the account is proven to be the AWS account of the job.
// Another AWS account does not have the job, and its responses would look as if CodePipeline no
// longer waited for it.
func (r Resolver) OfJob(ctx context.Context, job *v1alpha1.PipelineJob) (codepipeline.Identity, error) {
	return r.find(ctx, job, job.Spec.ActionRef.Name)
}

// OfNamespace is OfJob for a call for jobs of several CustomActions with the namespace, account and
// region of job.
func (r Resolver) OfNamespace(ctx context.Context, job *v1alpha1.PipelineJob) (codepipeline.Identity, error) {
	return r.find(ctx, job, "")
}

func (r Resolver) find(ctx context.Context, job *v1alpha1.PipelineJob, action string) (codepipeline.Identity, error) {
	name, account := job.Spec.AccountRef.Name, &v1alpha1.CodePipelineAccount{}
	err := r.Reader.Get(ctx, client.ObjectKey{Name: name}, account)
	switch {
	case apierrors.IsNotFound(err):
		return codepipeline.Identity{}, &NoAccessError{fmt.Sprintf("CodePipelineAccount %q does not exist: the platform team can create it", name)}
	case err != nil:
		return codepipeline.Identity{}, fmt.Errorf("read CodePipelineAccount %s: %w", name, err)
	case !slices.Contains(account.Status.Namespaces, job.Namespace):
		return codepipeline.Identity{}, &NoAccessError{fmt.Sprintf("no grant of CodePipelineAccount %s applies to namespace %s: the platform team can add one", name, job.Namespace)}
	case !slices.Contains(account.Status.Regions, job.Spec.Region):
		return codepipeline.Identity{}, &NoAccessError{fmt.Sprintf("CodePipelineAccount %s does not include region %s: the platform team can add it to spec.regions", name, job.Spec.Region)}
	}
	if err := proveFor(account, job.Spec.AccountID); err != nil {
		return codepipeline.Identity{}, err
	}
	return Of(account, r.ClusterID, Caller{Region: job.Spec.Region, Namespace: job.Namespace, Action: action}), nil
}

// proveFor returns a *NoAccessError unless an account is proven and, if accountID is not empty, has
// this ID. accountID is the one in CodePipeline's job, and the AWS account that was polled: custom
// actions have no role in another account.
func proveFor(account *v1alpha1.CodePipelineAccount, accountID string) error {
	switch {
	case !IsProven(account):
		return &NoAccessError{fmt.Sprintf("the AWS account of CodePipelineAccount %s is not known yet: its condition Ready says why", account.Name)}
	case accountID != "" && accountID != account.Status.AccountID:
		return &NoAccessError{fmt.Sprintf("CodePipelineAccount %s now uses AWS account %s, and the job belongs to %s: the platform team can restore its spec.roleARN until the job is reported, and create another CodePipelineAccount for %s",
			account.Name, account.Status.AccountID, accountID, account.Status.AccountID)}
	default:
		return nil
	}
}
