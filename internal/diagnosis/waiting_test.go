package diagnosis

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// TestWaiting has everything that a run may wait for. Errors are reported immediately, and waits
// that every run has only if they take longer than usual.
func TestWaiting(t *testing.T) {
	const pod = "Pod/pod-1"
	suspendedJob := jobMade(0)
	suspendedJob.Spec.Suspend = ptr.To(true)
	queued := suspendedJob.DeepCopy()
	queued.Labels = map[string]string{"kueue.x-k8s.io/queue-name": "team-a"}
	refusal := func(message string) Event {
		return Event{Object: "Job/build-1-1", Reason: "FailedCreate", Message: "Error creating: " + message, Last: now, Count: 3}
	}
	gate := func(pod *corev1.Pod) { pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}} }
	initializing := []podChange{scheduledOn("node-a", -20*time.Second), endedAt(podcontract.ContainerFetch, 0, -16*time.Second), waitingFor("unit", "PodInitializing", "")}

	cases := map[string]struct {
		e      Evidence
		reason string
		says   []string
		look   time.Duration
	}{
		"a suspended Job":         {evidence(suspendedJob, nil), v1alpha1.ReasonSuspended, []string{"Job build-1-1 is suspended", "spec.suspend"}, 0},
		"a Job that Kueue queues": {evidence(queued, nil), v1alpha1.ReasonSuspended, []string{"Kueue", "queue team-a"}, 0},
		"a quota that is used up": {
			evidence(jobMade(-6*time.Second), nil, refusal(`pods "build-1-1-x7k2p" is forbidden: exceeded quota: team, requested: cpu=4`)),
			v1alpha1.ReasonQuotaExceeded, []string{"refuses the pod of Job build-1-1: exceeded quota: team"}, 6 * time.Second,
		},
		"a refusal": {
			evidence(jobMade(-6*time.Second), nil, refusal(`pods "build-1-1-x7k2p" is forbidden: violates PodSecurity "restricted:latest"`)),
			v1alpha1.ReasonPodRefused, []string{`Job build-1-1: violates PodSecurity`}, 6 * time.Second,
		},
		"a refusal of a while": {
			evidence(jobMade(-5*time.Minute), nil, refusal(`pods "x" is forbidden: exceeded quota`)), v1alpha1.ReasonQuotaExceeded, nil, 2 * time.Minute,
		},
		"no pod, and no word": {evidence(jobMade(-6*time.Second), nil), v1alpha1.ReasonPodPending, []string{"Job build-1-1 has no pod yet"}, 6 * time.Second},
		"no node": {
			evidence(jobMade(0), since(0, unschedulable(0))), v1alpha1.ReasonUnschedulable,
			[]string{"No node takes pod pod-1: 0/3 nodes are available: 3 Insufficient cpu."}, 10 * time.Minute,
		},
		"scheduling gates": {evidence(jobMade(0), since(0, gate)), v1alpha1.ReasonSchedulingGated, []string{"pod-1", "scheduling gates"}, 0},
		"no scheduler": {
			evidence(jobMade(0), since(-20*time.Second, func(pod *corev1.Pod) { pod.Spec.SchedulerName = "mine" })),
			v1alpha1.ReasonPodPending, []string{`No scheduler handles pod pod-1 (schedulerName "mine")`}, 20 * time.Second,
		},
		"an image that can't be pulled": {
			evidence(jobMade(0), since(0, scheduledOn("node-a", 0), waiting("unit", "ErrImagePull"))),
			v1alpha1.ReasonImagePullBackOff, []string{`the image "work:1" of step "unit" can't be pulled: ErrImagePull: because`}, 2 * time.Minute,
		},
		"a Secret that is missing": {
			evidence(jobMade(0), since(0, scheduledOn("node-a", 0), waitingFor("unit", "CreateContainerConfigError", `secret "npm" not found`))),
			v1alpha1.ReasonCreateContainerError, []string{`step "unit" can't be started: CreateContainerConfigError: secret "npm" not found`}, 2 * time.Minute,
		},
		"a sidecar that crashes": {
			evidence(jobMade(0), since(0, scheduledOn("node-a", 0), withSidecar(), crashing(1, "Error", ""), waiting("unit", "PodInitializing"))),
			v1alpha1.ReasonCrashLoopBackOff, []string{`sidecar "db" crashes repeatedly`}, 2 * time.Minute,
		},
		"a container that is not created": {
			evidence(jobMade(0), since(-16*time.Second, scheduledOn("node-a", -16*time.Second), waitingFor("unit", "ContainerCreating", "")), Event{
				Object: pod, Reason: "FailedMount", Message: `configmap "x" not found`, Last: now,
			}),
			v1alpha1.ReasonContainerCreating, []string{`Node node-a has not started step "unit" of pod pod-1: FailedMount: configmap "x" not found`}, 16 * time.Second,
		},
		"a pod without a status": {
			evidence(jobMade(0), since(-16*time.Second, scheduledOn("node-a", -16*time.Second))),
			v1alpha1.ReasonContainerCreating, []string{"Node node-a has not started a container of pod pod-1"}, 16 * time.Second,
		},
		"an image that is being pulled": {
			evidence(jobMade(0), since(-20*time.Second, initializing...), Event{Object: pod, Reason: "Pulling", Message: `Pulling image "work:1"`, Last: now}),
			v1alpha1.ReasonPodInitializing, []string{`has not started step "unit" of pod pod-1: Pulling: Pulling image "work:1"`}, 16 * time.Second,
		},
		"a step is not started, and what was before it does not count": {
			evidence(jobMade(0), since(-20*time.Second, initializing...), Event{Object: pod, Reason: "Pulling", Message: "fetch's", Last: now.Add(-19 * time.Second)}),
			v1alpha1.ReasonPodInitializing, []string{`has not started step "unit" of pod pod-1`}, 16 * time.Second,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got := observeTrimmed(c.e)
			g.Expect(got.Ended()).To(BeFalse())
			g.Expect(got.Working).To(BeFalse())
			g.Expect(got.Waiting).NotTo(BeNil())
			g.Expect(got.Waiting.Reason).To(Equal(c.reason))
			expectParts(g, got.Waiting.Message(), c.says)
			g.Expect(got.Recheck).To(Equal(c.look))
			if len(c.e.Events) > 0 {
				g.Expect(NeedsEvents(c.e)).To(BeTrue(), "only events tell")
			}
		})
	}
}

// TestNothingToTell has the states that every run goes through, which must not cost a write.
func TestNothingToTell(t *testing.T) {
	cases := map[string]struct {
		e    Evidence
		look time.Duration
	}{
		"a new Job":                  {evidence(jobMade(-time.Second), nil), 4 * time.Second},
		"a new pod":                  {evidence(jobMade(0), since(-time.Second)), 14 * time.Second},
		"a pod that has just a node": {evidence(jobMade(0), since(-time.Second, scheduledOn("node-a", 0))), 15 * time.Second},
		"between two steps": {
			evidence(jobMade(-time.Hour), since(-time.Hour, endedAt("first", 0, -5*time.Second), waiting("unit", "PodInitializing"))), 10 * time.Second,
		},
		"a pod that has ended":          {evidence(jobWith(batchv1.JobSuccessCriteriaMet), pods(endedAt("unit", 0, 0))), 0},
		"a pod that is about to go":     {evidence(jobMade(-time.Hour), since(-time.Hour, deleted(-time.Second))), 44 * time.Second},
		"a pod that is being preempted": {evidence(jobMade(-time.Hour), since(-time.Hour, disruption(0, "PreemptionByScheduler", ""))), 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(observeTrimmed(c.e)).To(Equal(Outcome{Recheck: c.look}))
			g.Expect(NeedsEvents(c.e)).To(BeFalse())
		})
	}
}

func TestWorking(t *testing.T) {
	g := NewWithT(t)
	g.Expect(observeTrimmed(evidence(jobMade(-time.Hour), since(-time.Hour, endedAt("first", 0, -time.Minute), running("unit", -time.Minute))))).
		To(Equal(Outcome{Working: true}))
	g.Expect(observeTrimmed(evidence(jobMade(0), since(0, withSidecar(), running("db", 0)))).Working).To(BeFalse(), "a sidecar does no work")
}

// TestWaitingIsSaidOnce: a condition with the same content is not written again.
func TestWaitingIsSaidOnce(t *testing.T) {
	image := Waiting{v1alpha1.ReasonImagePullBackOff, `the image "work:1" can't be pulled`, "ErrImagePull: not found"}
	nodes := Waiting{v1alpha1.ReasonUnschedulable, "No node takes pod a-1", "0/3 nodes are available: 3 Insufficient cpu."}
	cases := map[string]struct {
		w               Waiting
		reason, message string
		want            bool
	}{
		"the same":           {nodes, nodes.Reason, nodes.Message(), true},
		"other numbers":      {nodes, nodes.Reason, "No node takes pod a-1: 0/14 nodes are available: 14 Insufficient cpu.", true},
		"another cause":      {nodes, nodes.Reason, "No node takes pod a-1: 0/3 nodes are available: 3 node(s) had untolerated taint.", false},
		"another pod":        {nodes, nodes.Reason, "No node takes pod a-2: 0/3 nodes are available: 3 Insufficient cpu.", false},
		"another reason":     {nodes, v1alpha1.ReasonPodPending, nodes.Message(), false},
		"an image, backing":  {image, image.Reason, `the image "work:1" can't be pulled: ImagePullBackOff: Back-off`, true},
		"another image":      {image, image.Reason, `the image "work:2" can't be pulled: ErrImagePull: not found`, false},
		"nothing was said":   {nodes, "", "", false},
		"without any detail": {Waiting{Reason: "R", Subject: "s"}, "R", "s", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(c.w.SaidBy(c.reason, c.message)).To(Equal(c.want))
		})
	}
}
