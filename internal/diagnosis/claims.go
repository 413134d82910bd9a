package diagnosis

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// ClaimsOf returns the names of the volume claims that a pod without a node may wait for: those of
// its generic ephemeral volumes, which Kubernetes names after pod and volume, and those that it
// shares.
func ClaimsOf(pod corev1.Pod) []string {
	if terminal(pod) || scheduled(pod) {
		return nil
	}
	var names []string
	for _, volume := range pod.Spec.Volumes {
		switch {
		case volume.Ephemeral != nil:
			names = append(names, pod.Name+"-"+volume.Name)
		case volume.PersistentVolumeClaim != nil:
			names = append(names, volume.PersistentVolumeClaim.ClaimName)
		}
	}
	return names
}

// onlyClaims returns the volumes that use claims.
func onlyClaims(volumes []corev1.Volume) []corev1.Volume {
	var kept []corev1.Volume
	for _, volume := range volumes {
		of := corev1.Volume{Name: volume.Name}
		switch {
		case volume.Ephemeral != nil:
			of.Ephemeral = &corev1.EphemeralVolumeSource{}
		case volume.PersistentVolumeClaim != nil:
			of.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: volume.PersistentVolumeClaim.ClaimName}
		default:
			continue
		}
		kept = append(kept, of)
	}
	return kept
}

// claimEvents are the reasons of events about an unbound claim, from the volume controller and from
// provisioners.
var claimEvents = []string{
	"ProvisioningFailed", "FailedBinding", "VolumeMismatch", "ExternalProvisioning", "Provisioning", "WaitForFirstConsumer", "WaitForPodScheduled",
}

// waitsForVolume reports whether, according to its scheduler, a pod has no node because its volumes
// are missing. A scheduler that has found a node and waits for a volume there reports nothing.
func waitsForVolume(pod corev1.Pod) bool {
	if len(ClaimsOf(pod)) == 0 {
		return false
	}
	condition := podCondition(pod, corev1.PodScheduled)
	return condition == nil || strings.Contains(strings.ToLower(condition.Message), "volume")
}

// aboutClaims returns the newest event about the claims that a pod waits for, as a suffix for a
// message, or an empty string.
func (e Evidence) aboutClaims(pod corev1.Pod) string {
	if !waitsForVolume(pod) {
		return ""
	}
	name, newest := "", Event{}
	for _, claim := range ClaimsOf(pod) {
		if said := e.newestEvent("PersistentVolumeClaim/"+claim, claimEvents...); said != nil && !said.Last.Before(newest.Last) {
			name, newest = claim, *said
		}
	}
	if name == "" {
		return ""
	}
	return fmt.Sprintf("; its volume claim %s: %s", name, colon(newest.Reason, newest.Message))
}
