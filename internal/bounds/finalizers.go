package bounds

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

const (
	// annotationFinalizers marks objects in the cache whose finalizers were dropped. It is never
	// written to the API server.
	annotationFinalizers = "codepipeline.pipelinejob.dev/finalizers-left-out"
	// keptFinalizers is how many bytes of finalizers a cache keeps of an object. The API server
	// accepts any number.
	keptFinalizers = 4 << 10
)

// TrimMeta reduces an object's metadata to what the operator reads from its cache: its names, its
// controller, its finalizers and the given annotations. If there are too many finalizers, it keeps
// only the operator's own. Use ChangeFinalizers to change the finalizers of a trimmed object.
func TrimMeta(object client.Object, finalizer string, annotations ...string) {
	object.SetManagedFields(nil)
	object.SetLabels(nil)
	if owners := object.GetOwnerReferences(); len(owners) > 0 {
		object.SetOwnerReferences(onlyController(owners))
	}
	keep := map[string]string{}
	for _, name := range append(annotations, annotationFinalizers) {
		if value, has := object.GetAnnotations()[name]; has && len(value) <= keptAnnotation {
			keep[name] = value
		}
	}
	finalizers := object.GetFinalizers()
	if Memory(finalizers) > keptFinalizers {
		keep[annotationFinalizers] = "true"
		own := slices.Contains(finalizers, finalizer)
		object.SetFinalizers(nil)
		if own {
			object.SetFinalizers([]string{finalizer})
		}
	}
	if len(keep) == 0 {
		keep = nil
	}
	object.SetAnnotations(keep)
}

// keptAnnotation is the longest annotation value that is kept.
const keptAnnotation = 1 << 10

// onlyController returns only the reference to the controller.
func onlyController(owners []metav1.OwnerReference) []metav1.OwnerReference {
	for i := range owners {
		if owners[i].Controller != nil && *owners[i].Controller {
			return slices.Clone(owners[i : i+1])
		}
	}
	return nil
}

// ChangeFinalizers calls change and, if it reports a change, writes the object's finalizers.
// Finalizers that the cache dropped are kept.
func ChangeFinalizers(ctx context.Context, to client.Client, live client.Reader, object client.Object, change func(client.Object) bool) error {
	target := object
	if object.GetAnnotations()[annotationFinalizers] != "" {
		kind, err := apiutil.GVKForObject(object, to.Scheme())
		if err != nil {
			return err
		}
		whole := &metav1.PartialObjectMetadata{}
		whole.SetGroupVersionKind(kind)
		if err := live.Get(ctx, client.ObjectKeyFromObject(object), whole); err != nil {
			return fmt.Errorf("read the finalizers of %s: %w", object.GetName(), err)
		}
		target = whole
	}
	before := target.DeepCopyObject().(client.Object)
	if !change(target) {
		return nil
	}
	return to.Patch(ctx, target, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// Adds returns the change that adds a finalizer.
func Adds(finalizer string) func(client.Object) bool {
	return func(object client.Object) bool { return controllerutil.AddFinalizer(object, finalizer) }
}

// Removes returns the change that removes a finalizer.
func Removes(finalizer string) func(client.Object) bool {
	return func(object client.Object) bool { return controllerutil.RemoveFinalizer(object, finalizer) }
}
