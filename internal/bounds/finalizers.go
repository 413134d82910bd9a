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
	// annotationFinalizers is on objects of the cache alone: finalizers were left out.
	annotationFinalizers = "codepipeline.pipelinejob.dev/finalizers-left-out"
	// keptFinalizers is how many bytes of finalizers a cache has of an object. The API server
	// takes any number.
	keptFinalizers = 4 << 10
)

// TrimMeta leaves of an object's metadata what the operator reads of them from its cache: its
// names, its controller, the finalizers, or only the operator's own if they are many, and
// those of its annotations that are given. A change of finalizers is for ChangeFinalizers
// then.
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

// keptAnnotation is the longest value of an annotation that is kept.
const keptAnnotation = 1 << 10

// onlyController is the reference to an object's controller.
func onlyController(owners []metav1.OwnerReference) []metav1.OwnerReference {
	for i := range owners {
		if owners[i].Controller != nil && *owners[i].Controller {
			return slices.Clone(owners[i : i+1])
		}
	}
	return nil
}

// ChangeFinalizers writes a change of an object's finalizers, which reports whether there is
// one. It loses none that the cache left out.
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

// Adds is the change that adds a finalizer.
func Adds(finalizer string) func(client.Object) bool {
	return func(object client.Object) bool { return controllerutil.AddFinalizer(object, finalizer) }
}

// Removes is the change that removes a finalizer.
func Removes(finalizer string) func(client.Object) bool {
	return func(object client.Object) bool { return controllerutil.RemoveFinalizer(object, finalizer) }
}
