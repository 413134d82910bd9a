package jobspec

import (
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

func TestValidate(t *testing.T) {
	spec := "spec.jobTemplate.spec"
	cases := map[string]struct {
		change func(*v1alpha1.CustomAction)
		err    string // empty means valid
	}{
		"as it is":                {change: func(*v1alpha1.CustomAction) {}},
		"known references":        {change: args("$(config.Target) $(config.Flavor) $(input.any) $(output.any) $(job.id)")},
		"an unknown reference":    {change: args("$(job.name)"), err: spec + ".template.spec.containers[0].args[0]: $(job.name) is not a known reference"},
		"a secret in an argument": {change: args("$(config.Token)"), err: "the property is secret"},
		"no container":            {change: func(a *v1alpha1.CustomAction) { pod(a).Containers = nil }, err: spec + ".template.spec.containers: must have at least one"},
		"parallelism of one":      {change: func(a *v1alpha1.CustomAction) { a.Spec.JobTemplate.Spec.Parallelism = ptr.To[int32](1) }},
		"parallelism of two":      {change: func(a *v1alpha1.CustomAction) { a.Spec.JobTemplate.Spec.Parallelism = ptr.To[int32](2) }, err: spec + ".parallelism"},
		"completions of two":      {change: func(a *v1alpha1.CustomAction) { a.Spec.JobTemplate.Spec.Completions = ptr.To[int32](2) }, err: spec + ".completions"},
		"selector":                {change: func(a *v1alpha1.CustomAction) { a.Spec.JobTemplate.Spec.Selector = &metav1.LabelSelector{} }, err: spec + ".selector"},
		"deadline":                {change: func(a *v1alpha1.CustomAction) { a.Spec.JobTemplate.Spec.ActiveDeadlineSeconds = ptr.To[int64](1) }, err: "set spec.timeout"},
		"a pod beside one that is ending": {change: func(a *v1alpha1.CustomAction) {
			a.Spec.JobTemplate.Spec.PodReplacementPolicy = ptr.To(batchv1.TerminatingOrFailed)
		}, err: spec + ".podReplacementPolicy"},
		"restart on failure":        {change: func(a *v1alpha1.CustomAction) { pod(a).RestartPolicy = corev1.RestartPolicyOnFailure }, err: spec + ".template.spec.restartPolicy"},
		"a probe on a step":         {change: func(a *v1alpha1.CustomAction) { pod(a).Containers[0].LivenessProbe = &corev1.Probe{} }, err: ".containers[0].livenessProbe"},
		"a probe on a sidecar":      {change: sidecar(corev1.Container{Name: "db", ReadinessProbe: &corev1.Probe{}})},
		"a hook on a step":          {change: func(a *v1alpha1.CustomAction) { pod(a).Containers[0].Lifecycle = &corev1.Lifecycle{} }, err: ".containers[0].lifecycle"},
		"a step with our prefix":    {change: func(a *v1alpha1.CustomAction) { pod(a).Containers[0].Name = "codepipeline-x" }, err: ".containers[0].name: must not begin with"},
		"a sidecar with our prefix": {change: sidecar(corev1.Container{Name: "codepipeline-fetch"}), err: ".initContainers[0].name"},
		"a volume with our prefix":  {change: func(a *v1alpha1.CustomAction) { pod(a).Volumes = []corev1.Volume{{Name: "codepipeline-shared"}} }, err: ".volumes[0].name"},
		"a mount of our volume":     {change: mounting(corev1.VolumeMount{Name: "codepipeline-handover", MountPath: "/stolen"}), err: spec + ".template.spec.containers[0].volumeMounts[0].name: must not begin with"},
		"a mount of our own, by a sidecar": {change: sidecar(corev1.Container{Name: "spy", VolumeMounts: []corev1.VolumeMount{{Name: "codepipeline-handover", MountPath: "/stolen"}}}),
			err: ".initContainers[0].volumeMounts[0].name"},
		"a mount over our folder":   {change: mounting(corev1.VolumeMount{Name: "cache", MountPath: "/codepipeline/"}), err: ".volumeMounts[0].mountPath: must not be /codepipeline or below it"},
		"a mount in our folder":     {change: mounting(corev1.VolumeMount{Name: "cache", MountPath: "/x/../codepipeline/result"}), err: ".volumeMounts[0].mountPath"},
		"a mount beside our folder": {change: mounting(corev1.VolumeMount{Name: "cache", MountPath: "/codepipelines"})},
		"the processes of all":      {change: func(a *v1alpha1.CustomAction) { pod(a).ShareProcessNamespace = ptr.To(true) }, err: spec + ".template.spec.shareProcessNamespace: must not be true"},
		"the processes of the node": {change: func(a *v1alpha1.CustomAction) { pod(a).HostPID = true }, err: ".hostPID: must not be true"},
		"our Secret as a variable": {change: func(a *v1alpha1.CustomAction) {
			pod(a).Containers[0].Env = []corev1.EnvVar{{Name: "X", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: jobSecret, Key: "handover.json"}}}}
		}, err: ".containers[0].env[0].valueFrom.secretKeyRef.name: must not be the Secret of a PipelineJob"},
		"our Secret as variables": {change: func(a *v1alpha1.CustomAction) {
			pod(a).Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: jobSecret}}}
		}, err: ".containers[0].envFrom[0].secretRef.name"},
		"our Secret as a volume": {change: func(a *v1alpha1.CustomAction) {
			pod(a).Volumes = []corev1.Volume{{Name: "x", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: jobSecret.Name}}}}
		}, err: ".volumes[0].secret.secretName"},
		"our Secret among others in a volume": {change: func(a *v1alpha1.CustomAction) {
			pod(a).Volumes = []corev1.Volume{{Name: "x", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ConfigMap: &corev1.ConfigMapProjection{}}, {Secret: &corev1.SecretProjection{LocalObjectReference: jobSecret}}}}}}}
		}, err: ".volumes[0].projected.sources[1].secret.name"},
		"another Secret": {change: func(a *v1alpha1.CustomAction) {
			pod(a).Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "registry"}}}}
		}},
		"two problems are both named": {change: twoProblems, err: "selector: must be absent: Kubernetes sets it\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			action := sampleAction(step("work", "true"))
			c.change(action)
			err := Validate(action, []v1alpha1.ReferencePlace{v1alpha1.ReferenceInSecretName})
			if c.err == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(c.err)))
		})
	}
}

func pod(action *v1alpha1.CustomAction) *corev1.PodSpec {
	return &action.Spec.JobTemplate.Spec.Template.Spec
}

// jobSecret is a name for the Secret of some PipelineJob.
var jobSecret = corev1.LocalObjectReference{Name: "pipelinejob-3d1f5c7e-0b6a-4f0e-8a57-9a4f7d1c2b35"}

func mounting(mount corev1.VolumeMount) func(*v1alpha1.CustomAction) {
	return func(a *v1alpha1.CustomAction) { pod(a).Containers[0].VolumeMounts = []corev1.VolumeMount{mount} }
}

func args(args ...string) func(*v1alpha1.CustomAction) {
	return func(a *v1alpha1.CustomAction) { pod(a).Containers[0].Args = args }
}

func sidecar(container corev1.Container) func(*v1alpha1.CustomAction) {
	container.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	return func(a *v1alpha1.CustomAction) { pod(a).InitContainers = []corev1.Container{container} }
}

func twoProblems(a *v1alpha1.CustomAction) {
	a.Spec.JobTemplate.Spec.Selector = &metav1.LabelSelector{}
	a.Spec.JobTemplate.Spec.ActiveDeadlineSeconds = ptr.To[int64](1)
}
