package integration

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// defaultContainer sets kubectl's default container in a template.
func defaultContainer(name string) func(*v1alpha1.CustomAction) {
	return func(a *v1alpha1.CustomAction) {
		template := &a.Spec.JobTemplate.Spec.Template
		template.Spec.Containers = append(template.Spec.Containers, corev1.Container{Name: "check", Image: "work:1"})
		if name != "" {
			metav1.SetMetaDataAnnotation(&template.ObjectMeta, "kubectl.kubernetes.io/default-container", name)
		}
	}
}

// TestKubectlTakesTheLastStep checks the annotation on the operator's Jobs.
func TestKubectlTakesTheLastStep(t *testing.T) {
	for given, want := range map[string]string{"": "check", "work": "work"} {
		t.Run(given, func(t *testing.T) {
			w := newWorld(t)
			w.work(defaultContainer(given))
			w.Expect(w.RunningJob(1).Spec.Template.Annotations).To(HaveKeyWithValue("kubectl.kubernetes.io/default-container", want))
		})
	}
}

// TestDefaultContainerThatIsNone: a typo is reported before there is a job.
func TestDefaultContainerThatIsNone(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(defaultContainer("chekc")))).To(Succeed())
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate)).To(And(
		HavePrefix("spec.jobTemplate.spec.template.metadata.annotations[kubectl.kubernetes.io/default-container]: must name a container of the pod"),
		ContainSubstring(`"chekc" is not one: write one of codepipeline-fetch, codepipeline-progress, codepipeline-report, work, check, or leave`)))
	w.Expect(w.Calls("PollForJobs")).To(BeZero())
}
