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

// access is where a CustomAction may take jobs, and as whom.
type access struct {
	// account is nil if there is none.
	account *v1alpha1.CodePipelineAccount
	region  v1alpha1.Region
	given   grants.Given
	// refused says why no new jobs may be taken.
	refused finding
	// pending is what the account is about to find out.
	pending string
}

// works reports whether calls for the namespace may be made. If a grant was withdrawn, that
// is so until the last job is reported. With a role that is not proven there are none: it may
// be of another AWS account.
func (a access) works(namespace string) bool {
	return a.account != nil && identity.IsProven(a.account) && slices.Contains(a.account.Status.Namespaces, namespace) && slices.Contains(a.account.Status.Regions, a.region)
}

// accountID is the ID of the AWS account; empty if it is not known.
func (a access) accountID() string {
	if a.account == nil || !identity.IsProven(a.account) {
		return ""
	}
	return a.account.Status.AccountID
}

// accessOf reads what the account grants, and decides on it.
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

// decideAccess decides what an action may do.
func decideAccess(action *v1alpha1.CustomAction, account *v1alpha1.CodePipelineAccount, namespace grants.Namespace) access {
	if account == nil {
		return access{refused: refusal(v1alpha1.ReasonAccountNotFound,
			"there is no CodePipelineAccount %q, which spec.accountRef names: the platform team can create it, and grant this namespace its use", action.Spec.AccountRef.Name)}
	}
	region, err := grants.Region(account, action.Spec.Region)
	if err != nil {
		// Where its jobs were taken before, they finish.
		return access{account: account, region: cmp.Or(action.Status.Region, action.Spec.Region), refused: refusal(v1alpha1.ReasonAccessNotGranted, "%w", err)}
	}
	found := access{account: account, region: region, given: grants.Of(account, namespace, &action.Spec)}
	switch {
	case !found.given.Access:
		found.refused = refusal(v1alpha1.ReasonAccessNotGranted,
			"no grant of CodePipelineAccount %s lets namespace %s take jobs of %s actions of provider %s%s: the platform team can add one to its spec.grants, or label the namespace as one of them selects it",
			account.Name, namespace.Name, action.Spec.ActionType.Category, action.Spec.ActionType.Provider, withQuery(action))
	case !identity.IsProven(account):
		found.refused, found.pending = notReady(account)
	case !found.works(namespace.Name):
		found.pending = fmt.Sprintf("CodePipelineAccount %s is about to take up namespace %s", account.Name, namespace.Name)
	}
	return found
}

// withQuery is a part of a message: with which value of its queryable property jobs are taken.
func withQuery(action *v1alpha1.CustomAction) string {
	if value := query(action.Spec.Polling.QueryParam); value != "" {
		return " with " + value
	}
	return ""
}

// refusal is a finding that only a change of an object ends.
func refusal(reason, format string, args ...any) finding {
	err := fmt.Errorf(format, args...)
	return finding{reason: reason, message: err.Error(), err: err}
}

// notReady says why an account can't be used, or what it is about to find out.
func notReady(account *v1alpha1.CodePipelineAccount) (refused finding, pending string) {
	ready := meta.FindStatusCondition(account.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.ObservedGeneration != account.Generation || ready.Status != metav1.ConditionFalse {
		return finding{}, fmt.Sprintf("AWS is being asked for the ID of CodePipelineAccount %s", account.Name)
	}
	if !account.DeletionTimestamp.IsZero() { // the condition names those who use it, who are other tenants
		return refusal(v1alpha1.ReasonAccountNotReady, "CodePipelineAccount %s is being deleted: name another one in spec.accountRef", account.Name), ""
	}
	refused = refusal(v1alpha1.ReasonAccountNotReady, "CodePipelineAccount %s is not ready: %s", account.Name, ready.Message)
	refused.retry = true
	return refused, ""
}

// identity is as whom calls for an action are made.
func (r *Reconciler) identity(a access, action *v1alpha1.CustomAction) codepipeline.Identity {
	return identity.Of(a.account, r.ClusterID, identity.Caller{Region: a.region, Namespace: action.Namespace, Action: action.Name, MayRegister: a.given.MayRegister})
}

// regionOf is where an action takes jobs, as far as that is known.
func regionOf(action *v1alpha1.CustomAction) v1alpha1.Region {
	if action.Spec.Region != "" {
		return action.Spec.Region
	}
	return action.Status.Region
}
