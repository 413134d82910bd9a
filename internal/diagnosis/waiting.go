package diagnosis

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/plaintext"
)

// Waiting is what a run waits for before one of its containers runs.
type Waiting struct {
	// Reason is a reason of the condition Running in api/v1alpha1.
	Reason string
	// Subject is what waits, or for what. It does not change while that is so.
	Subject string
	// Detail is a message of a cluster component about it, if there is one.
	Detail string
}

// Message returns the message for a condition, as one line.
func (w Waiting) Message() string {
	message := w.Subject
	if w.Detail != "" {
		message += ": " + w.Detail
	}
	return limits.Cut(plaintext.OneLine(message), limits.ConditionMessage)
}

// SaidBy reports whether a condition already has this content. It ignores numbers in messages of
// other programs, such as counts of nodes, times and requests, and the kubelet's messages about an
// image, which alternate between the registry's answer and the back-off.
func (w Waiting) SaidBy(reason, message string) bool {
	if reason != w.Reason || message != w.Message() && !strings.HasPrefix(message, plaintext.OneLine(w.Subject)) {
		return false
	}
	return reason == v1alpha1.ReasonImagePullBackOff || withoutNumbers(message) == withoutNumbers(w.Message())
}

var wordWithDigit = regexp.MustCompile(`\S*[0-9]\S*`)

func withoutNumbers(text string) string { return wordWithDigit.ReplaceAllString(text, "#") }

// Waits that every run has are reported only if they take longer than usual.
const (
	// slowPod is for the creation of a pod by the Job controller. If it fails, only events have the
	// reason.
	slowPod = 5 * time.Second
	// slowStart is for a scheduler to handle a pod, and for the next container to start.
	slowStart = 15 * time.Second
	// longestLook is the longest time between two checks of a waiting run's events. The time
	// between checks is as long as the run has waited so far.
	longestLook = 2 * time.Minute
)

// standing is the state of a run that continues.
type standing struct {
	// working is set while a step or a wrapper container runs.
	working bool
	// waiting is what the run waits for. It is nil while the run works, and while it waits for no
	// longer than usual.
	waiting *Waiting
	// look is when to check again even if nothing changes. Zero means to wait for a change.
	look time.Duration
	// events is true if the run's events may have more information.
	events bool
}

func (e Evidence) standing() standing {
	if suspended(e.Job) {
		return standing{waiting: &Waiting{Reason: v1alpha1.ReasonSuspended, Subject: suspendedBy(e.Job)}}
	}
	if noPodExpected(e.Job) {
		return standing{}
	}
	for _, pod := range e.Pods {
		switch {
		case terminal(pod):
			continue
		case pod.DeletionTimestamp != nil:
			return e.endingStanding(pod)
		case disrupted(pod) != nil:
			return standing{} // another pod replaces it
		default:
			return e.podStanding(pod)
		}
	}
	return e.noPodStanding()
}

// endingStanding is the state of a deleted pod. Another pod replaces it once its node reports that
// it has ended. The deletion timestamp includes the pod's grace period.
func (e Evidence) endingStanding(pod corev1.Pod) standing {
	return e.late(pod.DeletionTimestamp.Time, slowStart, Waiting{
		Reason: v1alpha1.ReasonPodPending, Subject: fmt.Sprintf("Pod %s was deleted, and node %s has not reported that it has ended", pod.Name, pod.Spec.NodeName),
	})
}

func suspended(job *batchv1.Job) bool { return job.Spec.Suspend != nil && *job.Spec.Suspend }

// labelQueue is the label by which Kueue queues a Job.
const labelQueue = "kueue.x-k8s.io/queue-name"

func suspendedBy(job *batchv1.Job) string {
	if queue := job.Labels[labelQueue]; queue != "" {
		return fmt.Sprintf("Job %s is suspended: it starts when Kueue admits it from the queue %s", job.Name, queue)
	}
	return fmt.Sprintf("Job %s is suspended: it starts when its spec.suspend is set to false", job.Name)
}

// slow reports what a run waits for, if that takes longer than usual, and when to check again.
func (e Evidence) slow(since time.Time, usual time.Duration, waiting func() *Waiting) standing {
	age := e.Now.Sub(since)
	if age < usual {
		return standing{look: usual - age}
	}
	return standing{waiting: waiting(), look: min(age, longestLook), events: true}
}

// late is slow for waits about which events add no information to the pod's status.
func (e Evidence) late(since time.Time, usual time.Duration, waiting Waiting) standing {
	if age := e.Now.Sub(since); age < usual {
		return standing{look: usual - age}
	}
	return standing{waiting: &waiting}
}

// noPodStanding is the state of a Job without a pod. Only events show whether the API server
// refuses the pod.
func (e Evidence) noPodStanding() standing {
	return e.slow(e.podDue(), slowPod, func() *Waiting {
		denied := e.denied()
		if denied == nil {
			return &Waiting{Reason: v1alpha1.ReasonPodPending, Subject: fmt.Sprintf("Job %s has no pod yet", e.Job.Name)}
		}
		message := denialMessage(denied)
		waiting := &Waiting{
			Reason:  v1alpha1.ReasonPodRefused,
			Subject: fmt.Sprintf("The API server refuses the pod of Job %s", e.Job.Name),
			Detail:  withoutPodName(message),
		}
		if isQuota(message) {
			waiting.Reason = v1alpha1.ReasonQuotaExceeded
			return waiting
		}
		waiting.Detail = strings.TrimRight(waiting.Detail, " .") + ". " + WayOut(message, e.template())
		return waiting
	})
}

// withoutPodName removes the name of the refused pod, which differs at each attempt.
func withoutPodName(message string) string {
	if _, why, found := strings.Cut(message, " is forbidden: "); found && strings.HasPrefix(message, "pods ") {
		return why
	}
	return message
}

func (e Evidence) podStanding(pod corev1.Pod) standing {
	if !scheduled(pod) {
		return e.unscheduledStanding(pod)
	}
	for i, status := range statusesOf(pod) {
		if status.State.Running != nil && !isBeside(pod, status.Name) {
			return standing{working: true}
		}
		if waiting := e.containerWaiting(pod, i); waiting != nil {
			return standing{waiting: waiting}
		}
	}
	next := nextContainer(pod)
	if sidecar := startingUp(pod); next == nil && sidecar != "" {
		return e.late(lastChange(pod), slowStart, Waiting{
			Reason: v1alpha1.ReasonPodInitializing, Subject: fmt.Sprintf("In pod %s, %s has not passed its startup probe", pod.Name, displayName(pod.Spec, sidecar)),
		})
	}
	if next == nil && len(statusesOf(pod)) > 0 {
		return standing{}
	}
	return e.slow(lastChange(pod), slowStart, func() *Waiting { return e.startWaiting(pod, next) })
}

func (e Evidence) unscheduledStanding(pod corev1.Pod) standing {
	condition := podCondition(pod, corev1.PodScheduled)
	switch {
	case gated(pod):
		return standing{waiting: &Waiting{Reason: v1alpha1.ReasonSchedulingGated, Subject: fmt.Sprintf("Pod %s waits for its scheduling gates to be removed", pod.Name)}}
	case condition != nil:
		at := standing{waiting: &Waiting{
			Reason: v1alpha1.ReasonUnschedulable, Subject: fmt.Sprintf("No node takes pod %s", pod.Name),
			Detail: strings.TrimSpace(condition.Message) + e.aboutClaims(pod),
		}}
		if waitsForVolume(pod) { // events have more information, and those of a claim don't change the pod
			at.events, at.look = true, max(slowStart, min(e.Now.Sub(pod.CreationTimestamp.Time), longestLook))
		}
		return at
	default:
		return e.slow(pod.CreationTimestamp.Time, slowStart, func() *Waiting {
			if waitsForVolume(pod) {
				return &Waiting{Reason: v1alpha1.ReasonPodPending, Subject: fmt.Sprintf(
					"Pod %s has no node yet: its volume claims may not be bound (%s)", pod.Name, strings.Join(ClaimsOf(pod), ", ")),
					Detail: strings.TrimPrefix(e.aboutClaims(pod), "; ")}
			}
			return &Waiting{Reason: v1alpha1.ReasonPodPending, Subject: fmt.Sprintf("No scheduler handles pod %s (schedulerName %q)", pod.Name, pod.Spec.SchedulerName)}
		})
	}
}

// containerWaiting returns what the container at index i waits for according to its status: an
// image that can't be pulled, or the reason why it can't be created.
func (e Evidence) containerWaiting(pod corev1.Pod, i int) *Waiting {
	if e.waiting(pod, i) == nil {
		return nil
	}
	status := statusesOf(pod)[i]
	waits, name := status.State.Waiting, nameIn(pod, status.Name)
	switch {
	case waits.Reason == v1alpha1.ReasonCrashLoopBackOff:
		return &Waiting{Reason: v1alpha1.ReasonCrashLoopBackOff, Subject: fmt.Sprintf("In pod %s, %s crashes repeatedly", pod.Name, name)}
	case isImageFault(waits.Reason):
		return &Waiting{
			Reason: v1alpha1.ReasonImagePullBackOff, Detail: colon(waits.Reason, waits.Message),
			Subject: fmt.Sprintf("In pod %s, the image %q of %s can't be pulled", pod.Name, status.Image, name),
		}
	default:
		return &Waiting{
			Reason: v1alpha1.ReasonCreateContainerError, Detail: colon(waits.Reason, e.quoted(e.startMessage(waits))),
			Subject: fmt.Sprintf("In pod %s, %s can't be started", pod.Name, name),
		}
	}
}

// startWaiting reports a container that takes long to start. next is nil if the pod has no
// container statuses yet. Events show what the kubelet is doing.
func (e Evidence) startWaiting(pod corev1.Pod, next *corev1.ContainerStatus) *Waiting {
	waiting := &Waiting{Reason: v1alpha1.ReasonContainerCreating, Subject: fmt.Sprintf("Node %s has not started a container of pod %s", pod.Spec.NodeName, pod.Name)}
	if next != nil {
		waiting.Subject = fmt.Sprintf("Node %s has not started %s of pod %s", pod.Spec.NodeName, displayName(pod.Spec, next.Name), pod.Name)
		if next.State.Waiting.Reason == v1alpha1.ReasonPodInitializing {
			waiting.Reason = v1alpha1.ReasonPodInitializing
		}
	}
	if said := e.newestEvent("Pod/"+pod.Name, startEvents...); said != nil && !said.Last.Before(lastChange(pod)) {
		waiting.Detail = colon(said.Reason, e.quoted(said.Message))
	}
	return waiting
}

// quoted returns the kubelet's message about a container. The message may quote commands and paths
// in which Kubernetes has expanded variables.
func (e Evidence) quoted(message string) string {
	if e.Secrets && message != "" {
		return "(the kubelet's message is left out, because it may contain secrets of the action; see the pod)"
	}
	return message
}
