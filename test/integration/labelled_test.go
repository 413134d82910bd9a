package integration

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestOperatorKeepsToLabelledNamespaces puts the component config/admission/labelled in force for
// the test's namespace.
func TestOperatorKeepsToLabelledNamespaces(t *testing.T) {
	w := newWorld(t)
	objects, err := kustomized(overlayOf(w.WithT, t.TempDir(), "\nnameSuffix: -"+w.Namespace, "admission/labelled"))
	w.Expect(err).NotTo(HaveOccurred())
	for _, object := range objects {
		if !strings.HasPrefix(object.GetName(), "pipelinejob-operator-writes") {
			continue
		}
		if object.GetKind() == "ValidatingAdmissionPolicyBinding" {
			w.Expect(unstructured.SetNestedField(object.Object, w.Namespace, "spec", "matchResources", "namespaceSelector", "matchLabels", corev1.LabelMetadataName)).To(Succeed())
		}
		w.Expect(w.Kube.Create(w.Ctx, object)).To(Succeed())
		w.liftAtTheEnd(object)
	}
	operator := w.as(operatorsUser + "-" + w.Namespace)
	secret := w.secret("part")
	part(secret, "owner")
	const told = "only in namespaces with the label codepipeline.pipelinejob.dev/enabled=true"
	w.Await(func(g Gomega) {
		g.Expect(operator.Create(w.Ctx, secret.DeepCopy(), client.DryRunAll)).To(MatchError(ContainSubstring(told)))
	})
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.Namespace}}
	before := namespace.DeepCopy()
	namespace.Labels = map[string]string{"codepipeline.pipelinejob.dev/enabled": "true"}
	w.Expect(w.Kube.Patch(w.Ctx, namespace, client.MergeFrom(before))).To(Succeed())
	w.Await(func(g Gomega) { g.Expect(operator.Create(w.Ctx, secret.DeepCopy(), client.DryRunAll)).To(Succeed()) })
}
