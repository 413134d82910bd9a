package diagnosis

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// withClaims adds a workspace with an ephemeral claim, and a cache with a shared one.
func withClaims(pod *corev1.Pod) {
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "codepipeline-shared", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{}}}},
		{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}},
		{Name: "cache", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "team-cache"}}},
	}
}

func notScheduled(age time.Duration) podChange {
	return conditioned(corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
		Message: "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
	}, age)
}

// TestWaitingForAVolume: only events of unbound claims have the reason.
func TestWaitingForAVolume(t *testing.T) {
	const own = "PersistentVolumeClaim/pod-1-codepipeline-shared"
	notFound := Event{Object: own, Reason: "ProvisioningFailed", Message: `storageclass.storage.k8s.io "fast" not found`, Last: now}
	cases := map[string]struct {
		e      Evidence
		reason string
		says   []string
		silent string
		events bool
	}{
		"the claim says why": {
			evidence(jobMade(0), since(0, withClaims, notScheduled(0)), notFound), v1alpha1.ReasonUnschedulable,
			[]string{"No node takes pod pod-1: 0/3 nodes are available", "; its volume claim pod-1-codepipeline-shared: ProvisioningFailed: storageclass", `"fast" not found`}, "", true,
		},
		"the newest of several": {
			evidence(jobMade(0), since(0, withClaims, notScheduled(0)), notFound,
				Event{Object: "PersistentVolumeClaim/team-cache", Reason: "FailedBinding", Message: "no persistent volumes available", Last: now.Add(time.Second)}),
			v1alpha1.ReasonUnschedulable, []string{"its volume claim team-cache: FailedBinding: no persistent volumes available"}, "fast", true,
		},
		"it says nothing": {
			evidence(jobMade(0), since(0, withClaims, notScheduled(0))), v1alpha1.ReasonUnschedulable, []string{"unbound immediate"}, "its volume claim", true,
		},
		"the scheduler waits on its node, and says nothing": {
			evidence(jobMade(0), since(-20*time.Second, withClaims),
				Event{Object: own, Reason: "ExternalProvisioning", Message: "waiting for the driver ebs.csi.aws.com", Last: now}),
			v1alpha1.ReasonPodPending, []string{
				"Pod pod-1 has no node yet: its volume claims may not be bound (pod-1-codepipeline-shared, team-cache): its volume claim pod-1-codepipeline-shared: ExternalProvisioning: waiting for the driver",
			}, "schedulerName", true,
		},
		"a want of something else": {
			evidence(jobMade(0), since(0, withClaims, unschedulable(0)), notFound), v1alpha1.ReasonUnschedulable, []string{"Insufficient cpu."}, "its volume claim", false,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got := observeTrimmed(c.e)
			g.Expect(got.Waiting).NotTo(BeNil())
			g.Expect(got.Waiting.Reason).To(Equal(c.reason))
			expectParts(g, got.Waiting.Message(), c.says)
			if c.silent != "" {
				g.Expect(got.Waiting.Message()).NotTo(ContainSubstring(c.silent))
			}
			g.Expect(NeedsEvents(c.e)).To(Equal(c.events))
			g.Expect(got.Recheck).NotTo(BeZero(), "a claim's events are no change of the pod")
		})
	}
}

// TestVolumeThatDoesNotCome: the grace period is over.
func TestVolumeThatDoesNotCome(t *testing.T) {
	notFound := said("PersistentVolumeClaim/pod-1-codepipeline-shared", "ProvisioningFailed", `storageclass.storage.k8s.io "fast" not found`)
	for name, c := range map[string]struct {
		pods []corev1.Pod
		says []string
	}{
		"the scheduler tells": {since(-11*time.Minute, withClaims, notScheduled(-11*time.Minute)),
			[]string{"pod-1 found no node for 10m", "unbound immediate", `"fast" not found`, "spec.workspace"}},
		"it does not": {since(-11*time.Minute, withClaims),
			[]string{"pod-1 had no node for 10m: its volume claims may not be bound (pod-1-codepipeline-shared, team-cache)", `"fast" not found`, "kubectl describe pvc", "spec.workspace"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			failure := observeTrimmed(evidence(jobWith(""), c.pods, notFound)).Failure
			g.Expect(failure).NotTo(BeNil())
			g.Expect(failure.Type).To(Equal(unavailable))
			expectParts(g, failure.Message, c.says)
		})
	}
}

// TestScheduledPodKeepsNoVolumes: there are thousands of such pods in the cache.
func TestScheduledPodKeepsNoVolumes(t *testing.T) {
	g := NewWithT(t)
	pod := made(0, withClaims, scheduledOn("node-a", 0))
	Trim(&pod)
	g.Expect(pod.Spec.Volumes).To(BeEmpty())
	g.Expect(ClaimsOf(made(0, withClaims))).To(Equal([]string{"pod-1-codepipeline-shared", "team-cache"}))
}
