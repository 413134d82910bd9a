package customaction

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/grants"
	"github.com/pipelinejob/pipelinejob-operator/internal/identity"
)

// access is the account, region and grants with which a CustomAction may take jobs.
type access struct {
	// account is nil if it does not exist.
	account *v1alpha1.CodePipelineAccount
	region  v1alpha1.Region
	given   grants.Given
	// refused is the reason why no new jobs may be taken.
	refused finding
	// pending is what the action waits for; empty if it waits for nothing.
	pending string
}

// works reports whether calls for the namespace may be made. After a grant is withdrawn, they may
// be made until the last job is reported. No calls are made with a role that is not proven: it
// may belong to another AWS account.
func (a access) works(namespace string) bool {
	return a.account != nil && identity.IsProven(a.account) && slices.Contains(a.account.Status.Namespaces, namespace) && slices.Contains(a.account.Status.Regions, a.region)
}

// accountID returns the ID of the AWS account, or an empty string if it is not known.
func (a access) accountID() string {
	if a.account == nil || !identity.IsProven(a.account) {
		return ""
	}
	return a.account.Status.AccountID
}

// accessOf reads the account and the namespace of an action, and decides its access.
func (r *Reconciler) accessOf(ctx context.Context, action *v1alpha1.CustomAction) (access, error) {
	account := &v1alpha1.CodePipelineAccount{}
	switch err := r.Get(ctx, client.ObjectKey{Name: action.Spec.AccountRef.Name}, account); {
	case apierrors.IsNotFound(err):
		account = nil
	case err != nil:
		return access{}, fmt.Errorf("read CodePipelineAccount %s: %w", action.Spec.AccountRef.Name, err)
	}
	namespace := &corev1.Namespace{}
	if err := r.Get(ctx, client.ObjectKey{Name: action.Namespace}, namespace); client.IgnoreNotFound(err) != nil {
		return access{}, fmt.Errorf("read namespace %s: %w", action.Namespace, err)
	}
	return decideAccess(action, account, grants.Namespace{Name: action.Namespace, Labels: namespace.Labels}), nil
}

// decideAccess decides the access of an action; account is nil if it does not exist.
func decideAccess(action *v1alpha1.CustomAction, account *v1alpha1.CodePipelineAccount, namespace grants.Namespace) access {
	if account == nil {
		return access{refused: refusal(v1alpha1.ReasonAccountNotFound,
			"CodePipelineAccount %q, which spec.accountRef names, does not exist: the platform team can create it, with a grant for this namespace", action.Spec.AccountRef.Name)}
	}
	region, err := grants.Region(account, action.Spec.Region)
	if err != nil {
		// Jobs that were taken before still finish there.
		return access{account: account, region: cmp.Or(action.Status.Region, action.Spec.Region), refused: refusal(v1alpha1.ReasonAccessNotGranted, "%w", err)}
	}
	found := access{account: account, region: region, given: grants.Of(account, namespace, &action.Spec)}
	switch {
	case !found.given.Access:
		found.refused = refusal(v1alpha1.ReasonAccessNotGranted,
			"no grant of CodePipelineAccount %s allows namespace %s to take jobs of %s actions of provider %s%s: the platform team can add one to spec.grants, or label the namespace to match a selector there",
			account.Name, namespace.Name, action.Spec.ActionType.Category, action.Spec.ActionType.Provider, withQuery(action))
	case !identity.IsProven(account):
		found.refused, found.pending = notReady(account)
	case !found.works(namespace.Name):
		found.pending = fmt.Sprintf("waiting for the status of CodePipelineAccount %s to include namespace %s and region %s", account.Name, namespace.Name, region)
	}
	return found
}

// withQuery returns the queryParam of an action for a message, or an empty string if it has none.
func withQuery(action *v1alpha1.CustomAction) string {
	if value := query(action.Spec.Polling.QueryParam); value != "" {
		return " with " + value
	}
	return ""
}

// refusal returns a finding that lasts until an object changes.
func refusal(reason, format string, args ...any) finding {
	err := fmt.Errorf(format, args...)
	return finding{reason: reason, message: err.Error(), err: err}
}

// notReady returns why an account can't be used, or what an action that uses it waits for.
func notReady(account *v1alpha1.CodePipelineAccount) (refused finding, pending string) {
	ready := meta.FindStatusCondition(account.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.ObservedGeneration != account.Generation || ready.Status != metav1.ConditionFalse {
		return finding{}, fmt.Sprintf("waiting for AWS to return the account ID of CodePipelineAccount %s", account.Name)
	}
	if !account.DeletionTimestamp.IsZero() { // the condition names its users, who may be other tenants
		return refusal(v1alpha1.ReasonAccountNotReady, "CodePipelineAccount %s is being deleted: name another one in spec.accountRef", account.Name), ""
	}
	refused = refusal(v1alpha1.ReasonAccountNotReady, "CodePipelineAccount %s is not ready: %s", account.Name, ready.Message)
	refused.retry = true
	return refused, ""
}

// identity returns the identity with which calls for an action are made.
func (r *Reconciler) identity(a access, action *v1alpha1.CustomAction) codepipeline.Identity {
	return identity.Of(a.account, r.ClusterID, identity.Caller{Region: a.region, Namespace: action.Namespace, Action: action.Name, MayRegister: a.given.MayRegister})
}

// regionOf returns the region in which an action takes jobs, or an empty string if it is not
// known yet.
func regionOf(action *v1alpha1.CustomAction) v1alpha1.Region {
	if action.Spec.Region != "" {
		return action.Spec.Region
	}
	return action.Status.Region
}
