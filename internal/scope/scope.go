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

// callTimeout bounds each call to the API server.
const callTimeout = 10 * time.Second

// Scope is where the operator works. The zero value stands for all namespaces.
type Scope struct {
	// Open are the namespaces that the operator works in.
	Open []string
	// Waiting are the namespaces that it was told to work in and can't, and why not.
	Waiting map[string]string
}

// All reports whether the operator works in all namespaces.
func (s Scope) All() bool { return len(s.Open)+len(s.Waiting) == 0 }

// Cached returns the namespaces that the operator's cache is restricted to; none: all. A
// scope without an open namespace has those that it waits for, and nothing reads from them.
func (s Scope) Cached() []string {
	if len(s.Open) > 0 {
		return s.Open
	}
	return slices.Sorted(maps.Keys(s.Waiting))
}

// Examine asks the API server in which of the namespaces the operator has the Needed rights.
// With no names the scope is all namespaces, and nothing is asked. An error says that the API
// server did not answer.
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

// examine returns what keeps the operator from working in a namespace; empty: nothing.
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

// exists reports whether there is a namespace. One that the operator may not read is taken
// to exist: what it may do there is asked next.
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
