//go:build e2e

package e2e

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// TestAttackNoTokenInWrapperContainers: steps get the token of a service account, and wrapper
// containers have an empty folder instead. Their image is the operator's own, which is set only
// once.
func TestAttackNoTokenInWrapperContainers(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	w := work{Name: "attack-token", Script: `test -s /var/run/secrets/kubernetes.io/serviceaccount/token`}
	s.applyChanged(w, func(pod *corev1.PodSpec) {
		pod.ServiceAccountName, pod.AutomountServiceAccountToken = "default", ptr.To(true)
	})
	execution := s.startWorks("attack-token", w)
	s.Expect(s.ended("attack-token", execution)).To(Equal(types.PipelineExecutionStatusSucceeded), "the step has the token")

	var pods corev1.PodList
	job := s.pipelineJobs(s, execution)[w.Name]
	out := s.kubectl("-n", namespace, "get", "pods", "-l", "batch.kubernetes.io/job-name="+job.Status.Run.JobName, "-o", "json")
	s.Expect(json.Unmarshal([]byte(out), &pods)).To(Succeed())
	s.Expect(pods.Items).To(HaveLen(1))
	pod := pods.Items[0]
	s.Expect(pod.Annotations).To(HaveKeyWithValue("eks.amazonaws.com/skip-containers", "codepipeline-fetch,codepipeline-progress,codepipeline-report"))
	image := s.kubectl("-n", "pipelinejob-system", "get", "deployment", "pipelinejob-operator", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	token := tokenVolumes(pod.Spec)
	s.Expect(token).NotTo(BeEmpty())
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if !podcontract.IsWrapper(container.Name) {
			continue
		}
		s.Expect(container.Image).To(Equal(image), container.Name)
		for _, mount := range container.VolumeMounts {
			s.Expect(token).NotTo(ContainElement(mount.Name), "%s has it at %s", container.Name, mount.MountPath)
		}
	}
}

// tokenVolumes returns the volumes of a pod with a token of its service account.
func tokenVolumes(pod corev1.PodSpec) []string {
	var names []string
	for _, volume := range pod.Volumes {
		if volume.Projected == nil {
			continue
		}
		if slices.ContainsFunc(volume.Projected.Sources, func(p corev1.VolumeProjection) bool { return p.ServiceAccountToken != nil }) {
			names = append(names, volume.Name)
		}
	}
	return names
}
