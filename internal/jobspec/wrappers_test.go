package jobspec

import (
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// wrapped returns a pod with a sidecar and the named steps.
func wrapped(steps ...string) *corev1.PodSpec {
	pod := &corev1.PodSpec{InitContainers: []corev1.Container{
		{Name: "db", Image: "db:1", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)},
	}}
	for _, name := range steps {
		pod.Containers = append(pod.Containers, step(name, "make "+name))
	}
	options := Options{RunnerImage: "operator:1", Runner: RunnerOptions{DefaultEnv: []corev1.EnvVar{{Name: "AWS_ENDPOINT_URL", Value: "http://emulator"}}}}
	wrapSteps(pod, []corev1.EnvVar{literal(podcontract.EnvResult, podcontract.ResultDir)}, sampleJob(), options)
	return pod
}

func TestTheProgressContainerComesBetweenFetchAndTheSteps(t *testing.T) {
	g := NewWithT(t)
	g.Expect(names(wrapped("compile", "check").InitContainers)).To(Equal(
		[]string{podcontract.ContainerFetch, podcontract.ContainerProgress, "db", "compile", "check"}))
}

func TestLimitsOfArtifactsGoToTheContainersThatMoveThem(t *testing.T) {
	g := NewWithT(t)
	pod := &corev1.PodSpec{Containers: []corev1.Container{step("one")}}
	wrapSteps(pod, nil, sampleJob(), Options{ArtifactArgs: []string{"--max-bytes=5"}})
	g.Expect(pod.InitContainers[0].Command).To(HaveExactElements("/runner", "fetch", HavePrefix("--envelope-limit"), HavePrefix("--handover="), "--max-bytes=5"))
	g.Expect(pod.Containers[0].Command).To(HaveExactElements("/runner", "report", HavePrefix("--envelope-limit"), HavePrefix("--handover="), "--max-bytes=5"))
}

func TestAllContainersAreInTheGroupOfTheSharedFolders(t *testing.T) {
	cases := map[string]struct {
		given *corev1.PodSecurityContext
		want  []int64
	}{
		"no security context": {nil, []int64{runnerUser}},
		"groups of its own":   {&corev1.PodSecurityContext{SupplementalGroups: []int64{7}}, []int64{7, runnerUser}},
		"in the group anyway": {&corev1.PodSecurityContext{SupplementalGroups: []int64{runnerUser, 7}}, []int64{runnerUser, 7}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			given := c.given.DeepCopy()
			pod := &corev1.PodSpec{SecurityContext: c.given, Containers: []corev1.Container{step("one")}}
			wrapSteps(pod, nil, sampleJob(), Options{})
			g.Expect(pod.SecurityContext.SupplementalGroups).To(Equal(c.want))
			g.Expect(pod.SecurityContext.FSGroup).To(BeNil(), "it would change the group of the template's volumes")
			if given != nil {
				given.SupplementalGroups = c.want
				g.Expect(pod.SecurityContext).To(Equal(given), "nothing else changes")
			}
		})
	}
}

func names(containers []corev1.Container) []string {
	var found []string
	for _, container := range containers {
		found = append(found, container.Name)
	}
	return found
}

func TestTheProgressContainerIsANativeSidecar(t *testing.T) {
	g := NewWithT(t)
	sidecar := wrapped("compile").InitContainers[1]
	g.Expect(sidecar.RestartPolicy).To(HaveValue(Equal(corev1.ContainerRestartPolicyAlways)))
	g.Expect(sidecar.Env).To(BeEmpty(), "neither a step's nor the SDK's")
	g.Expect(sidecar.VolumeMounts).To(Equal([]corev1.VolumeMount{{Name: sharedVolume, MountPath: podcontract.Root, ReadOnly: true}, noToken}))
}

// TestTheHelperIsReadOnlyForSteps: a step that could replace the helper could run code in later
// steps and read their secrets.
func TestTheHelperIsReadOnlyForSteps(t *testing.T) {
	g := NewWithT(t)
	pod := wrapped("compile", "check")
	readOnly := corev1.VolumeMount{Name: helperVolume, MountPath: podcontract.HelperDir, ReadOnly: true}
	for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
		mounted := slices.DeleteFunc(slices.Clone(container.VolumeMounts), func(m corev1.VolumeMount) bool { return m.Name != helperVolume })
		switch {
		case container.Name == podcontract.ContainerFetch:
			g.Expect(mounted).To(Equal([]corev1.VolumeMount{{Name: helperVolume, MountPath: podcontract.HelperInstallDir}}), "it installs the helper")
		case podcontract.IsWrapper(container.Name):
			g.Expect(mounted).To(BeEmpty(), container.Name)
		default:
			g.Expect(mounted).To(Equal([]corev1.VolumeMount{readOnly}), "%s, sidecars too", container.Name)
		}
	}
	g.Expect(strings.HasPrefix(podcontract.HelperInstallDir, podcontract.Root)).To(BeFalse(), "not below what steps may write to")
	g.Expect(pod.Volumes).To(ContainElement(And(HaveField("Name", helperVolume), HaveField("EmptyDir.SizeLimit", Not(BeNil())))))
}

// TestTheProgressContainerCountsForTheEnvelope: the kubelet divides 12 KiB among all containers,
// including init containers.
func TestTheProgressContainerCountsForTheEnvelope(t *testing.T) {
	g := NewWithT(t)
	// fetch, progress, report, db, one step and some spare containers.
	g.Expect(wrapped("compile").Containers[0].Command).To(ContainElement("--envelope-limit=1536"))
	g.Expect(wrapped("compile").InitContainers[0].Command).To(ContainElement("--envelope-limit=1536"))
	g.Expect(wrapped("compile").InitContainers[1].Command).To(ContainElement("--envelope-limit=1536"))
}

// TestOwnContainersAreRestricted checks the rules of the restricted Pod
// Security Standard that concern a container.
func TestOwnContainersAreRestricted(t *testing.T) {
	pod := wrapped("compile")
	for _, container := range append(pod.InitContainers[:2:2], pod.Containers...) {
		t.Run(container.Name, func(t *testing.T) {
			g := NewWithT(t)
			context := container.SecurityContext
			g.Expect(context.RunAsNonRoot).To(HaveValue(BeTrue()))
			g.Expect(context.RunAsUser).To(HaveValue(BeNumerically(">", 0)))
			g.Expect(context.AllowPrivilegeEscalation).To(HaveValue(BeFalse()))
			g.Expect(context.Privileged).To(BeNil())
			g.Expect(context.ProcMount).To(BeNil())
			g.Expect(context.SELinuxOptions).To(BeNil())
			g.Expect(context.Capabilities).To(HaveValue(Equal(corev1.Capabilities{Drop: []corev1.Capability{"ALL"}})))
			g.Expect(context.SeccompProfile.Type).To(Equal(corev1.SeccompProfileTypeRuntimeDefault))
			g.Expect(container.Ports).To(BeEmpty())
			g.Expect(container.Resources.Limits).To(HaveKey(corev1.ResourceMemory))
		})
	}
}
