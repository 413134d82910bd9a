package jobspec

import (
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// builtPod returns the pod template of an action's Job.
func builtPod(g *WithT, action *v1alpha1.CustomAction, job *v1alpha1.PipelineJob) corev1.PodTemplateSpec {
	built, err := Build(action, job, v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{RunnerImage: "operator:1"})
	g.ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return built.Spec.Template
}

// TestWrapperContainersHaveNoToken uses a template with a service account, whose token steps get.
func TestWrapperContainersHaveNoToken(t *testing.T) {
	g := NewWithT(t)
	action := sampleAction(step("deploy"))
	action.Spec.JobTemplate.Spec.Template.Spec.ServiceAccountName = "deployer"
	pod := builtPod(g, action, sampleJob()).Spec
	g.Expect(pod.AutomountServiceAccountToken).To(BeNil(), "steps get the token")
	for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
		inPlace := ContainElement(corev1.VolumeMount{Name: "codepipeline-no-token", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true})
		if podcontract.IsWrapper(container.Name) {
			g.Expect(container.VolumeMounts).To(inPlace, container.Name)
		} else {
			g.Expect(container.VolumeMounts).NotTo(inPlace, container.Name)
		}
	}
	g.Expect(pod.Volumes).To(ContainElement(And(HaveField("Name", "codepipeline-no-token"), HaveField("EmptyDir", Not(BeNil())))))
}

// TestWebhookOfEKSSkipsTheWrapperContainers parses the annotation like the webhook.
func TestWebhookOfEKSSkipsTheWrapperContainers(t *testing.T) {
	wrappers := []string{"codepipeline-fetch", "codepipeline-progress", "codepipeline-report"}
	for name, c := range map[string]struct {
		given string
		want  []string
	}{
		"no annotation":                         {"", nil},
		"names of the template":                 {"proxy,init-db", []string{"proxy", "init-db"}},
		"spaces, which it doesn't trim":         {"proxy, init-db ", []string{"proxy", "init-db"}},
		"a wrapper container already":           {"codepipeline-report,proxy", []string{"proxy"}},
		"a quote, which is no CSV":              {`pro"xy, "init-db"`, []string{"pro", "xy", "init-db"}},
		"a second line, which it does not read": {"proxy\ninit-db", []string{"proxy", "init-db"}},
		"what is no name":                       {"Pro_xy,,init-db", []string{"init-db"}},
		"of a pipeline's":                       {"$(config.Target)", []string{"all"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			action := sampleAction(step("build"))
			if c.given != "" {
				action.Spec.JobTemplate.Spec.Template.Annotations = map[string]string{"eks.amazonaws.com/skip-containers": c.given, "a": "b"}
			}
			before := action.DeepCopy()
			annotations := builtPod(g, action, sampleJob()).Annotations
			skipped, err := csv.NewReader(strings.NewReader(annotations["eks.amazonaws.com/skip-containers"])).Read()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(skipped).To(ConsistOf(slices.Concat(c.want, wrappers)))
			g.Expect(annotations["a"]).To(Equal(before.Spec.JobTemplate.Spec.Template.Annotations["a"]))
			g.Expect(action).To(Equal(before), "the template stays as it is")
		})
	}
}
