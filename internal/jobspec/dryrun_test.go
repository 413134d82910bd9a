package jobspec

import (
	"strconv"
	"strings"
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
	pod.Containers[1].Image = "$(config.Target)"
	pod.Containers[1].Env = []corev1.EnvVar{{Name: "-"}}
	pod.Volumes = []corev1.Volume{{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	action.Spec.JobTemplate.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{Action: "FailJob"}}}
	env := len(stepEnv(action, sampleJobOf(action), v1alpha1.Run{Number: 1}))

	progress := action.DeepCopy()
	progress.Spec.Progress = &v1alpha1.Progress{}
	tuned := action.DeepCopy()
	tuned.Spec.Runner = &v1alpha1.Runner{
		Resources: &corev1.ResourceRequirements{}, Env: []corev1.EnvVar{{Name: "-"}}, CA: &v1alpha1.CABundle{Name: "aws"},
	}
	options := Options{RunnerImage: "runner:1", Runner: RunnerOptions{CA: &v1alpha1.CABundle{Name: "all"}},
		AllowReferencesIn: []v1alpha1.ReferencePlace{v1alpha1.ReferenceInImage}}
	const template = "spec.jobTemplate.spec.template.spec."
	cases := map[string]struct {
		action *v1alpha1.CustomAction
		field  string
		want   string
	}{
		"an init container": {action, "spec.template.spec.initContainers[2].image", template + "initContainers[0].image: bad"},
		"a step":            {action, "spec.template.spec.initContainers[3].image", template + "containers[0].image: bad"},
		"the last step":     {action, "spec.template.spec.initContainers[4].workingDir", template + "containers[1].workingDir: bad"},
		"its sidecar": {action, "spec.template.spec.initContainers[1].image",
			"the operator's container codepipeline-progress.image: bad"},
		"its group": {action, "spec.template.spec.securityContext.supplementalGroups",
			"the Job's spec.template.spec.securityContext.supplementalGroups, which the operator sets: bad"},
		"its volume": {action, "spec.template.spec.volumes[1].emptyDir", "the Job's spec.template.spec.volumes[1].emptyDir, which the operator sets: bad"},
		"its mount in a step": {action, "spec.template.spec.initContainers[3].volumeMounts[0].name",
			"the Job's spec.template.spec.initContainers[3].volumeMounts[0].name, which the operator sets: bad"},
		"its variable in a step": {action, "spec.template.spec.initContainers[3].env[0].value",
			"the Job's spec.template.spec.initContainers[3].env[0].value, which the operator sets: bad"},
		"its rule":           {action, "spec.podFailurePolicy.rules[0].action", "the Job's spec.podFailurePolicy.rules[0].action, which the operator sets: bad"},
		"a rule after it":    {action, "spec.podFailurePolicy.rules[1].action", "spec.jobTemplate.spec.podFailurePolicy.rules[0].action: bad"},
		"the operator's own": {action, "spec.template.spec.initContainers[0].image", "the operator's container codepipeline-fetch.image: bad"},
		"the last of the operator's own": {action, "spec.template.spec.containers[0].resources.limits[cpu]",
			"the operator's --runner-resources (codepipeline-report.resources.limits[cpu]): bad"},
		"resources of spec.runner":  {tuned, "spec.template.spec.initContainers[0].resources.limits[cpu]", "spec.runner.resources.limits[cpu]: bad"},
		"a variable of spec.runner": {tuned, "spec.template.spec.containers[0].env[0].name", "spec.runner.env[0].name: bad"},
		"the CA of spec.runner":     {tuned, "spec.template.spec.volumes[4].configMap.items[0].key", "spec.runner.ca: bad"},
		"the CA of the operator":    {action, "spec.template.spec.volumes[4].configMap.items[0].key", "the operator's --runner-ca: bad"},
		"no field":                  {action, "", "spec.jobTemplate: bad"},
		"a variable of the step": {action, "spec.template.spec.initContainers[4].env[" + strconv.Itoa(env) + "].name",
			template + "containers[1].env[0].name: bad"},
		"elsewhere":                  {action, "spec.template.spec.priorityClassName", template + "priorityClassName: bad"},
		"filled in from a reference": {action, "spec.template.spec.initContainers[4].image", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			job, err := DryRunJob(c.action, options)
			g.Expect(err).NotTo(HaveOccurred())
			ofJob := Refusal(c.action, job, false, []metav1.StatusCause{{Field: c.field, Message: "bad"}})
			if c.want == "" {
				g.Expect(ofJob).NotTo(HaveOccurred())
				return
			}
			g.Expect(ofJob).To(MatchError(c.want))
			if field, inPod := strings.CutPrefix(c.field, "spec.template."); inPod {
				g.Expect(Refusal(c.action, job, true, []metav1.StatusCause{{Field: field, Message: "bad"}})).To(MatchError(c.want))
			}
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
	g.Expect(job.Spec.Template.Spec.InitContainers[2].Args).To(Equal([]string{sampleName + " 1 true input.any " + sampleName + " " + sampleID}))
}

func TestDryRunOfAPod(t *testing.T) {
	g := NewWithT(t)
	action := sampleAction(step("one"))
	action.Spec.JobTemplate.Spec.Template.Labels = map[string]string{"team": "web"}
	job, err := DryRunJob(action, Options{RunnerImage: "runner:1"})
	g.Expect(err).NotTo(HaveOccurred())
	pod := DryRunPod(job)
	g.Expect(pod.Name).To(Equal(job.Name+"-pod"), "a random name would change every message")
	g.Expect(pod.Namespace).To(Equal("team"))
	g.Expect(pod.Spec).To(Equal(job.Spec.Template.Spec))
	g.Expect(pod.Labels).To(And(HaveKeyWithValue("team", "web"), HaveKeyWithValue("batch.kubernetes.io/job-name", job.Name)))
	g.Expect(pod.OwnerReferences).To(HaveLen(1), "policies refuse pods without an owner")
	g.Expect(pod.OwnerReferences[0].BlockOwnerDeletion).To(BeNil(), "the operator may not set it")
	g.Expect(job.Spec.Template.Labels).NotTo(HaveKey("batch.kubernetes.io/job-name"), "the Job stays as it is")
}

func TestWhatMayBeDeniedForTheSampleAlone(t *testing.T) {
	plain := sampleAction(step("one", "$(config.Target)"))
	image := sampleAction(step("one"))
	image.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image = "registry/$(config.Target)"
	for name, c := range map[string]struct {
		action  *v1alpha1.CustomAction
		message string
		want    bool
	}{
		"a value of the sample": {plain, `serviceaccount "pipelinejob-sample" not found`, true},
		"images of references":  {image, "images must come from our registry", true},
		"what is always so":     {plain, "every Job must set spec.ttlSecondsAfterFinished", false},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(MayBeOfSample(c.action, c.message)).To(Equal(c.want))
		})
	}
}
