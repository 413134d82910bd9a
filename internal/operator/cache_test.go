package operator

import (
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/randfill"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/compact"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
)

// TestCacheKeepsWhatIsRead uses pods and Jobs with all fields set: a reader of the cache gets all
// fields that the diagnosis reads.
func TestCacheKeepsWhatIsRead(t *testing.T) {
	fill := randfill.NewWithSeed(14).NilChance(0.2).NumElements(0, 3).MaxDepth(12)
	for range 200 {
		for _, object := range []client.Object{&corev1.Pod{}, &batchv1.Job{}} {
			g := NewWithT(t)
			fill.Fill(object)
			object.SetNamespace("team")
			object.SetName("work-1")
			object.SetLabels(map[string]string{v1alpha1.LabelPipelineJob: "work-1", "kueue.x-k8s.io/queue-name": "team"})
			read := object.DeepCopyObject()
			diagnosis.Trim(read)

			informer := compact.NewInformer(&toolscache.ListWatch{}, object, 0, toolscache.Indexers{})
			kept, err := trimmedBy(diagnosis.Trim)(object)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(informer.GetStore().Add(kept)).To(Succeed())
			found, _, err := informer.GetStore().GetByKey("team/work-1")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(found.(runtime.Object)).To(Equal(untyped(read)))
		}
	}
}

// untyped returns an object without its kind, which readers of a cache set.
func untyped(object runtime.Object) runtime.Object {
	switch object := object.(type) {
	case *corev1.Pod:
		object.Kind, object.APIVersion = "", ""
	case *batchv1.Job:
		object.Kind, object.APIVersion = "", ""
	}
	return object
}
