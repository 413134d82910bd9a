package jobspec

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

// TestTellsLog uses steps with each way to refer to a Secret in Kubernetes.
func TestTellsLog(t *testing.T) {
	named := corev1.LocalObjectReference{Name: "registry"}
	own := naming.SecretName(sampleJob())
	volume := func(source corev1.VolumeSource, alsoMount bool) corev1.PodSpec {
		container := corev1.Container{Name: "work"}
		if alsoMount {
			container.VolumeMounts = []corev1.VolumeMount{{Name: "v", MountPath: "/v"}}
		}
		return corev1.PodSpec{Containers: []corev1.Container{container}, Volumes: []corev1.Volume{{Name: "v", VolumeSource: source}}}
	}
	step := func(container corev1.Container) corev1.PodSpec {
		container.Name = "work"
		return corev1.PodSpec{InitContainers: []corev1.Container{{Name: "other", Env: []corev1.EnvVar{ofSecret("registry", "x")}}, container}}
	}
	secret := corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "registry"}}
	for name, c := range map[string]struct {
		pod  corev1.PodSpec
		told bool
	}{
		"none, and another step has one":  {step(corev1.Container{}), true},
		"a variable":                      {step(corev1.Container{Env: []corev1.EnvVar{{Name: "A", Value: "a"}, ofSecret("registry", "x")}}), false},
		"a secret property":               {step(corev1.Container{Env: []corev1.EnvVar{ofSecret(own, "config.Token")}}), true},
		"a variable of a ConfigMap":       {step(corev1.Container{EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: named}}}}), true},
		"all variables of a Secret":       {step(corev1.Container{EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: named}}}}), false},
		"a volume":                        {volume(secret, true), false},
		"a volume that it does not mount": {volume(secret, false), true},
		"a projected volume": {volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ConfigMap: &corev1.ConfigMapProjection{}}, {Secret: &corev1.SecretProjection{LocalObjectReference: named}}}}}, true), false},
		"a service account's token": {volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}}}}}, true), true},
		"a CSI volume":         {volume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "secrets-store.csi.k8s.io"}}, true), false},
		"a driver's Secret":    {volume(corev1.VolumeSource{CephFS: &corev1.CephFSVolumeSource{SecretRef: &named}}, true), false},
		"an empty volume":      {volume(corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}, true), true},
		"images are not meant": {corev1.PodSpec{ImagePullSecrets: []corev1.LocalObjectReference{named}, Containers: []corev1.Container{{Name: "work"}}}, true},
		"it is not known":      {corev1.PodSpec{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(TellsLog(v1alpha1.FailureLogNoSecrets, c.pod, "work", sampleJob())).To(Equal(c.told))
			g.Expect(TellsLog(v1alpha1.FailureLogAlways, c.pod, "work", sampleJob())).To(BeTrue())
			g.Expect(TellsLog("", c.pod, "work", sampleJob())).To(BeTrue())
			g.Expect(TellsLog(v1alpha1.FailureLogNever, c.pod, "work", sampleJob())).To(BeFalse())
			g.Expect(TellsLog("Sometimes", c.pod, "work", sampleJob())).To(BeFalse())
		})
	}
}

// TestPodStatusTellsNoMoreThanTheRule: the kubelet copies the last lines to the pod's status only
// if the rule allows it.
func TestPodStatusTellsNoMoreThanTheRule(t *testing.T) {
	for name, c := range map[string]struct {
		action, account v1alpha1.FailureLog
		want            map[string]corev1.TerminationMessagePolicy
	}{
		"by default":             {"", "", policies("FallbackToLogsOnError", "FallbackToLogsOnError")},
		"no secrets":             {v1alpha1.FailureLogNoSecrets, "", policies("FallbackToLogsOnError", "")},
		"never":                  {v1alpha1.FailureLogNever, "", policies("", "")},
		"never, by the account":  {v1alpha1.FailureLogAlways, v1alpha1.FailureLogNever, policies("", "")},
		"stricter than that one": {v1alpha1.FailureLogNoSecrets, v1alpha1.FailureLogAlways, policies("FallbackToLogsOnError", "")},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			secretive := step("secretive")
			secretive.Env = []corev1.EnvVar{ofSecret("registry", "x")}
			asked := step("asked")
			asked.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
			action, job := sampleAction(step("plain"), secretive, asked), sampleJob()
			action.Spec.FailureLog, job.Spec.SecretConfiguration = c.action, nil
			built, err := Build(action, job, v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{FailureLog: c.account})
			g.Expect(err).NotTo(HaveOccurred())
			for _, container := range built.Spec.Template.Spec.InitContainers {
				if want, is := c.want[container.Name]; is {
					g.Expect(container.TerminationMessagePolicy).To(Equal(want), container.Name)
				}
			}
		})
	}
}

// policies are the policies of two steps, and of one that sets its own.
func policies(plain, secretive corev1.TerminationMessagePolicy) map[string]corev1.TerminationMessagePolicy {
	return map[string]corev1.TerminationMessagePolicy{"plain": plain, "secretive": secretive, "asked": corev1.TerminationMessageFallbackToLogsOnError}
}
