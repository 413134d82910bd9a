package integration

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestReferencesWhereTheyMustNotBe: a pipeline's text in an image or a script is refused, and no
// job is polled for. The suggested alternatives work.
func TestReferencesWhereTheyMustNotBe(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) {
		a.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image = "registry/$(config.Target)"
	}))).To(Succeed())
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate)).To(And(
		HavePrefix("spec.jobTemplate.spec.template.spec.containers[0].image: $(config.Target) must not be here: "),
		ContainSubstring("add Image to allowReferencesIn of its grant")))
	w.Expect(w.Calls("PollForJobs")).To(BeZero())

	w.change(func(a *v1alpha1.CustomAction) {
		step := &a.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
		step.Image, step.Command, step.Args = "registry/build:1", []string{"sh", "-ec"}, []string{"make $(CODEPIPELINE_CONFIG_TARGET)"}
	})
	w.Expect(w.ready(metav1.ConditionFalse, v1alpha1.ReasonInvalidJobTemplate)).To(And(
		HavePrefix("spec.jobTemplate.spec.template.spec.containers[0].args[0]: $(CODEPIPELINE_CONFIG_TARGET) must not be in the script after a shell's -c: "),
		HaveSuffix(`use the environment variable, as in "$CODEPIPELINE_CONFIG_TARGET"`)))

	w.change(func(a *v1alpha1.CustomAction) {
		a.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args = []string{`make "$CODEPIPELINE_CONFIG_TARGET"`}
	})
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// TestReferencesThatAreGranted: a grant adds a place.
func TestReferencesThatAreGranted(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.changeAccount(func(account *v1alpha1.CodePipelineAccount) {
		account.Spec.Grants[0].AllowReferencesIn = []v1alpha1.ReferencePlace{v1alpha1.ReferenceInImage}
	})
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) {
		a.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image = "registry/$(config.Target)"
	}))).To(Succeed())
	w.awaitRegistration()
	w.StartPipeline(map[string]string{"Target": "build:1"})
	w.Expect(stepOf(w.RunningJob(1).Spec.Template.Spec).Image).To(Equal("registry/build:1"))
}

// TestPipelineThatMakesAScript: a pipeline's value is a shell's -c, which is known only for the
// job. The job fails.
func TestPipelineThatMakesAScript(t *testing.T) {
	w := newWorld(t)
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) {
		step := &a.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
		step.Command, step.Args = []string{"sh"}, []string{"$(config.Target)", "$(stage.name)"}
	}))).To(Succeed())
	w.awaitRegistration()
	w.StartPipeline(map[string]string{"Target": "-c"})
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.ErrorDetails).NotTo(BeNil())
		g.Expect(aws.ToString(state.ErrorDetails.Code)).To(Equal("ConfigurationError"))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(ContainSubstring("containers[0].args[1]: $(stage.name) must not be in the script"))
		g.Expect(w.Jobs(g)).To(BeEmpty())
	})
}
