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
	// Reason is one of those of condition Running in api/v1alpha1.
	Reason string
	// Subject says what waits, or for what: it is the same for as long as that is so.
	Subject string
	// Detail is what a component of the cluster says about it, if it does.
	Detail string
}

// Message is what people read: that of a condition. It is one line.
func (w Waiting) Message() string {
	message := w.Subject
	if w.Detail != "" {
		message += ": " + w.Detail
	}
	return limits.Cut(plaintext.OneLine(message), limits.ConditionMessage)
}

// SaidBy reports whether a condition's reason and message say the same. Numbers in
// what other programs say don't count, such as those of nodes, times and requests; nor
// does what the kubelet says of an image, which alternates between the registry's
// answer and the wait for the next try.
func (w Waiting) SaidBy(reason, message string) bool {
	if reason != w.Reason || message != w.Message() && !strings.HasPrefix(message, plaintext.OneLine(w.Subject)) {
		return false
	}
	return reason == v1alpha1.ReasonImagePullBackOff || withoutNumbers(message) == withoutNumbers(w.Message())
}

var wordWithDigit = regexp.MustCompile(`\S*[0-9]\S*`)

func withoutNumbers(text string) string { return wordWithDigit.ReplaceAllString(text, "#") }

// What any run waits for is only told when it takes longer than usual.
const (
	// slowPod is for the Job controller to make a pod: if it can't, only events tell.
	slowPod = 5 * time.Second
	// slowStart is for a pod to be taken up by a scheduler, and for its next container
	// to be started.
	slowStart = 15 * time.Second
	// longestLook is the longest time between two looks at the events of a run that
	// waits. At first they are looked at after as long as it has waited already.
	longestLook = 2 * time.Minute
)

// standing is where a run that goes on stands.
type standing struct {
	// working is set while a step or a wrapper container runs.
	working bool
	// waiting is what the run waits for; nil while it works, and while it waits for no
	// longer than usual.
	waiting *Waiting
	// look is when to look again although nothing has changed; zero: wait for a change.
	look time.Duration
	// events says that the run's events may tell more.
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
			return standing{} // another takes its place
		default:
			return e.podStanding(pod)
		}
	}
	return e.noPodStanding()
}

// endingStanding is that of a pod that was deleted: another takes its place once its node
// says that it has ended. The timestamp includes the time that it was given for that.
func (e Evidence) endingStanding(pod corev1.Pod) standing {
	return e.late(pod.DeletionTimestamp.Time, slowStart, Waiting{
		Reason: v1alpha1.ReasonPodPending, Subject: fmt.Sprintf("Pod %s was deleted, and node %s has not said that it has ended", pod.Name, pod.Spec.NodeName),
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

// slow is what a run waits for if it does so for longer than usual, with the time of
// the next look.
func (e Evidence) slow(since time.Time, usual time.Duration, waiting func() *Waiting) standing {
	age := e.Now.Sub(since)
	if age < usual {
		return standing{look: usual - age}
	}
	return standing{waiting: waiting(), look: min(age, longestLook), events: true}
}

// late is slow for what changes with the pod's status alone: events tell nothing more.
func (e Evidence) late(since time.Time, usual time.Duration, waiting Waiting) standing {
	if age := e.Now.Sub(since); age < usual {
		return standing{look: usual - age}
	}
	return standing{waiting: &waiting}
}

// noPodStanding is that of a Job without a pod to work in. Whether the API server
// refuses it, only events tell.
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

// withoutPodName cuts the name of the refused pod, which is another at each try.
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
			Reason: v1alpha1.ReasonPodInitializing, Subject: fmt.Sprintf("In pod %s %s has not passed its startup probe", pod.Name, displayName(pod.Spec, sidecar)),
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
		if waitsForVolume(pod) { // events tell more, and those of a claim are no change of the pod
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

// containerWaiting is what the container at index i waits for by its status: an image
// that can't be pulled, or what keeps it from being created.
func (e Evidence) containerWaiting(pod corev1.Pod, i int) *Waiting {
	if e.waiting(pod, i) == nil {
		return nil
	}
	status := statusesOf(pod)[i]
	waits, name := status.State.Waiting, nameIn(pod, status.Name)
	switch {
	case waits.Reason == v1alpha1.ReasonCrashLoopBackOff:
		return &Waiting{Reason: v1alpha1.ReasonCrashLoopBackOff, Subject: fmt.Sprintf("In pod %s %s crashes repeatedly", pod.Name, name)}
	case isImageFault(waits.Reason):
		return &Waiting{
			Reason: v1alpha1.ReasonImagePullBackOff, Detail: colon(waits.Reason, waits.Message),
			Subject: fmt.Sprintf("In pod %s the image %q of %s can't be pulled", pod.Name, status.Image, name),
		}
	default:
		return &Waiting{
			Reason: v1alpha1.ReasonCreateContainerError, Detail: colon(waits.Reason, e.quoted(e.startMessage(waits))),
			Subject: fmt.Sprintf("In pod %s %s can't be started", pod.Name, name),
		}
	}
}

// startWaiting is of a container that takes long to be started: nil if the pod has no
// status of any yet. Events tell what the kubelet is at.
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

// quoted is what the kubelet says of a container. It may quote commands and paths, into
// which Kubernetes has put the values of variables.
func (e Evidence) quoted(message string) string {
	if e.Secrets && message != "" {
		return "(the kubelet's message is left out, because it may contain secrets of the action; see the pod)"
	}
	return message
}
