package operator

import (
	"fmt"
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/eventqueue"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

// TestAbandonedIsNoOther uses two action executions whose IDs are in the same group of the index.
func TestAbandonedIsNoOther(t *testing.T) {
	g := NewWithT(t)
	abandoned, other := "execution", ""
	for i := 0; other == ""; i++ {
		if id := fmt.Sprintf("execution-%d", i); naming.Group(id) == naming.Group(abandoned) {
			other = id
		}
	}
	scheme, err := NewScheme()
	g.Expect(err).NotTo(HaveOccurred())
	kube := fake.NewClientBuilder().WithScheme(scheme).WithIndex(&v1alpha1.PipelineJob{}, indexActionExecution, indexByActionExecution).
		WithObjects(executing("a", abandoned), executing("b", other)).Build()
	handler := eventHandler{Client: kube, log: logr.Discard()}

	found, err := handler.Stopped(t.Context(), eventqueue.Change{ActionExecutionID: abandoned, State: eventqueue.Abandoned})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found).To(BeTrue())
	annotated := func(a, b string) {
		for name, want := range map[string]string{"a": a, "b": b} {
			var job v1alpha1.PipelineJob
			g.Expect(kube.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: name}, &job)).To(Succeed())
			g.Expect(job.Annotations[v1alpha1.AnnotationAbandoned]).To(Equal(want), name)
		}
	}
	annotated("true", "")
	g.Expect(handler.Stopped(t.Context(), eventqueue.Change{ActionExecutionID: other, State: eventqueue.Canceled})).To(BeTrue())
	annotated("true", "pipeline-updated")
}

// TestAbandonedIsNotKnown uses only a PipelineJob whose ID is in the same group.
func TestAbandonedIsNotKnown(t *testing.T) {
	g := NewWithT(t)
	scheme, err := NewScheme()
	g.Expect(err).NotTo(HaveOccurred())
	kube := fake.NewClientBuilder().WithScheme(scheme).WithObjects(executing("a", "execution")).
		WithIndex(&v1alpha1.PipelineJob{}, indexActionExecution, func(client.Object) []string { return []string{naming.Group("unknown")} }).Build()
	handler := eventHandler{Client: kube, log: logr.Discard()}
	g.Expect(handler.Stopped(t.Context(), eventqueue.Change{ActionExecutionID: "unknown"})).To(BeFalse())
}

func executing(name, actionExecutionID string) *v1alpha1.PipelineJob {
	job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	job.Spec.Pipeline.ActionExecutionID = actionExecutionID
	return job
}
