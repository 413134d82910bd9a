package jobspec

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestDefaultContainer: the default is the last step, or the container that the template names.
func TestDefaultContainer(t *testing.T) {
	refused := func(name string) string {
		return `spec.jobTemplate.spec.template.metadata.annotations[kubectl.kubernetes.io/default-container]: ` +
			`must name a container of the pod, and "` + name + `" is not one: write one of ` +
			`codepipeline-fetch, codepipeline-progress, codepipeline-report, db, compile, check, or leave the annotation out for the last step`
	}
	for name, c := range map[string]struct {
		given       map[string]string
		want        string
		err, sample string // of Build and Validate; empty means none
	}{
		"none":                    {nil, "check", "", ""},
		"other annotations":       {map[string]string{"a": "b"}, "check", "", ""},
		"empty, as kubectl does":  {map[string]string{defaultContainerAnnotation: ""}, "check", "", ""},
		"an earlier step":         {map[string]string{defaultContainerAnnotation: "compile"}, "compile", "", ""},
		"a sidecar":               {map[string]string{defaultContainerAnnotation: "db"}, "db", "", ""},
		"a wrapper container":     {map[string]string{defaultContainerAnnotation: "codepipeline-report"}, "codepipeline-report", "", ""},
		"a typo":                  {map[string]string{defaultContainerAnnotation: "chekc"}, "", refused("chekc"), refused("chekc")},
		"of a pipeline's":         {map[string]string{defaultContainerAnnotation: "$(config.Target)"}, "compile", "", ""},
		"of a pipeline's, a typo": {map[string]string{defaultContainerAnnotation: "$(config.Target)s"}, "", refused("compiles"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			action, job := sampleAction(step("compile"), step("check")), sampleJob()
			job.Spec.Configuration["Target"] = "compile"
			pod(action).InitContainers = []corev1.Container{{Name: "db", Image: "db:1", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}}
			action.Spec.JobTemplate.Spec.Template.Annotations = c.given
			before := action.DeepCopy()

			expectError(g, Validate(action, nil), c.sample)
			_, err := DryRunJob(action, Options{})
			g.Expect(err).NotTo(HaveOccurred())
			built, err := Build(action, job, v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{})
			expectError(g, err, c.err)
			g.Expect(action).To(Equal(before), "the template stays as it is")
			if c.err != "" {
				return
			}
			g.Expect(built.Spec.Template.Annotations).To(HaveKeyWithValue("kubectl.kubernetes.io/default-container", c.want))
			g.Expect(built.Annotations).NotTo(HaveKey("kubectl.kubernetes.io/default-container"), "kubectl looks at pods")
		})
	}
}

// expectError expects a *FieldError with a message, or no error if the message is empty.
func expectError(g Gomega, err error, message string) {
	if message == "" {
		g.ExpectWithOffset(1, err).NotTo(HaveOccurred())
		return
	}
	g.ExpectWithOffset(1, err).To(MatchError(message))
	g.ExpectWithOffset(1, errors.As(err, new(*FieldError))).To(BeTrue())
}
