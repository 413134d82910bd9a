package scope

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// callTimeout limits each call to the API server.
const callTimeout = 10 * time.Second

// Scope has the namespaces of the operator. The zero value means all namespaces.
type Scope struct {
	// Open are the namespaces that the operator works in.
	Open []string
	// Waiting are the namespaces of --namespaces in which it can't work, and why.
	Waiting map[string]string
}

// All reports whether the operator works in all namespaces.
func (s Scope) All() bool { return len(s.Open)+len(s.Waiting) == 0 }

// Cached returns the namespaces of the operator's cache; none means all. Without an open
// namespace, it returns the waiting ones, and nothing reads from them.
func (s Scope) Cached() []string {
	if len(s.Open) > 0 {
		return s.Open
	}
	return slices.Sorted(maps.Keys(s.Waiting))
}

// Examine asks the API server in which of the namespaces the operator has the Needed rights.
// Without names, the scope is all namespaces, and there is no call. An error means that the
// API server did not respond.
func Examine(ctx context.Context, kube kubernetes.Interface, names []string) (Scope, error) {
	found := Scope{Waiting: map[string]string{}}
	for _, name := range names {
		obstacle, err := examine(ctx, kube, name)
		if err != nil {
			return Scope{}, fmt.Errorf("examine the namespace %s of --namespaces: %w", name, err)
		}
		if obstacle == "" {
			found.Open = append(found.Open, name)
		} else {
			found.Waiting[name] = obstacle
		}
	}
	return found, nil
}

// examine returns why the operator can't work in a namespace; empty if it can.
func examine(ctx context.Context, kube kubernetes.Interface, namespace string) (obstacle string, err error) {
	exists, err := exists(ctx, kube, namespace)
	if err != nil {
		return "", err
	}
	if !exists {
		return "the namespace does not exist", nil
	}
	var missing []string
	for _, right := range Needed() {
		has, err := hasRight(ctx, kube, namespace, right)
		if err != nil {
			return "", err
		}
		if !has {
			missing = append(missing, right.String())
		}
	}
	if len(missing) == 0 {
		return "", nil
	}
	return "the operator's service account lacks permissions in it: " + strings.Join(missing, ", "), nil
}

// exists reports whether a namespace exists. A namespace that the operator may not read
// is assumed to exist: the next call checks the rights in it.
func exists(ctx context.Context, kube kubernetes.Interface, namespace string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := kube.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	switch {
	case err == nil, apierrors.IsForbidden(err):
		return true, nil
	case apierrors.IsNotFound(err):
		return false, nil
	default:
		return false, fmt.Errorf("read the namespace: %w", err)
	}
}

func hasRight(ctx context.Context, kube kubernetes.Interface, namespace string, right Right) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Group: right.Group, Resource: right.Resource, Subresource: right.Subresource, Verb: right.Verb,
		},
	}}
	answer, err := kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("check the permission to %s: %w", right, err)
	}
	return answer.Status.Allowed, nil
}
