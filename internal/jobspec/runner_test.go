package jobspec

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// builtWith returns the pod of an action with progress.
func builtWith(g *WithT, runner *v1alpha1.Runner, options RunnerOptions) *corev1.PodSpec {
	action := sampleAction(step("work"))
	action.Spec.Progress = &v1alpha1.Progress{}
	action.Spec.Runner = runner
	built, err := Build(action, sampleJob(), v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{RunnerImage: "operator:1", Runner: options})
	g.ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return &built.Spec.Template.Spec
}

// wrappersOf returns a pod's wrapper containers: fetch, progress and report.
func wrappersOf(pod *corev1.PodSpec) []corev1.Container {
	return []corev1.Container{pod.InitContainers[0], pod.InitContainers[1], pod.Containers[0]}
}

func memory(limit string) *corev1.ResourceRequirements {
	return &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(limit)}}
}

func TestResourcesOfTheWrapperContainers(t *testing.T) {
	t.Run("by default each has limits, but none of ephemeral storage", func(t *testing.T) {
		g := NewWithT(t)
		for _, container := range wrappersOf(builtWith(g, nil, RunnerOptions{})) {
			g.Expect(container.Resources.Limits).To(And(HaveLen(2), HaveKey(corev1.ResourceCPU), HaveKey(corev1.ResourceMemory)), container.Name)
			g.Expect(container.Resources.Requests).To(And(HaveLen(3), HaveKey(corev1.ResourceCPU), HaveKey(corev1.ResourceMemory), HaveKey(corev1.ResourceEphemeralStorage)), container.Name)
		}
	})
	for name, c := range map[string]struct {
		runner  *v1alpha1.Runner
		options RunnerOptions
		want    *corev1.ResourceRequirements
	}{
		"those of the flag":          {nil, RunnerOptions{Resources: memory("1Gi")}, memory("1Gi")},
		"those of the action":        {&v1alpha1.Runner{Resources: memory("2Gi")}, RunnerOptions{Resources: memory("1Gi")}, memory("2Gi")},
		"none":                       {&v1alpha1.Runner{Resources: &corev1.ResourceRequirements{}}, RunnerOptions{Resources: memory("1Gi")}, &corev1.ResourceRequirements{}},
		"an action that tunes other": {&v1alpha1.Runner{CA: &v1alpha1.CABundle{Name: "aws"}}, RunnerOptions{Resources: memory("1Gi")}, memory("1Gi")},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			for _, container := range wrappersOf(builtWith(g, c.runner, c.options)) {
				g.Expect(container.Resources).To(Equal(*c.want), container.Name)
			}
		})
	}
	t.Run("the default ones are within the limits of the pod", func(t *testing.T) {
		g := NewWithT(t)
		action := sampleAction(step("work"))
		action.Spec.JobTemplate.Spec.Template.Spec.Resources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("32Mi"),
		}}
		built, err := Build(action, sampleJob(), v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(built.Spec.Template.Spec.Containers[0].Resources).To(Equal(resources("10m", "32Mi", "500m", "32Mi")))
	})
}

func TestEnvironmentOfTheWrapperContainers(t *testing.T) {
	options := RunnerOptions{DefaultEnv: []corev1.EnvVar{{Name: "HTTPS_PROXY", Value: "http://proxy:3128"}}, CA: &v1alpha1.CABundle{Name: "all", Key: "ca.crt"}}
	fromSecret := corev1.EnvFromSource{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "proxy"}}}
	bundle := func(name string) corev1.EnvVar { return corev1.EnvVar{Name: "AWS_CA_BUNDLE", Value: name} }
	mounted := bundle("/var/run/codepipeline-ca/ca.crt")
	for name, c := range map[string]struct {
		runner *v1alpha1.Runner
		env    []corev1.EnvVar
		ca     string
	}{
		"that of the operator":      {nil, []corev1.EnvVar{mounted}, "all/ca.crt"},
		"variables and a CA of its": {&v1alpha1.Runner{Env: []corev1.EnvVar{{Name: "A", Value: "b"}}, CA: &v1alpha1.CABundle{Name: "own", Key: "k"}}, []corev1.EnvVar{{Name: "A", Value: "b"}, mounted}, "own/k"},
		"a CA without a key":        {&v1alpha1.Runner{CA: &v1alpha1.CABundle{Name: "own"}}, []corev1.EnvVar{mounted}, "own/ca.crt"},
		"a file in place of a CA":   {&v1alpha1.Runner{Env: []corev1.EnvVar{bundle("/injected")}}, []corev1.EnvVar{bundle("/injected")}, ""},
		"from a Secret":             {&v1alpha1.Runner{EnvFrom: []corev1.EnvFromSource{fromSecret}}, []corev1.EnvVar{mounted}, "all/ca.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			pod := builtWith(g, c.runner, options)
			for _, container := range []corev1.Container{pod.InitContainers[0], pod.Containers[0]} {
				g.Expect(container.Command).To(ContainElement("--default-env=HTTPS_PROXY=http://proxy:3128"), "env would take precedence over envFrom")
				g.Expect(container.Env).To(Equal(c.env))
				if c.runner != nil {
					g.Expect(container.EnvFrom).To(Equal(c.runner.EnvFrom))
				}
			}
			volume := pod.Volumes[len(pod.Volumes)-1]
			if c.ca == "" {
				g.Expect(volume.Name).NotTo(Equal("codepipeline-ca"))
				return
			}
			g.Expect(volume.ConfigMap.Name + "/" + volume.ConfigMap.Items[0].Key).To(Equal(c.ca))
			mount := HaveField("Name", "codepipeline-ca")
			g.Expect(pod.InitContainers[0].VolumeMounts).To(ContainElement(mount))
			g.Expect(pod.Containers[0].VolumeMounts).To(ContainElement(mount))
			for _, container := range pod.InitContainers[1:] {
				g.Expect(container.VolumeMounts).NotTo(ContainElement(mount), container.Name)
			}
			g.Expect(pod.InitContainers[1].Env).To(BeEmpty(), "progress reaches nobody")
		})
	}
}

func TestVariablesOfTheRunnerThatAreRefused(t *testing.T) {
	secret := &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "url"}}
	for name, c := range map[string]struct {
		runner v1alpha1.Runner
		err    string
	}{
		"credentials":             {v1alpha1.Runner{Env: []corev1.EnvVar{{Name: "A"}, {Name: "AWS_ACCESS_KEY_ID"}}}, "spec.runner.env[1] (AWS_ACCESS_KEY_ID): must be absent: artifacts are transferred with the credentials"},
		"a profile":               {v1alpha1.Runner{Env: []corev1.EnvVar{{Name: "AWS_PROFILE"}}}, "must be absent"},
		"a region":                {v1alpha1.Runner{Env: []corev1.EnvVar{{Name: "AWS_REGION"}}}, "the region is that of the CodePipelineAccount, or spec.region"},
		"two CAs":                 {v1alpha1.Runner{Env: []corev1.EnvVar{{Name: "AWS_CA_BUNDLE"}}, CA: &v1alpha1.CABundle{}}, "must be absent if spec.runner.ca is set"},
		"a password":              {v1alpha1.Runner{Env: []corev1.EnvVar{{Name: "https_proxy", Value: "me:pa55@proxy:3128"}}}, "set valueFrom.secretKeyRef"},
		"a password of a Secret":  {v1alpha1.Runner{Env: []corev1.EnvVar{{Name: "HTTPS_PROXY", ValueFrom: secret}}}, ""},
		"a proxy without one":     {v1alpha1.Runner{Env: []corev1.EnvVar{{Name: "HTTPS_PROXY", Value: "http://proxy"}}}, ""},
		"what may be set":         {v1alpha1.Runner{Env: []corev1.EnvVar{{Name: "AWS_USE_FIPS_ENDPOINT", Value: "true"}, {Name: "MAIL", Value: "a@b"}}}, ""},
		"a CA bundle of the pods": {v1alpha1.Runner{Env: []corev1.EnvVar{{Name: "AWS_CA_BUNDLE", Value: "/injected"}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			action := sampleAction(step("work"))
			action.Spec.Runner = &c.runner
			_, built := Build(action, sampleJob(), v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{})
			for _, err := range []error{Validate(action, nil), built} {
				if c.err == "" {
					g.Expect(err).NotTo(HaveOccurred())
					continue
				}
				g.Expect(err).To(MatchError(ContainSubstring(c.err)))
				g.Expect(err.Error()).NotTo(ContainSubstring("pa55"))
			}
		})
	}
}

func TestTimeToLiveOfTheTemplateIsRaised(t *testing.T) {
	for name, c := range map[string]struct{ given, want *int32 }{
		"none":         {nil, nil},
		"too short":    {ptr.To[int32](0), ptr.To(int32(MinTTL / time.Second))},
		"long enough":  {ptr.To[int32](86400), ptr.To[int32](86400)},
		"not possible": {ptr.To[int32](-1), ptr.To[int32](-1)},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			action := sampleAction(step("work"))
			action.Spec.JobTemplate.Spec.TTLSecondsAfterFinished = c.given
			g.Expect(Validate(action, nil)).To(Succeed())
			built, err := Build(action, sampleJob(), v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(built.Spec.TTLSecondsAfterFinished).To(Equal(c.want))
		})
	}
}
