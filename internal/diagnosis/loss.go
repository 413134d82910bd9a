package diagnosis

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// loss is the removal of a working pod.
type loss struct {
	reason, message string
	// since is when it was removed. It is zero if the reason is that of the failed pod itself,
	// which a pod with a failed step does not have.
	since time.Time
}

func lossOf(pod corev1.Pod) *loss {
	disruption := disrupted(pod)
	switch {
	case pod.Status.Phase == corev1.PodFailed && pod.Status.Reason != "":
		gone := &loss{reason: pod.Status.Reason, message: pod.Status.Message}
		if gone.message == "" && disruption != nil {
			gone.message = disruption.Message
		}
		return gone
	case disruption != nil:
		return &loss{disruption.Reason, disruption.Message, disruption.LastTransitionTime.Time}
	case pod.DeletionTimestamp != nil:
		gone := &loss{reason: "Deleted", message: "it was deleted while it worked", since: pod.DeletionTimestamp.Time}
		if pod.DeletionGracePeriodSeconds != nil {
			gone.since = gone.since.Add(-time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second)
		}
		return gone
	default:
		return nil
	}
}

// disrupted returns the condition of a pod that the cluster removes because it was drained,
// preempted or evicted, or because its node is gone.
func disrupted(pod corev1.Pod) *corev1.PodCondition {
	if condition := podCondition(pod, corev1.DisruptionTarget); condition != nil && condition.Status == corev1.ConditionTrue {
		return condition
	}
	return nil
}

// refusals are the reasons for which the kubelet refuses a pod because of its spec, so that another
// attempt would fail as well.
var refusals = []string{
	"AppArmor", "PodLevelResourcesNotSupported", "PodOSNotSupported", "PodOSSelectorNodeLabelDoesNotMatch",
	"SupplementalGroupsPolicyNotSupported", "SysctlForbidden",
}

func (l loss) failure(pod corev1.Pod) *Failure {
	where := ""
	if pod.Spec.NodeName != "" {
		where = " on node " + pod.Spec.NodeName
	}
	while := ""
	if status := atWork(pod); status != nil {
		while = " in " + nameIn(pod, status.Name)
	}
	why := colon(l.reason, l.message)
	switch {
	case l.reason == "DeadlineExceeded":
		return fail(v1alpha1.FailureJobFailed, "Raise it "+inTemplate+", or leave it out and set spec.timeout",
			"the pod %s took longer than activeDeadlineSeconds of its template allows and was stopped%s: %s", pod.Name, while, why)
	case slices.Contains(refusals, l.reason):
		return fail(v1alpha1.FailureConfigurationError, "Correct the requests of the pod "+inTemplate,
			"the pod %s was refused%s: %s", pod.Name, where, why)
	default:
		return fail(v1alpha1.FailureSystemUnavailable, l.wayOut(), "the pod %s was lost%s%s: %s", pod.Name, where, while, why)
	}
}

func (l loss) wayOut() string {
	exceeded := strings.Contains(l.message, "exceeds the") || strings.Contains(l.message, "exceeded its")
	switch {
	case l.reason == "Evicted" && strings.Contains(l.message, `volume "`+podcontract.SharedVolume+`" exceeds the`):
		return "It is the workspace, /codepipeline: raise spec.workspace.sizeLimit of the CustomAction, give it a volume of its own by " +
			"spec.workspace.volumeClaimTemplate, or make the steps write less. Without spec.workspace, the limit is the operator's --workspace-size-limit"
	case l.reason == "Evicted" && exceeded && strings.Contains(l.message, "ontainer "+podcontract.ContainerPrefix):
		return "Raise the limit of ephemeral-storage " + inRunner
	case l.reason == "Evicted" && exceeded:
		return "Raise that limit (resources.limits.ephemeral-storage, or sizeLimit of the volume) " + inTemplate + ", or make the steps write less"
	case strings.Contains(l.message, "low on resource"):
		return "Retry the action; resources.requests " + inTemplate + " reserve what the steps need"
	default:
		return "Retry the action"
	}
}
