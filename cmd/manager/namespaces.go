package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pipelinejob/pipelinejob-operator/internal/scope"
)

// namespaceList is a flag with the names of namespaces.
type namespaceList []string

func (n *namespaceList) String() string { return strings.Join(*n, ",") }

// Set parses a list. It refuses an empty list, which is probably an unset variable, and would
// extend the operator's work to all namespaces.
func (n *namespaceList) Set(list string) error {
	*n = nil
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			return errors.New("a name is empty: leave the flag out to work in all namespaces")
		}
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
			return fmt.Errorf("%q is not the name of a namespace: %s", name, strings.Join(problems, "; "))
		}
		if !slices.Contains(*n, name) {
			*n = append(*n, name)
		}
	}
	return nil
}

// examine determines the namespaces in which the operator can work.
func (n *namespaceList) examine(ctx context.Context, config *rest.Config) (scope.Scope, error) {
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return scope.Scope{}, fmt.Errorf("create a client to examine namespaces: %w", err)
	}
	return scope.Examine(ctx, kube, *n)
}
