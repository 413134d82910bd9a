package integration

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestStorageBelowAMinimumNamesTheWayOut: the minimum ephemeral storage of a LimitRange is above
// the requests of the wrapper containers.
func TestStorageBelowAMinimumNamesTheWayOut(t *testing.T) {
	w := newWorld(t)
	storage := func(size string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse(size)}
	}
	limits := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "storage", Namespace: w.Namespace}}
	limits.Spec.Limits = []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Min: storage("32Mi")}}
	w.Expect(w.Kube.Create(w.Ctx, limits)).To(Succeed())
	small := w.plainPod()
	small.Spec.Containers[0].Resources.Requests = storage("1Mi")
	w.awaitRefusal(small)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonJobRefused)).To(And(
		ContainSubstring("minimum ephemeral-storage usage per Container is 32Mi, but request is 16Mi"), ContainSubstring("spec.runner.resources")))
	w.change(func(a *v1alpha1.CustomAction) {
		a.Spec.Runner = &v1alpha1.Runner{Resources: &corev1.ResourceRequirements{Requests: storage("32Mi")}}
	})
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
}
