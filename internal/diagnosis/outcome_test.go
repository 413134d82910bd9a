package diagnosis

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

const digest64 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// TestResults has Jobs that completed.
func TestResults(t *testing.T) {
	cases := map[string]struct {
		pods []corev1.Pod
		want Outcome
	}{
		"a small result": {pods(reported(podcontract.Envelope{Result: &podcontract.RunResult{Result: podcontract.Result{Summary: "done"}}})), Outcome{Result: &podcontract.RunResult{Result: podcontract.Result{Summary: "done"}}}},
		"a large result": {
			pods(reported(podcontract.Envelope{Log: &podcontract.LogPointer{Size: 9, SHA256: digest64}})),
			Outcome{Log: &LogResult{Pod: "pod-1", Pointer: podcontract.LogPointer{Size: 9, SHA256: digest64}}},
		},
		"the result of the pod that took the place of a drained one": {
			[]corev1.Pod{
				made(-time.Hour, failedPhase, disruption(-time.Minute, "EvictionByEvictionAPI", ""), terminated("unit", 143, "Error", "")),
				made(0, named("pod-2"), reported(podcontract.Envelope{Result: &podcontract.RunResult{Result: podcontract.Result{Summary: "done"}}})),
			},
			Outcome{Result: &podcontract.RunResult{Result: podcontract.Result{Summary: "done"}}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(observeTrimmed(evidence(jobWith(batchv1.JobComplete), c.pods))).To(Equal(c.want))
		})
	}
}

// TestEndings has Jobs that failed, one for each failure that users may see.
func TestEndings(t *testing.T) {
	const failed = v1alpha1.FailureJobFailed
	backoff := jobFailed(batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit")
	deadline := jobFailed(batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline")
	deadline.Spec.ActiveDeadlineSeconds = ptr.To[int64](5400)
	deadline.Spec.Template.Spec = specWithSidecar()
	failJob := jobFailed(batchv1.JobReasonPodFailurePolicy, "Container unit for pod team/pod-1 failed with exit code 42 matching FailJob rule at index 1")

	cases := map[string]struct {
		job    *batchv1.Job
		pods   []corev1.Pod
		events []Event
		kind   v1alpha1.FailureType
		// says are parts of the message, in order.
		says []string
		// silent is a text that the message must not have.
		silent string
	}{
		// Steps that fail.
		"a step exits with 3, and its last lines": {
			job: backoff, pods: pods(inTeam(), terminated("ok", 0, "Completed", ""), terminated("unit", 3, "Error", "1 passed\nassertion failed\n")),
			kind: failed, says: []string{`step "unit" failed: exit code 3. `, "The whole log: kubectl logs -n team pod-1 -c unit", "\n1 passed\nassertion failed"},
		},
		"a step exits without a word": {
			job: backoff, pods: pods(terminated("unit", 1, "Error", "")),
			kind: failed, says: []string{`step "unit" failed: exit code 1. The whole log: kubectl logs pod-1 -c unit`}, silent: "\n",
		},
		"a command of a step is not found": {
			job: backoff, pods: pods(terminated("unit", 127, "Error", "sh: nmp: not found")),
			kind: failed, says: []string{`step "unit" failed: exit code 127 (a command was not found)`, "\nsh: nmp: not found"},
		},
		"a command of a step can't be executed": {
			job: backoff, pods: pods(terminated("unit", 126, "Error", "")),
			kind: failed, says: []string{`exit code 126 (a command could not be executed)`},
		},
		"a step crashes": {
			job: backoff, pods: pods(terminated("unit", 139, "Error", "")),
			kind: failed, says: []string{`step "unit" failed: exit code 139 (killed by SIGSEGV)`},
		},
		"a step is killed": {
			job: backoff, pods: pods(terminated("unit", 137, "Error", "")),
			kind: failed, says: []string{`step "unit" failed: exit code 137 (killed by SIGKILL, as happens when memory runs out)`},
		},
		"a runtime that tells the signal": {
			job: backoff, pods: pods(signalled("unit", 9)),
			kind: failed, says: []string{`step "unit" failed: signal 9 (SIGKILL)`},
		},
		"an exit code that is no signal's": {
			job: backoff, pods: pods(terminated("unit", 255, "Error", "")),
			kind: failed, says: []string{`step "unit" failed: exit code 255. `},
		},
		"a step runs out of memory": {
			job: backoff, pods: pods(terminated("unit", 137, "OOMKilled", "loading"), limited("unit", "256Mi")),
			kind: failed, says: []string{`step "unit" failed: exit code 137 (OOMKilled)`, "its limit, 256Mi", "Raise its resources.limits.memory", "spec.jobTemplate", "\nloading"},
		},
		"a step runs out of memory after its limit was changed": {
			job: backoff, pods: pods(terminated("unit", 137, "OOMKilled", ""), limited("unit", "256Mi"), resized("unit", "512Mi")),
			kind: failed, says: []string{"its limit, 512Mi"},
		},
		"a step runs out of the memory of its pod": {
			job: backoff, pods: pods(terminated("unit", 137, "OOMKilled", ""), podLimited("1Gi")),
			kind: failed, says: []string{`step "unit" failed`, "its pod needed more memory than its limit, 1Gi", "Raise the resources.limits.memory of the pod"},
		},
		"a step without a limit runs out of memory": {
			job: backoff, pods: pods(terminated("unit", 137, "OOMKilled", "")),
			kind: failed, says: []string{`step "unit" failed`, "it has no memory limit", "Reserve what it needs by its resources.requests.memory"},
		},
		"a step's command is not there": {
			job: backoff, pods: pods(terminated("unit", 128, "StartError", "exec: \"nope\": executable file not found in $PATH\n")),
			kind: misset, says: []string{`step "unit" failed: exit code 128 (StartError)`, `exec: "nope": executable file not found in $PATH. Correct its image, command`},
		},
		"a step's container can't run": {
			job: backoff, pods: pods(terminated("unit", 128, "ContainerCannotRun", "no such device")),
			kind: misset, says: []string{`step "unit" failed: exit code 128 (ContainerCannotRun)`, "no such device. Correct its image"},
		},
		"a node loses track of a step": {
			job: backoff, pods: pods(onNode("node-a"), terminated("unit", 137, "ContainerStatusUnknown", "The container could not be located when the pod was terminated")),
			kind: unavailable, says: []string{`step "unit" failed: exit code 137 (ContainerStatusUnknown)`, "node-a", "could not be located", "Retry the action"},
		},
		"a sidecar's exit code does not count": {
			job: backoff, pods: pods(withSidecar(), terminated("db", 143, "Error", ""), terminated("unit", 1, "Error", "")),
			kind: failed, says: []string{`step "unit" failed: exit code 1`}, silent: "db",
		},
		"of several tries, the newest tells": {
			job:  backoff,
			pods: []corev1.Pod{made(-time.Hour, terminated("old", 1, "Error", "")), made(0, named("pod-2"), terminated("new", 2, "Error", ""))},
			kind: failed, says: []string{`step "new" failed: exit code 2`, "pod-2 -c new"},
		},

		// The template's podFailurePolicy.
		"a rule on an exit code": {
			job: failJob, pods: pods(terminated("unit", 42, "Error", "bad license\n")),
			kind: failed, says: []string{`step "unit" failed: exit code 42`, "final by the template's podFailurePolicy", "exit code 42 matching FailJob rule at index 1)", "\nbad license"},
		},
		"a rule, and no container tells": {
			job:  jobFailed(batchv1.JobReasonPodFailurePolicy, "Pod team/pod-1 has condition ConfigIssue matching FailJob rule at index 1"),
			pods: pods(failedPhase),
			kind: failed, says: []string{"PodFailurePolicy: Pod team/pod-1 has condition ConfigIssue", "Correct what the rule is about"},
		},
		"a rule of the user's on lost pods": {
			job:  jobFailed(batchv1.JobReasonPodFailurePolicy, "Pod team/pod-1 has condition DisruptionTarget matching FailJob rule at index 0"),
			pods: pods(onNode("node-a"), disruption(-time.Minute, "PreemptionByScheduler", "preempting to accommodate a higher priority pod")),
			kind: unavailable, says: []string{"pod-1 was lost on node node-a", "PreemptionByScheduler", "Retry the action", "matching FailJob rule at index 0"},
		},

		// The deadline.
		"the timeout, while a step runs": {
			job: deadline, pods: pods(withSidecar(), running("db", -time.Hour), terminated("unit", 143, "Error", "test 17 of 90\n")),
			kind: failed, says: []string{"longer than spec.timeout (1h30m) allows", `stopped in step "unit"`, "Raise spec.timeout", "\ntest 17 of 90"},
		},
		"the timeout, while artifacts are uploaded": {
			job: deadline, pods: pods(terminated("unit", 0, "Completed", ""), running(podcontract.ContainerReport, -time.Minute)),
			kind: failed, says: []string{"stopped in the operator's container codepipeline-report"},
		},
		"the timeout, before a step got its image": {
			job: deadline, pods: pods(terminated("ok", 0, "Completed", ""), waiting("unit", "ImagePullBackOff")),
			kind: failed, says: []string{`stopped before step "unit" started: ImagePullBackOff: because`, "Raise spec.timeout"},
		},
		"the timeout, before a node was found": {
			job: deadline, pods: pods(unschedulable(-time.Minute)),
			kind: failed, says: []string{"stopped before its pod found a node: Unschedulable: 0/3 nodes"},
		},
		"the timeout, when only events remember the step": {
			job: deadline, events: []Event{
				{Object: "Pod/build-1-1-x", Reason: "Killing", Message: "Stopping container db", Last: now},
				{Object: "Pod/build-1-1-x", Reason: "Killing", Message: "Stopping container unit", Last: now},
				{Object: "Pod/other-x", Reason: "Killing", Message: "Stopping container other", Last: now},
			},
			kind: failed, says: []string{`stopped in step "unit"`, "Raise spec.timeout"},
		},
		"the timeout, while the last of several tries ran": {
			job:  deadline,
			pods: []corev1.Pod{made(-time.Hour, failedPhase, terminated("unit", 1, "Error", "an earlier try"))},
			events: []Event{
				{Object: "Pod/build-1-1-old", Reason: "Killing", Message: "Stopping container first", Last: now.Add(-time.Hour)},
				{Object: "Pod/build-1-1-new", Reason: "Killing", Message: "Stopping container second", Last: now},
			},
			kind: failed, says: []string{`stopped in step "second"`}, silent: "an earlier try",
		},
		"a deadline that was over before a quota had room": {
			job: deadline, events: []Event{said("Job/build-1-1", "FailedCreate",
				`Error creating: pods "build-1-1-x7k2p" is forbidden: exceeded quota: team, requested: cpu=4, used: cpu=8, limited: cpu=8`)},
			kind: unavailable, says: []string{"longer than spec.timeout (1h30m) allows", "before it had a pod", "exceeded quota: team", "have the quota raised"},
		},
		"the timeout, before the node did anything": {
			job: deadline, pods: pods(scheduledOn("node-a", 0)),
			kind: failed, says: []string{"allows and was stopped. Raise spec.timeout"},
		},
		"the timeout, and nothing remembers the step": {
			job:  deadline,
			kind: failed, says: []string{"longer than spec.timeout (1h30m) allows and was stopped. Raise spec.timeout"},
		},

		// Pods that were removed.
		"the node was low on memory": {
			job: backoff, pods: pods(onNode("node-a"), terminated("unit", 137, "Error", ""),
				evicted("The node was low on resource: memory. Threshold quantity: 100Mi, available: 70340Ki. Container unit was using 2Gi, request is 0, has larger consumption of memory. ")),
			kind: unavailable, says: []string{"pod-1 was lost on node node-a in step \"unit\": Evicted: The node was low on resource: memory. Threshold quantity: 100Mi, available: 70340Ki. Container unit was using 2Gi, request is 0, has larger consumption of memory.", "Retry the action", "resources.requests"},
		},
		"a wrapper container wrote more than its ephemeral storage": {
			job: backoff, pods: pods(evicted(`Container codepipeline-fetch exceeded its local ephemeral storage limit "1Gi". `)),
			kind: unavailable, says: []string{"Raise the limit of ephemeral-storage in spec.runner.resources"},
		},
		"a step wrote more than its ephemeral storage": {
			job: backoff, pods: pods(evicted(`Container unit exceeded its local ephemeral storage limit "1Gi". `)),
			kind: unavailable, says: []string{`Evicted: Container unit exceeded its local ephemeral storage limit "1Gi".`, "Raise that limit"},
		},
		"evicted because the workspace is full": {
			job: backoff, pods: pods(evicted(`Usage of EmptyDir volume "codepipeline-shared" exceeds the limit "1Gi". `), terminated("unit", 137, "Error", "")),
			kind: unavailable, says: []string{`in step "unit": Evicted: Usage of EmptyDir volume "codepipeline-shared" exceeds the limit "1Gi". It is the workspace`,
				"raise spec.workspace.sizeLimit", "spec.workspace.volumeClaimTemplate", "--workspace-size-limit"}, silent: "spec.jobTemplate",
		},
		"a volume grew beyond its limit": {
			job: backoff, pods: pods(evicted(`Usage of EmptyDir volume "cache" exceeds the limit "1Gi". `)),
			kind: unavailable, says: []string{`volume "cache" exceeds the limit "1Gi".`, "sizeLimit"},
		},
		"an eviction without a message has the condition's": {
			job: backoff, pods: pods(evicted(""), disruption(-time.Minute, "TerminationByKubelet", "The node had condition: [DiskPressure]. ")),
			kind: unavailable, says: []string{"Evicted: The node had condition: [DiskPressure]. Retry the action"},
		},
		"the node was lost": {
			job: backoff, pods: pods(onNode("node-a"), running("unit", -time.Hour), disruption(-time.Minute, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")),
			kind: unavailable, says: []string{`pod-1 was lost on node node-a in step "unit": DeletionByTaintManager: Taint manager`, "Retry the action"},
		},
		"the node shut down": {
			job: backoff, pods: pods(onNode("node-a"), failedPhase, because("Terminated", "Pod was terminated in response to imminent node shutdown.")),
			kind: unavailable, says: []string{"lost on node node-a: Terminated: Pod was terminated in response to imminent node shutdown. Retry the action"},
		},
		"a preempted step's exit code is not its own": {
			job: backoff, pods: pods(disruption(-time.Minute, "PreemptionByScheduler", "higher priority"), endedAt("unit", 143, -time.Second)),
			kind: unavailable, says: []string{`lost in step "unit": PreemptionByScheduler: higher priority`}, silent: "143",
		},
		"a step that failed before its pod was drained": {
			job: backoff, pods: pods(disruption(-time.Minute, "EvictionByEvictionAPI", "drained"), endedAt("unit", 3, -2*time.Minute)),
			kind: failed, says: []string{`step "unit" failed: exit code 3`}, silent: "drained",
		},
		"somebody deleted the pod": {
			job: backoff, pods: pods(deleted(-time.Minute), endedAt("unit", 143, -45*time.Second)),
			kind: unavailable, says: []string{`pod-1 was lost in step "unit": Deleted`, "Retry the action"},
		},
		"a step failed, and then its pod was deleted": {
			job: backoff, pods: pods(deleted(-time.Minute), endedAt("unit", 3, -2*time.Minute)),
			kind: failed, says: []string{`step "unit" failed: exit code 3`},
		},
		"the pod's own deadline": {
			job: backoff, pods: pods(failedPhase, because("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"), terminated("unit", 137, "Error", "")),
			kind: failed, says: []string{"activeDeadlineSeconds", `stopped in step "unit"`, "set spec.timeout"},
		},
		"a node refused the pod for lack of room": {
			job: backoff, pods: pods(onNode("node-a"), failedPhase, because("OutOfcpu", "Node didn't have enough resource: cpu")),
			kind: unavailable, says: []string{"node-a: OutOfcpu: Node didn't have enough resource", "Retry the action"},
		},
		"a node refused the pod for what it asks": {
			job: backoff, pods: pods(onNode("node-a"), failedPhase, because("SysctlForbidden", `forbidden sysctl: "kernel.msgmax"`)),
			kind: misset, says: []string{"was refused on node node-a: SysctlForbidden", "Correct the requests of the pod"},
		},

		// The wrapper containers.
		"the fetch container says why": {
			job: backoff, pods: pods(ours(podcontract.ContainerFetch, podcontract.Envelope{Failure: &podcontract.Failure{Type: "RevisionUnavailable", Message: `input artifact "source": no such key`}})),
			kind: v1alpha1.FailureRevisionUnavailable, says: []string{`input artifact "source": no such key`},
		},
		"the fetch container runs out of memory": {
			job: backoff, pods: pods(terminated(podcontract.ContainerFetch, 137, "OOMKilled", ""), limited(podcontract.ContainerFetch, "256Mi")),
			kind: unavailable, says: []string{"the container codepipeline-fetch ended without a message: exit code 137 (OOMKilled)", "256Mi", "Raise the memory limit in spec.runner.resources"},
		},
		"the report container panics": {
			job: backoff, pods: pods(terminated(podcontract.ContainerReport, 2, "Error", "panic: nil map")),
			kind: unavailable, says: []string{"the container codepipeline-report ended without a message: exit code 2", "Retry the action", "\npanic: nil map"},
		},
		"the report container is evicted": {
			job: backoff, pods: pods(evicted("The node was low on resource: memory. "), terminated(podcontract.ContainerReport, 137, "Error", "")),
			kind: unavailable, says: []string{"lost in the operator's container codepipeline-report: Evicted: The node was low on resource: memory"},
		},

		// Without a reason.
		"the result's pod is gone": {
			job:  jobWith(batchv1.JobComplete),
			kind: unavailable, says: []string{"the Job completed, but the pod that holds its result is gone", "Retry the action"},
		},
		"the result can't be read": {
			job: jobWith(batchv1.JobComplete), pods: pods(reportedText("{")),
			kind: unavailable, says: []string{"the result of the pod pod-1 can't be read", "Retry the action"},
		},
		"its pod was deleted, and nothing is left of it": {
			job:  backoff,
			kind: unavailable, says: []string{"the pod of Job build-1-1 was deleted before the operator could read how it ended", "BackoffLimitExceeded", "Retry the action"},
		},
		"its pod was deleted, as events tell": {
			job: backoff, events: []Event{
				{Object: "Pod/build-1-1-x", Reason: "Killing", Message: "Stopping container codepipeline-progress", Last: now},
				{Object: "Pod/build-1-1-x", Reason: "Killing", Message: "Stopping container unit", Last: now},
			},
			kind: unavailable, says: []string{`the pod of Job build-1-1 was deleted in step "unit"`, "Retry the action"},
		},
		"a Job that fails without a pod": {
			job: jobFailed("SomethingNew", "for a reason"), kind: unavailable, says: []string{"the Job failed: SomethingNew: for a reason, and no pod has more information"},
		},
		"a step prints colours, and a NUL": {
			job: backoff, pods: pods(terminated("unit", 1, "Error", "\x1b[31mFAIL\x1b[0m\x00 login\n")),
			kind: failed, says: []string{"\nFAIL login"}, silent: "\x1b",
		},
		"the Job failed and its pod does not tell": {
			job: jobFailed("SomethingNew", "for a reason"), pods: pods(inTeam()),
			kind: failed, says: []string{"the Job failed: SomethingNew: for a reason", "kubectl describe pod -n team pod-1"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got := observeTrimmed(evidence(c.job, c.pods, c.events...))
			g.Expect(got.Failure).NotTo(BeNil())
			g.Expect(got.Recheck).To(BeZero())
			g.Expect(got.Failure.Type).To(Equal(c.kind), got.Failure.Message)
			expectParts(g, got.Failure.Message, c.says)
			if c.silent != "" {
				g.Expect(got.Failure.Message).NotTo(ContainSubstring(c.silent))
			}
		})
	}
}

// TestWhereTheLogOfAStepIs checks where to read a step's log.
func TestWhereTheLogOfAStepIs(t *testing.T) {
	backoff := jobFailed(batchv1.JobReasonBackoffLimitExceeded, "")
	for name, c := range map[string]struct {
		pods []corev1.Pod
		want *StepLog
	}{
		"a step that tells":                {pods(terminated("unit", 3, "Error", "assertion failed")), &StepLog{Pod: "pod-1", Container: "unit"}},
		"a step that does not":             {pods(terminated("unit", 3, "Error", "")), &StepLog{Pod: "pod-1", Container: "unit"}},
		"a step that ran out of memory":    {pods(terminated("unit", 137, "OOMKilled", "")), &StepLog{Pod: "pod-1", Container: "unit"}},
		"a step that was never started":    {pods(terminated("unit", 128, "StartError", "")), nil},
		"a wrapper container":              {pods(terminated(podcontract.ContainerReport, 2, "Error", "")), nil},
		"a step whose pod was taken away":  {pods(evicted("low"), terminated("unit", 137, "Error", "")), nil},
		"a step of which nobody knows why": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(observeTrimmed(evidence(backoff, c.pods)).Failure.Log).To(Equal(c.want))
		})
	}
}

func TestWithLog(t *testing.T) {
	g := NewWithT(t)
	g.Expect(WithLog("what. Way out", " a\nb \n")).To(Equal("what. Way out\na\nb"))
	g.Expect(WithLog("what. Way out", " ")).To(Equal("what. Way out"))
	long := WithLog("what. Way out", strings.Repeat("line\n", 10_000))
	g.Expect(utf8.RuneCountInString(long)).To(BeNumerically("<=", limits.FailureMessage))
	g.Expect(long).To(And(HavePrefix("what. Way out\n…\n"), HaveSuffix("\nline")))
}

// TestDeadlineNeedsEvents: the Job controller deletes the pod of a Job that exceeded its deadline
// before it reports it.
func TestDeadlineNeedsEvents(t *testing.T) {
	g := NewWithT(t)
	deadline := jobFailed(batchv1.JobReasonDeadlineExceeded, "")
	g.Expect(NeedsEvents(evidence(deadline, nil))).To(BeTrue())
	g.Expect(NeedsEvents(evidence(deadline, pods(running("unit", -time.Hour))))).To(BeFalse())
	g.Expect(NeedsEvents(evidence(deadline, pods(failedPhase, terminated("unit", 1, "Error", ""))))).To(BeTrue(), "it was an earlier try")
	g.Expect(NeedsEvents(evidence(jobFailed(batchv1.JobReasonBackoffLimitExceeded, ""), nil))).To(BeTrue(), "its pod was deleted")
	g.Expect(NeedsEvents(evidence(jobFailed(batchv1.JobReasonBackoffLimitExceeded, ""), pods(failedPhase, terminated("unit", 1, "Error", ""))))).To(BeFalse())
	g.Expect(NeedsEvents(evidence(jobWith(batchv1.JobComplete), nil))).To(BeFalse())
}

func TestFinished(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Finished(jobWith(batchv1.JobComplete))).To(BeTrue())
	g.Expect(Finished(jobWith(batchv1.JobFailed))).To(BeTrue())
	g.Expect(Finished(jobWith(batchv1.JobFailureTarget))).To(BeFalse(), "its pods may still work")
	g.Expect(Finished(jobWith(""))).To(BeFalse())
	undecided := jobWith(batchv1.JobFailed)
	undecided.Status.Conditions[0].Status = corev1.ConditionFalse
	g.Expect(Finished(undecided)).To(BeFalse())
}

func TestObserveLeavesItsEvidenceAlone(t *testing.T) {
	g := NewWithT(t)
	e := evidence(jobWith(""), []corev1.Pod{made(-time.Hour, named("old")), made(0, named("new"))})
	observeTrimmed(e)
	g.Expect(e.Pods[0].Name).To(Equal("old"))
}

func TestMessagesAreCut(t *testing.T) {
	long := strings.Repeat("an earlier line\n", 1000)
	cases := map[string]struct {
		message string
		begins  string
		ends    string
	}{
		"many lines: the last ones stay":        {"head\n" + long + "the last", "head\n…\nan earlier line\n", "\nan earlier line\nthe last"},
		"one long line: its end stays":          {"head\n" + strings.Repeat("é", 9000) + "!", "head\n…é", "é!"},
		"a long first line: both its ends stay": {"step failed " + strings.Repeat("ü", 9000) + " way out\nlast", "step failed ü", "ü way out\nlast"},
		"a message without a log":               {"begin " + strings.Repeat("日", 9000) + " way out", "begin 日", "日 way out"},
		"bytes that are no text":                {"head\n" + strings.Repeat("\xff\n", 9000) + "last", "head\n…\n\uFFFD\n", "\uFFFD\nlast"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got := bounded(c.message)
			g.Expect(utf8.RuneCountInString(got)).To(And(BeNumerically("<=", limits.FailureMessage), BeNumerically(">", limits.FailureMessage-20)))
			g.Expect(utf8.ValidString(got)).To(BeTrue())
			g.Expect(got).To(HavePrefix(c.begins))
			g.Expect(got).To(HaveSuffix(c.ends))
			g.Expect(strings.Count(got, "…")).To(BeNumerically(">=", 1))
		})
	}
	t.Run("what fits stays whole", func(t *testing.T) {
		g := NewWithT(t)
		fits := "head\n" + strings.Repeat("é", limits.FailureMessage-len("head\n"))
		g.Expect(bounded(fits)).To(Equal(fits))
	})
}

func FuzzMessagesAreCut(f *testing.F) {
	f.Add("head\nlog", 3000)
	f.Add("\n", 9000)
	f.Add("é\xff\n", 5001)
	f.Fuzz(func(t *testing.T, part string, times int) {
		if times < 0 || times > 10000 || len(part)*times > 1<<20 {
			t.Skip()
		}
		got := bounded(strings.Repeat(part, times))
		if utf8.RuneCountInString(got) > limits.FailureMessage || !utf8.ValidString(got) {
			t.Errorf("%d characters, valid %v", utf8.RuneCountInString(got), utf8.ValidString(got))
		}
	})
}

// expectParts checks that a message has the parts, in order.
func expectParts(g *WithT, message string, parts []string) {
	rest := message
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		g.Expect(found).To(BeTrue(), "%q is missing or not in order in:\n%s", part, message)
		rest = after
	}
}

func evidence(job *batchv1.Job, pods []corev1.Pod, events ...Event) Evidence {
	return Evidence{Job: job, Pods: pods, Events: events, Now: now, GracePeriods: DefaultGracePeriods}
}

func jobWith(condition batchv1.JobConditionType) *batchv1.Job {
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "build-1-1", CreationTimestamp: metav1.NewTime(now)}}
	if condition != "" {
		job.Status.Conditions = []batchv1.JobCondition{{Type: condition, Status: corev1.ConditionTrue}}
	}
	return job
}

func jobFailed(reason, message string) *batchv1.Job {
	job := jobWith(batchv1.JobFailed)
	job.Status.Conditions[0].Reason, job.Status.Conditions[0].Message = reason, message
	return job
}

// podChange changes a pod.
type podChange func(*corev1.Pod)

// made returns a pod that was created at now plus age.
func made(age time.Duration, changes ...podChange) corev1.Pod {
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod-1", CreationTimestamp: metav1.NewTime(now.Add(age))}}
	for _, change := range changes {
		change(&pod)
	}
	return pod
}

func pods(changes ...podChange) []corev1.Pod { return []corev1.Pod{made(0, changes...)} }

func named(name string) podChange { return func(pod *corev1.Pod) { pod.Name = name } }

func inTeam() podChange { return func(pod *corev1.Pod) { pod.Namespace = "team" } }

func onNode(name string) podChange { return func(pod *corev1.Pod) { pod.Spec.NodeName = name } }

func failedPhase(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed }

func because(reason, message string) podChange {
	return func(pod *corev1.Pod) { pod.Status.Reason, pod.Status.Message = reason, message }
}

func evicted(message string) podChange {
	return func(pod *corev1.Pod) {
		failedPhase(pod)
		because("Evicted", message)(pod)
	}
}

// deleted marks a pod as deleted at now plus age, with a grace period of 30 seconds.
func deleted(age time.Duration) podChange {
	return func(pod *corev1.Pod) {
		pod.DeletionTimestamp = ptr.To(metav1.NewTime(now.Add(age + 30*time.Second)))
		pod.DeletionGracePeriodSeconds = ptr.To[int64](30)
	}
}

func conditioned(condition corev1.PodCondition, age time.Duration) podChange {
	return func(pod *corev1.Pod) {
		condition.LastTransitionTime = metav1.NewTime(now.Add(age))
		pod.Status.Conditions = append(pod.Status.Conditions, condition)
	}
}

func disruption(age time.Duration, reason, message string) podChange {
	return conditioned(corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: reason, Message: message}, age)
}

func scheduledOn(node string, age time.Duration) podChange {
	return func(pod *corev1.Pod) {
		onNode(node)(pod)
		conditioned(corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, age)(pod)
	}
}

func unschedulable(age time.Duration) podChange {
	return conditioned(corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes are available: 3 Insufficient cpu.",
	}, age)
}

// has adds a container's status. The report container is a regular container, and all others are
// init containers.
func has(name string, state corev1.ContainerState) podChange {
	return func(pod *corev1.Pod) {
		status := corev1.ContainerStatus{Name: name, Image: "work:1", State: state}
		if name == podcontract.ContainerReport {
			pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, status)
			return
		}
		pod.Status.InitContainerStatuses = append(pod.Status.InitContainerStatuses, status)
	}
}

func terminated(name string, code int32, reason, message string) podChange {
	return has(name, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}})
}

func endedAt(name string, code int32, age time.Duration) podChange {
	return has(name, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Error", FinishedAt: metav1.NewTime(now.Add(age))}})
}

func signalled(name string, signal int32) podChange {
	return has(name, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 128 + signal, Signal: signal, Reason: "Error"}})
}

func running(name string, age time.Duration) podChange {
	return has(name, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(now.Add(age))}})
}

func waiting(name, reason string) podChange { return waitingFor(name, reason, "because") }

func waitingFor(name, reason, message string) podChange {
	return has(name, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}})
}

func ours(name string, envelope podcontract.Envelope) podChange {
	content, err := json.Marshal(envelope)
	if err != nil {
		panic(err)
	}
	return terminated(name, 1, "Error", string(content))
}

func reported(envelope podcontract.Envelope) podChange {
	content, err := json.Marshal(envelope)
	if err != nil {
		panic(err)
	}
	return reportedText(string(content))
}

func reportedText(message string) podChange {
	return terminated(podcontract.ContainerReport, 0, "Completed", message)
}

func limited(name, memory string) podChange {
	return func(pod *corev1.Pod) {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Name: name, Resources: memoryLimits(memory)})
	}
}

func resized(name, memory string) podChange {
	return func(pod *corev1.Pod) {
		for i := range pod.Status.InitContainerStatuses {
			if pod.Status.InitContainerStatuses[i].Name == name {
				pod.Status.InitContainerStatuses[i].Resources = ptr.To(memoryLimits(memory))
			}
		}
	}
}

func podLimited(memory string) podChange {
	return func(pod *corev1.Pod) { pod.Spec.Resources = ptr.To(memoryLimits(memory)) }
}

func memoryLimits(memory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}}
}

// specWithSidecar returns a pod spec with the sidecar db.
func specWithSidecar() corev1.PodSpec {
	return corev1.PodSpec{InitContainers: []corev1.Container{{Name: "db", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}}}
}

func withSidecar() podChange {
	return func(pod *corev1.Pod) { pod.Spec.InitContainers = specWithSidecar().InitContainers }
}
