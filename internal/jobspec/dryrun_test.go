package jobspec

import (
	"strconv"
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

func TestRefusalNamesTheTemplatesField(t *testing.T) {
	action := sampleAction(step("one"), step("two"))
	pod := &action.Spec.JobTemplate.Spec.Template.Spec
	pod.InitContainers = []corev1.Container{{Name: "proxy", Image: "proxy:1"}}
	pod.Containers[1].ImagePullPolicy = "$(config.Target)"
	pod.Containers[1].Env = []corev1.EnvVar{{Name: "-"}}
	pod.Volumes = []corev1.Volume{{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	action.Spec.JobTemplate.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{Action: "FailJob"}}}
	env := len(stepEnv(action, sampleJobOf(action), v1alpha1.Run{Number: 1}))

	const template = "spec.jobTemplate.spec.template.spec."
	cases := map[string]struct {
		action *v1alpha1.CustomAction
		field  string
		want   string
	}{
		"an init container":  {action, "spec.template.spec.initContainers[2].image", template + "initContainers[0].image: bad"},
		"a step":             {action, "spec.template.spec.initContainers[3].image", template + "containers[0].image: bad"},
		"the last step":      {action, "spec.template.spec.initContainers[4].image", template + "containers[1].image: bad"},
		"the operator's own": {action, "spec.template.spec.initContainers[0].image", "the Job's spec.template.spec.initContainers[0].image, of the operator's container codepipeline-fetch: bad"},
		"its container after the steps": {action, "spec.template.spec.containers[0].resources.limits",
			"the Job's spec.template.spec.containers[0].resources.limits, of the operator's container codepipeline-report: bad"},
		"its sidecar": {action, "spec.template.spec.initContainers[1].image",
			"the Job's spec.template.spec.initContainers[1].image, of the operator's container codepipeline-progress: bad"},
		"its group": {action, "spec.template.spec.securityContext.supplementalGroups",
			"the Job's spec.template.spec.securityContext.supplementalGroups, which the operator sets: bad"},
		"its volume": {action, "spec.template.spec.volumes[1].emptyDir", "the Job's spec.template.spec.volumes[1].emptyDir, which the operator sets: bad"},
		"its mount in a step": {action, "spec.template.spec.initContainers[3].volumeMounts[0].name",
			"the Job's spec.template.spec.initContainers[3].volumeMounts[0].name, which the operator sets: bad"},
		"its variable in a step": {action, "spec.template.spec.initContainers[3].env[0].value",
			"the Job's spec.template.spec.initContainers[3].env[0].value, which the operator sets: bad"},
		"its rule":        {action, "spec.podFailurePolicy.rules[0].action", "the Job's spec.podFailurePolicy.rules[0].action, which the operator sets: bad"},
		"a rule after it": {action, "spec.podFailurePolicy.rules[1].action", "spec.jobTemplate.spec.podFailurePolicy.rules[0].action: bad"},
		"a variable of the step": {action, "spec.template.spec.initContainers[4].env[" + strconv.Itoa(env) + "].name",
			template + "containers[1].env[0].name: bad"},
		"elsewhere":                  {action, "spec.template.spec.priorityClassName", template + "priorityClassName: bad"},
		"filled in from a reference": {action, "spec.template.spec.initContainers[4].imagePullPolicy", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			err := Refusal(c.action, []metav1.StatusCause{{Field: c.field, Message: "bad"}})
			if c.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(c.want))
		})
	}
}

func TestDryRunFillsEveryReference(t *testing.T) {
	g := NewWithT(t)
	action := sampleAction(step("one", "$(config.Target) $(config.Count) $(config.Fast) $(input.any) $(pipeline.name) $(job.id)"))
	action.Spec.ActionType.ConfigurationProperties = append(action.Spec.ActionType.ConfigurationProperties,
		v1alpha1.ConfigurationProperty{Name: "Count", Type: "Number"}, v1alpha1.ConfigurationProperty{Name: "Fast", Type: "Boolean"})
	job, err := DryRunJob(action, Options{RunnerImage: "runner:1"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(job.Namespace).To(Equal("team"))
	g.Expect(job.Spec.Template.Spec.InitContainers[2].Args).To(Equal([]string{"sample 1 true input.any sample " + sampleID}))
}
