package controllers

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// mustBeNewest fails with a conflict when the reading of an object was stale:
// what follows from it may have been done already. newest takes the new reading.
func mustBeNewest(ctx context.Context, live client.Reader, known, newest client.Object) error {
	if err := live.Get(ctx, client.ObjectKeyFromObject(known), newest); err != nil {
		return fmt.Errorf("read %s: %w", known.GetName(), err)
	}
	if newest.GetResourceVersion() == known.GetResourceVersion() {
		return nil
	}
	return apierrors.NewConflict(schema.GroupResource{}, known.GetName(), errors.New("the cache is behind"))
}
