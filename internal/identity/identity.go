// Package identity says as whom the operator calls AWS for the objects of a
// namespace: by the CodePipelineAccount that they name.
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

// Caller is for whom a call is made.
type Caller struct {
	Region v1alpha1.Region
	// Namespace of the CustomAction; Action is its name, empty for a call that is made for
	// several.
	Namespace, Action string
	// MayRegister: the call may create, tag or delete an action type.
	MayRegister bool
}

// Of returns the identity for a caller. The external ID of an assumed role names the
// cluster and the namespace, so that the role's trust policy can say who may use it.
// Without the cluster's ID there is none, and the role can't be assumed: /NAMESPACE would
// be the same for the namespaces of all clusters.
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

// IndexAccount is the cache's index of CustomActions, and of PipelineJobs that CodePipeline may
// hand out, by the name of their CodePipelineAccount.
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

// Resolver finds the identity for the jobs of a namespace.
type Resolver struct {
	// Reader reads CodePipelineAccounts, from a cache.
	Reader client.Reader
	// ClusterID goes into the external ID with which roles are assumed.
	ClusterID string
}

// IsProven reports whether AWS has told the ID of an account, for the role that it has now. It
// is kept while AWS does not answer.
func IsProven(account *v1alpha1.CodePipelineAccount) bool {
	return account.Status.AccountID != "" && account.Status.ProvenRoleARN == account.Spec.RoleARN
}

// NoAccessError says why no call is made for a PipelineJob. It usually lasts until a
// user changes the account.
type NoAccessError struct{ message string }

func (e *NoAccessError) Error() string { return e.message }

// OfJob returns the identity with which calls for a PipelineJob are made. Whatever the
// object says, it is a *NoAccessError unless the account works for the namespace, as its
// own status has it: only the operator writes that, and only for namespaces with a grant. A
// grant that was withdrawn does not change it before the last job is reported.
//
// It is one, too, unless the account is proven to be the AWS account of the job: another one
// knows nothing of the job, and its answers read as if CodePipeline no longer waited for it.
func (r Resolver) OfJob(ctx context.Context, job *v1alpha1.PipelineJob) (codepipeline.Identity, error) {
	return r.find(ctx, job, job.Spec.ActionRef.Name)
}

// OfNamespace is OfJob for a call that is made for jobs of several CustomActions of the
// job's namespace, account and region.
func (r Resolver) OfNamespace(ctx context.Context, job *v1alpha1.PipelineJob) (codepipeline.Identity, error) {
	return r.find(ctx, job, "")
}

func (r Resolver) find(ctx context.Context, job *v1alpha1.PipelineJob, action string) (codepipeline.Identity, error) {
	name, account := job.Spec.AccountRef.Name, &v1alpha1.CodePipelineAccount{}
	err := r.Reader.Get(ctx, client.ObjectKey{Name: name}, account)
	switch {
	case apierrors.IsNotFound(err):
		return codepipeline.Identity{}, &NoAccessError{fmt.Sprintf("there is no CodePipelineAccount %q: the platform team can create it", name)}
	case err != nil:
		return codepipeline.Identity{}, fmt.Errorf("read CodePipelineAccount %s: %w", name, err)
	case !slices.Contains(account.Status.Namespaces, job.Namespace):
		return codepipeline.Identity{}, &NoAccessError{fmt.Sprintf("no grant of CodePipelineAccount %s is for namespace %s: the platform team can add one", name, job.Namespace)}
	case !slices.Contains(account.Status.Regions, job.Spec.Region):
		return codepipeline.Identity{}, &NoAccessError{fmt.Sprintf("CodePipelineAccount %s is not for region %s: the platform team can add it", name, job.Spec.Region)}
	}
	if err := proveFor(account, job.Spec.AccountID); err != nil {
		return codepipeline.Identity{}, err
	}
	return Of(account, r.ClusterID, Caller{Region: job.Spec.Region, Namespace: job.Namespace, Action: action}), nil
}

// proveFor returns a *NoAccessError unless an account is proven, and is the AWS account that
// CodePipeline handed a job over with; empty if it did not say. Custom actions have no role of
// their own, so that this is the AWS account that was polled.
func proveFor(account *v1alpha1.CodePipelineAccount, accountID string) error {
	switch {
	case !IsProven(account):
		return &NoAccessError{fmt.Sprintf("AWS has not told yet which AWS account CodePipelineAccount %s is: its condition Ready says why", account.Name)}
	case accountID != "" && accountID != account.Status.AccountID:
		return &NoAccessError{fmt.Sprintf("CodePipelineAccount %s is AWS account %s now, and the job is of %s: the platform team can set its spec.roleARN back until the job is reported, and create another CodePipelineAccount for %s",
			account.Name, account.Status.AccountID, accountID, account.Status.AccountID)}
	default:
		return nil
	}
}
