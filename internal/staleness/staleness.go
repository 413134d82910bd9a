// Package staleness keeps the reconcilers from acting on an outdated cache.
package staleness

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Check returns a conflict error if known is not the newest version of the object:
// its consequences may already have been carried out. It bypasses the cache, and reads
// into newest.
func Check(ctx context.Context, live client.Reader, known, newest client.Object) error {
	if err := live.Get(ctx, client.ObjectKeyFromObject(known), newest); err != nil {
		return fmt.Errorf("read %s: %w", known.GetName(), err)
	}
	if newest.GetResourceVersion() == known.GetResourceVersion() {
		return nil
	}
	return apierrors.NewConflict(schema.GroupResource{}, known.GetName(), errors.New("the cache is outdated"))
}
