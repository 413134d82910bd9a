package diagnosis

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

const (
	misset      = v1alpha1.FailureConfigurationError
	denied      = v1alpha1.FailurePermissionError
	unavailable = v1alpha1.FailureSystemUnavailable
)

// blockedCase is a blocker with a grace period.
type blockedCase struct {
	// at returns the evidence for a blocker that began at now plus age.
	at    func(age time.Duration) Evidence
	grace time.Duration
	kind  v1alpha1.FailureType
	says  []string
}

// TestBlocked has everything that may block a run for a grace period. Just before its end, the run
// goes on and has a recheck in time. Afterwards, it has failed.
func TestBlocked(t *testing.T) {
	cases := map[string]blockedCase{
		// Images.
		"an image can't be pulled": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(age, waiting("unit", "ErrImagePull")))
			},
			grace: 2 * time.Minute, kind: misset,
			says: []string{`the image "work:1" of step "unit" can't be used: ErrImagePull: because`, "Correct the image or its imagePullSecrets"},
		},
		"an image still can't be pulled": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(age, waiting("unit", "ImagePullBackOff")))
			},
			grace: 2 * time.Minute, kind: misset, says: []string{`step "unit"`, "ImagePullBackOff", "reachable"},
		},
		"a registry is away": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(age, waiting("unit", "RegistryUnavailable")))
			},
			grace: 2 * time.Minute, kind: misset, says: []string{`step "unit"`, "RegistryUnavailable"},
		},
		"an image's signature is wrong": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(age, waiting("unit", "SignatureValidationFailed")))
			},
			grace: 2 * time.Minute, kind: misset, says: []string{`step "unit"`, "SignatureValidationFailed"},
		},
		"an image of a late step, counted from the step before": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(-time.Hour, endedAt("first", 0, age), waiting("unit", "ErrImagePull")))
			},
			grace: 2 * time.Minute, kind: misset, says: []string{`step "unit"`},
		},
		"an image behind a sidecar, counted from the sidecar's start": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(-time.Hour, withSidecar(), running("db", age), waiting("unit", "ErrImagePull")))
			},
			grace: 2 * time.Minute, kind: misset, says: []string{`step "unit"`},
		},
		"an image, counted from when a node was found": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), []corev1.Pod{made(-time.Hour, scheduledOn("node-a", age), waiting("unit", "ErrImagePull"))})
			},
			grace: 2 * time.Minute, kind: misset, says: []string{`step "unit"`},
		},
		"a sidecar's image": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(age, withSidecar(), waiting("db", "ErrImagePull"), waiting("unit", "PodInitializing")))
			},
			grace: 2 * time.Minute, kind: misset, says: []string{`of sidecar "db" can't be used`},
		},
		"the operator's own image": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(age, waiting(podcontract.ContainerFetch, "ErrImagePull")))
			},
			grace: 2 * time.Minute, kind: misset, says: []string{"the operator's container codepipeline-fetch", "--runner-image"},
		},
		"the image of the report container": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(-time.Hour, endedAt("unit", 0, age), waiting(podcontract.ContainerReport, "ErrImagePull")))
			},
			grace: 2 * time.Minute, kind: misset, says: []string{"the operator's container codepipeline-report"},
		},
		"an image that could be pulled, but a later fault": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(-time.Hour, waiting("unit", "CreateContainerError")),
					Event{Object: "Pod/pod-1", Reason: "Pulled", First: now.Add(-30 * time.Minute), Last: now.Add(-30 * time.Minute)},
					Event{Object: "Pod/pod-1", Reason: "Failed", Message: "Error: because", First: now.Add(age), Last: now, Count: 9})
			},
			grace: 2 * time.Minute, kind: misset, says: []string{`step "unit" can't be started: CreateContainerError`},
		},

		// Containers that can't be created.
		"a Secret is missing": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(age, waitingFor("unit", "CreateContainerConfigError", `secret "npm" not found`)))
			},
			grace: 2 * time.Minute, kind: misset,
			says: []string{`step "unit" can't be started: CreateContainerConfigError: secret "npm" not found`, "create the Secret"},
		},
		"an image that runs as root": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(age, waitingFor("unit", "CreateContainerConfigError", "container has runAsNonRoot and image will run as root")))
			},
			grace: 2 * time.Minute, kind: misset, says: []string{`step "unit"`, "securityContext.runAsUser"},
		},
		"a container can't be created": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(age, waiting("unit", "CreateContainerError")))
			},
			grace: 2 * time.Minute, kind: misset, says: []string{`step "unit" can't be started: CreateContainerError: because`},
		},
		"a container can't be run": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(age, waiting("unit", "RunContainerError")))
			},
			grace: 2 * time.Minute, kind: misset, says: []string{`step "unit" can't be started: RunContainerError`},
		},

		// Sidecars.
		"a sidecar crashes before its steps could start": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(-time.Hour, withSidecar(), endedAt(podcontract.ContainerFetch, 0, age),
					crashing(1, "Error", "no such user\n"), waiting("unit", "PodInitializing")))
			},
			grace: 2 * time.Minute, kind: misset,
			says: []string{`sidecar "db" crashes repeatedly (CrashLoopBackOff), the last time with exit code 1`, "correct the sidecar", "kubectl logs pod-1 -c db --previous", "\nno such user"},
		},
		"a sidecar crashes between the steps": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(-time.Hour, withSidecar(), endedAt("prepare", 0, age),
					crashing(137, "OOMKilled", ""), waiting("unit", "PodInitializing")))
			},
			grace: 2 * time.Minute, kind: misset, says: []string{`sidecar "db"`, "OOMKilled", "memory"},
		},

		// Nodes.
		"no node has room": {
			at:    func(age time.Duration) Evidence { return evidence(jobWith(""), since(-time.Hour, unschedulable(age))) },
			grace: 10 * time.Minute, kind: unavailable,
			says: []string{"pod-1 found no node for 10m: Unschedulable: 0/3 nodes are available: 3 Insufficient cpu.", "Retry the action when the cluster has room", "nodeSelector"},
		},
		"no node has room since the scheduling gates were lifted": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(-time.Hour, unschedulable(-time.Hour)),
					Event{Object: "Pod/pod-1", Reason: "FailedScheduling", Message: "newest", First: now, Last: now, Count: 1},
					Event{Object: "Pod/pod-1", Reason: "FailedScheduling", Message: "oldest", First: now.Add(age), Last: now, Count: 3})
			},
			grace: 10 * time.Minute, kind: unavailable, says: []string{"pod-1 found no node"},
		},
		"no scheduler is there": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(age, func(pod *corev1.Pod) { pod.Spec.SchedulerName = "mine" }))
			},
			grace: 10 * time.Minute, kind: unavailable, says: []string{"no scheduler handled the pod pod-1", `"mine"`, "Correct schedulerName"},
		},
		"a volume can't be mounted": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), []corev1.Pod{made(-time.Hour, scheduledOn("node-a", age), waiting("unit", "PodInitializing"))},
					said("Pod/pod-1", "FailedMount", `MountVolume.SetUp failed for volume "cfg" : configmap "settings" not found`))
			},
			grace: 10 * time.Minute, kind: misset,
			says: []string{"node node-a started none of the containers of the pod pod-1 for 10m: FailedMount", `configmap "settings" not found`, "correct the volumes"},
		},
		"a volume can't be attached": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(-time.Hour, scheduledOn("node-a", age)),
					said("Pod/pod-1", "FailedAttachVolume", "Multi-Attach error for volume \"data\""))
			},
			grace: 10 * time.Minute, kind: misset, says: []string{"FailedAttachVolume: Multi-Attach error", "correct the volumes"},
		},
		"the CA of the wrapper containers is not there": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(age, scheduledOn("node-a", age)),
					said("Pod/pod-1", "FailedMount", `MountVolume.SetUp failed for volume "codepipeline-ca" : configmap "aws-ca" not found`))
			},
			grace: 10 * time.Minute, kind: misset, says: []string{`configmap "aws-ca" not found`, "spec.runner.ca of the CustomAction", "--runner-ca"},
		},
		"a Secret of spec.runner is not there": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(age, waitingFor(podcontract.ContainerFetch, "CreateContainerConfigError", `secret "proxy" not found`)))
			},
			grace: 2 * time.Minute, kind: misset, says: []string{`secret "proxy" not found`, "that spec.runner of the CustomAction refers to"},
		},
		"the operator's own volume can't be mounted": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(-time.Hour, scheduledOn("node-a", age)),
					said("Pod/pod-1", "FailedMount", `MountVolume.SetUp failed for volume "codepipeline-handover" : secret "build-1" not found`))
			},
			grace: 10 * time.Minute, kind: unavailable, says: []string{`secret "build-1" not found`, "the operator's own volume", "retry the action"},
		},
		"a pod gets no network": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(-time.Hour, scheduledOn("node-a", age)),
					Event{Object: "Pod/pod-1", Reason: "FailedMount", Message: "it passed", Last: now.Add(-time.Minute)},
					said("Pod/pod-1", "FailedCreatePodSandBox", "plugin type=\"cni\" failed: no IP addresses left"))
			},
			grace: 10 * time.Minute, kind: unavailable, says: []string{"node node-a", "FailedCreatePodSandBox", "no IP addresses left", "check the node"},
		},
		"a node does nothing": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(-time.Hour, scheduledOn("node-a", age)))
			},
			grace: 10 * time.Minute, kind: unavailable, says: []string{"node node-a started none of the containers of the pod pod-1", "check the node"},
		},

		// Pods in which nothing runs.
		"the kubelet does not go on": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(-time.Hour, scheduledOn("node-a", -time.Hour), endedAt("first", 0, age), waiting("unit", "PodInitializing")))
			},
			grace: 10 * time.Minute, kind: unavailable,
			says: []string{`node node-a has not started step "unit" for 10m`, "pod-1", "no container runs", "Retry the action", "check the node"},
		},
		"the kubelet does not go on after a sidecar": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(-time.Hour, withSidecar(), running("db", age), waiting("unit", "PodInitializing")))
			},
			grace: 10 * time.Minute, kind: unavailable, says: []string{`has not started step "unit"`},
		},
		"the kubelet does not go on while a sidecar crashes": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(-time.Hour, withSidecar(), running("db", 0), endedAt("first", 0, age), waiting("unit", "PodInitializing")))
			},
			grace: 10 * time.Minute, kind: unavailable, says: []string{`has not started step "unit"`},
		},
		"the kubelet does not go on after it pulled the image": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(-time.Hour, endedAt("first", 0, -time.Hour), waiting("unit", "PodInitializing")),
					Event{Object: "Pod/pod-1", Reason: "Pulling", Last: now.Add(age - time.Second)},
					Event{Object: "Pod/pod-1", Reason: "Pulled", Last: now.Add(age)})
			},
			grace: 10 * time.Minute, kind: unavailable, says: []string{`has not started step "unit"`},
		},
		"the kubelet does not end a pod whose step failed": {
			at: func(age time.Duration) Evidence {
				return evidence(jobWith(""), since(-time.Hour, endedAt("unit", 3, age), waiting(podcontract.ContainerReport, "PodInitializing")))
			},
			grace: 10 * time.Minute, kind: v1alpha1.FailureJobFailed, says: []string{`step "unit" failed: exit code 3`},
		},

		// No pod.
		"pod security": noPodFor(time.Minute, denied,
			`Error creating: pods "build-1-1-x7k2p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false`,
			"violates PodSecurity", "allowPrivilegeEscalation != false", "securityContext"),
		"another rule of the cluster": noPodFor(time.Minute, denied,
			`Error creating: pods "build-1-1-x7k2p" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi`,
			"maximum memory usage", "have the rule changed"),
		"an admission webhook": noPodFor(time.Minute, denied,
			`Error creating: admission webhook "images.example.com" denied the request: the tag latest is invalid`,
			"images.example.com", "Correct what the policy refuses"),
		"an admission policy": noPodFor(time.Minute, denied,
			`Error creating: pods "build-1-1-x7k2p" is forbidden: ValidatingAdmissionPolicy 'tags' with binding 'all' denied request: no latest`,
			"ValidatingAdmissionPolicy 'tags'"),
		"a webhook that is away": noPodFor(10*time.Minute, unavailable,
			`Error creating: Internal error occurred: failed calling webhook "images.example.com": connection refused`,
			"connection refused", "Retry the action"),
		"a quota that is used up": noPodFor(24*time.Hour, unavailable,
			`Error creating: pods "build-1-1-x7k2p" is forbidden: exceeded quota: team, requested: cpu=4, used: cpu=8, limited: cpu=8`,
			"the Job could not create a pod for 24h", "exceeded quota: team", "have the quota raised"),
		"a quota that wants limits": noPodFor(time.Minute, misset,
			`Error creating: pods "build-1-1-x7k2p" is forbidden: failed quota: team: must specify limits.cpu for: unit`,
			"must specify limits.cpu for: unit", "Set the resources"),
		"a service account that is not there": noPodFor(time.Minute, misset,
			`Error creating: pods "build-1-1-" is forbidden: error looking up service account team/builder: serviceaccount "builder" not found`,
			`serviceaccount "builder" not found`, "Create that service account"),
		"a priority class that is not there": noPodFor(time.Minute, misset,
			`Error creating: pods "build-1-1-" is forbidden: no PriorityClass with name urgent was found`,
			"urgent", "correct priorityClassName"),
		"a runtime class that is not there": noPodFor(time.Minute, misset,
			`Error creating: pods "build-1-1-" is forbidden: pod rejected: RuntimeClass "gvisor" not found`,
			"gvisor", "correct runtimeClassName"),
		"a template that makes no pod": noPodFor(time.Minute, misset,
			`Error creating: Pod "build-1-1-x7k2p" is invalid: spec.initContainers[1].volumeMounts[0].name: Not found: "cache"`,
			"spec.initContainers[1].volumeMounts[0].name", "Correct that field"),
		"events that were summed up": noPodFor(time.Minute, denied,
			`(combined from similar events): Error creating: pods "x" is forbidden: no`,
			`for 1m: pods "x" is forbidden: no`),
		// Nodes. The pods have a grace period of 30 seconds.
		"a node does not answer": {
			at: func(age time.Duration) Evidence {
				return evidence(jobMade(-time.Hour), since(-time.Hour, scheduledOn("node-a", -time.Hour), running("unit", -time.Hour),
					disruption(age, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"), deleted(age-30*time.Second)))
			},
			grace: 10 * time.Minute, kind: unavailable,
			says: []string{`was lost on node node-a in step "unit": DeletionByTaintManager`, "The node node-a has not reported for 10m that the pod has ended: it may still be at work there"},
		},
		"a node does not answer when the time is over": {
			at: func(age time.Duration) Evidence {
				job := jobMade(-time.Hour)
				job.Spec.ActiveDeadlineSeconds = ptr.To[int64](600)
				job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailureTarget, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonDeadlineExceeded}}
				return evidence(job, since(-time.Hour, scheduledOn("node-a", -time.Hour), running("unit", -time.Hour), deleted(age-30*time.Second)))
			},
			grace: 10 * time.Minute, kind: v1alpha1.FailureJobFailed,
			says: []string{`longer than spec.timeout (10m) allows and was stopped in step "unit"`, "The node node-a has not reported for 10m"},
		},
		"a suspended Job's pod does not end": {
			at: func(age time.Duration) Evidence {
				job := jobMade(-time.Hour)
				job.Spec.Suspend = ptr.To(true)
				return evidence(job, since(-time.Hour, deleted(age-30*time.Second), running("unit", -time.Hour)))
			},
			grace: 10 * time.Minute, kind: unavailable, says: []string{"was lost", "it was deleted while it worked"},
		},
		"no pod since the Job was resumed": {
			at: func(age time.Duration) Evidence {
				job := jobMade(-time.Hour)
				job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobSuspended, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(now.Add(age))}}
				return evidence(job, nil, said("Job/build-1-1", "FailedCreate", "forbidden"))
			},
			grace: time.Minute, kind: denied, says: []string{"could not create a pod"},
		},
		"no pod in the place of one that was lost": {
			at: func(age time.Duration) Evidence {
				lost := made(-time.Hour, failedPhase, disruption(age-time.Second, "EvictionByEvictionAPI", ""), endedAt("unit", 143, age))
				return evidence(jobMade(-time.Hour), []corev1.Pod{lost}, said("Job/build-1-1", "FailedCreate", "forbidden"))
			},
			grace: time.Minute, kind: denied, says: []string{"could not create a pod"},
		},
		"no pod in the place of one that is gone": {
			at: func(age time.Duration) Evidence {
				return evidence(jobMade(-time.Hour), nil,
					Event{Object: "Job/build-1-1", Reason: "SuccessfulCreate", Message: "Created pod: build-1-1-a", Last: now.Add(-50 * time.Minute)},
					Event{Object: "Job/build-1-1", Reason: "FailedCreate", Message: "forbidden: a", Last: now.Add(age), Count: 1},
					Event{Object: "Job/build-1-1", Reason: "FailedCreate", Message: "forbidden: b", Last: now, Count: 1})
			},
			grace: time.Minute, kind: denied, says: []string{"forbidden: b"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			before := observeTrimmed(c.at(-c.grace + time.Second))
			g.Expect(before.Ended()).To(BeFalse(), "just before the grace period is over")
			g.Expect(before.Recheck).To(Equal(time.Second))
			got := observeTrimmed(c.at(-c.grace))
			g.Expect(got.Failure).NotTo(BeNil(), "after the grace period")
			g.Expect(got.Failure.Type).To(Equal(c.kind), got.Failure.Message)
			g.Expect(got.Recheck).To(BeZero())
			expectParts(g, got.Failure.Message, c.says)
			g.Expect(NeedsEvents(c.at(-c.grace))).To(BeTrue(), "events may tell that it began later")
		})
	}
}

// TestGivenUpAtOnce has blockers that can't be temporary.
func TestGivenUpAtOnce(t *testing.T) {
	cases := map[string]struct {
		reason string
		says   []string
	}{
		"an image's name is invalid":         {"InvalidImageName", []string{`the image "work:1" of step "unit" can't be used: InvalidImageName: because`, "Correct the image"}},
		"an image is not there, nor fetched": {"ErrImageNeverPull", []string{`the image "work:1" of step "unit" can't be used: ErrImageNeverPull: because`, "Correct the image"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			e := evidence(jobWith(""), since(0, waiting("unit", c.reason)))
			got := observeTrimmed(e)
			g.Expect(got.Failure).NotTo(BeNil())
			g.Expect(got.Failure.Type).To(Equal(misset))
			expectParts(g, got.Failure.Message, c.says)
			g.Expect(NeedsEvents(e)).To(BeFalse())
		})
	}
}

// TestOutOfMemoryWithExitCode0: the kubelet neither starts a container after such a step nor ends
// the pod, so the Job would never end.
func TestOutOfMemoryWithExitCode0(t *testing.T) {
	g := NewWithT(t)
	e := evidence(jobWith(""), since(-time.Minute, limited("unit", "32Mi"), terminated("unit", 0, "OOMKilled", "0\n"), waiting(podcontract.ContainerReport, "PodInitializing")))
	got := observeTrimmed(e)
	g.Expect(got.Failure).NotTo(BeNil())
	g.Expect(got.Failure.Type).To(Equal(v1alpha1.FailureJobFailed))
	expectParts(g, got.Failure.Message, []string{`step "unit" failed: exit code 0 (OOMKilled)`, "its limit, 32Mi", "Raise its resources.limits.memory"})
	g.Expect(NeedsEvents(e)).To(BeFalse(), "the pod tells all")

	completed := evidence(jobWith(batchv1.JobComplete), since(-time.Minute, terminated("unit", 0, "OOMKilled", ""), reported(podcontract.Envelope{Result: &podcontract.RunResult{}})))
	g.Expect(observeTrimmed(completed).Failure).NotTo(BeNil(), "a kubelet that went on")
	sidecar := evidence(jobWith(batchv1.JobComplete), since(-time.Minute, withSidecar(), terminated("db", 0, "OOMKilled", ""), reported(podcontract.Envelope{Result: &podcontract.RunResult{}})))
	g.Expect(observeTrimmed(sidecar).Result).NotTo(BeNil(), "a sidecar's end does not count")
}

// TestPullOfALargeImage: only an event shows that an image is being pulled.
func TestPullOfALargeImage(t *testing.T) {
	g := NewWithT(t)
	begun := -50 * time.Minute
	e := evidence(jobMade(begun), since(begun, endedAt(podcontract.ContainerFetch, 0, begun), waiting("unit", "PodInitializing")),
		Event{Object: "Pod/pod-1", Reason: "Pulled", Last: now.Add(begun)},
		Event{Object: "Pod/pod-1", Reason: "Pulling", Last: now.Add(begun + time.Second)})
	g.Expect(NeedsEvents(e)).To(BeTrue())
	got := observeTrimmed(e)
	g.Expect(got.Ended()).To(BeFalse())
	g.Expect(got.Recheck).NotTo(BeZero(), "the kubelet may not go on after the pull")
}

// TestGoesOn has what looks like a blocker but is none, however long it lasts.
func TestGoesOn(t *testing.T) {
	day := -24 * time.Hour
	refused := said("Job/build-1-1", "FailedCreate", "forbidden")
	suspended := jobMade(day)
	suspended.Spec.Suspend = ptr.To(true)
	resumed := jobMade(day)
	resumed.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobSuspended, Status: corev1.ConditionTrue}}
	leaving := jobMade(day)
	leaving.DeletionTimestamp = ptr.To(metav1.NewTime(now))
	about := func(kind batchv1.JobConditionType) *batchv1.Job {
		job := jobMade(day)
		job.Status.Conditions = []batchv1.JobCondition{{Type: kind, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonBackoffLimitExceeded}}
		return job
	}
	gated := conditioned(corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonSchedulingGated}, day)

	cases := map[string]Evidence{
		"a step runs":                           evidence(jobMade(day), since(day, endedAt(podcontract.ContainerFetch, 0, day), running("unit", day))),
		"a quiet step runs behind a sidecar":    evidence(jobMade(day), since(day, withSidecar(), running("db", day), running("unit", day), waiting(podcontract.ContainerReport, "PodInitializing"))),
		"a sidecar's startup probe decides":     evidence(jobMade(day), since(day, withSidecar(), notReady("db", day), waiting("unit", "PodInitializing"))),
		"all containers have ended":             evidence(jobMade(day), since(day, endedAt("unit", 0, day), endedAt(podcontract.ContainerReport, 0, day))),
		"a suspended Job":                       evidence(suspended, nil, refused),
		"a Job that was resumed a moment ago":   evidence(resumed, nil, refused),
		"a Job that is being deleted":           evidence(leaving, since(day, waiting("unit", "ImagePullBackOff"))),
		"a Job that is about to fail":           evidence(about(batchv1.JobFailureTarget), since(day, terminated("unit", 1, "Error", ""))),
		"a Job that is about to complete":       evidence(about(batchv1.JobSuccessCriteriaMet), nil),
		"a pod behind scheduling gates":         evidence(jobMade(day), since(day, gated)),
		"a pod behind gates, by its spec alone": evidence(jobMade(day), since(day, func(pod *corev1.Pod) { pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}} })),
		"a pod that is being drained":           evidence(jobMade(day), since(day, disruption(0, "EvictionByEvictionAPI", ""), waiting("unit", "ImagePullBackOff"))),
		"a sidecar crashes while steps run": evidence(jobMade(day), since(day, withSidecar(), endedAt(podcontract.ContainerFetch, 0, day),
			crashing(1, "Error", ""), running("unit", day))),
		"a sidecar can't be pulled again while steps run": evidence(jobMade(day), since(day, withSidecar(),
			waiting("db", "ImagePullBackOff"), endedAt("first", 0, day), running("unit", day))),
		"a drained pod was replaced": evidence(jobMade(day), []corev1.Pod{
			made(day, failedPhase, disruption(-time.Minute, "EvictionByEvictionAPI", ""), terminated("unit", 143, "Error", "")),
			made(-time.Minute, named("pod-2"), scheduledOn("node-b", 0), running("unit", 0)),
		}, refused),
	}
	for name, e := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(observeTrimmed(e).Ended()).To(BeFalse())
			g.Expect(observeTrimmed(e).Recheck).To(BeZero())
			g.Expect(NeedsEvents(e)).To(BeFalse())
		})
	}
}

// TestNoPodYet: there is no sign of an error, so the run is only checked again.
func TestNoPodYet(t *testing.T) {
	refused := func(age time.Duration) Event {
		return Event{Object: "Job/build-1-1", Reason: "FailedCreate", Message: "forbidden", First: now.Add(age), Last: now.Add(age), Count: 1}
	}
	cases := map[string]struct {
		age     time.Duration
		pods    []corev1.Pod
		events  []Event
		recheck time.Duration
		needs   bool
	}{
		"a new Job":            {0, nil, nil, 5 * time.Second, false},
		"a Job of a while":     {-45 * time.Second, nil, nil, 15 * time.Second, true},
		"without any event":    {-time.Hour, nil, nil, time.Minute, true},
		"events of other Jobs": {-time.Hour, nil, []Event{{Object: "Job/other", Reason: "FailedCreate", Last: now}}, time.Minute, true},
		"a refusal that passed, and the pod is gone": {
			-time.Hour, nil,
			[]Event{refused(-50 * time.Minute), {Object: "Job/build-1-1", Reason: "SuccessfulCreate", Last: now.Add(-49 * time.Minute)}},
			time.Minute, true,
		},
		"a refusal from before the pod that failed": {
			-time.Hour, []corev1.Pod{made(-40*time.Minute, failedPhase, endedAt("unit", 1, -20*time.Second))},
			[]Event{refused(-50 * time.Minute)}, 20 * time.Second, true,
		},
		"a quota, of which the events tell": {
			-5 * time.Minute, nil, []Event{{Object: "Job/build-1-1", Reason: "FailedCreate", Message: "exceeded quota", First: now.Add(-4 * time.Minute), Last: now, Count: 7}},
			2 * time.Minute, true,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			e := evidence(jobMade(c.age), c.pods, c.events...)
			g.Expect(observeTrimmed(e).Ended()).To(BeFalse())
			g.Expect(observeTrimmed(e).Recheck).To(Equal(c.recheck))
			g.Expect(NeedsEvents(e)).To(Equal(c.needs))
		})
	}
}

// TestBeganByEvents: events change when a blocker began, but only to a time after the pod's own,
// and not if they may have expired.
func TestBeganByEvents(t *testing.T) {
	image := func(e Event) Evidence {
		return evidence(jobWith(""), since(-time.Hour, waiting("unit", "ErrImagePull")), e)
	}
	at := now.Add
	cases := map[string]struct {
		e    Evidence
		ends bool
	}{
		"no event":                              {image(Event{}), true},
		"an event that was said first just now": {image(Event{Object: "Pod/pod-1", Reason: "Failed", First: at(-time.Second), Last: now, Count: 2}), false},
		"once said, without a first":            {image(Event{Object: "Pod/pod-1", Reason: "BackOff", Last: at(-time.Second), Count: 1}), false},
		"often said, without a first":           {image(Event{Object: "Pod/pod-1", Reason: "BackOff", Last: at(-time.Second), Count: 5}), true},
		"of another pod":                        {image(Event{Object: "Pod/pod-2", Reason: "Failed", First: at(-time.Second), Last: now}), true},
		"of another kind":                       {image(Event{Object: "Pod/pod-1", Reason: "Pulled", First: at(-time.Second), Last: now}), true},
		"from before the container's turn":      {image(Event{Object: "Pod/pod-1", Reason: "Failed", First: at(-2 * time.Hour), Last: at(-90 * time.Minute)}), true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(observeTrimmed(c.e).Ended()).To(Equal(c.ends))
		})
	}
	t.Run("a grace period that is longer than events live", func(t *testing.T) {
		g := NewWithT(t)
		e := evidence(jobWith(""), since(-2*time.Hour, unschedulable(-2*time.Hour)), said("Pod/pod-1", "FailedScheduling", "0/3"))
		e.GracePeriods.Schedule = 2 * time.Hour
		g.Expect(observeTrimmed(e).Ended()).To(BeTrue())
	})
}

// TestSoonestBlockerCounts: of two blockers, the one whose grace period ends first sets the recheck
// and ends the run.
func TestSoonestBlockerCounts(t *testing.T) {
	g := NewWithT(t)
	e := evidence(jobWith(""), since(-time.Minute, withSidecar(), waiting("db", "CreateContainerError"), waiting("unit", "ErrImagePull")))
	e.GracePeriods.Image = 90 * time.Second
	g.Expect(observeTrimmed(e).Ended()).To(BeFalse())
	g.Expect(observeTrimmed(e).Recheck).To(Equal(30 * time.Second))
	e.Now = now.Add(30 * time.Second)
	g.Expect(observeTrimmed(e).Failure.Message).To(ContainSubstring(`step "unit"`))
}

// since returns a pod that was created at now plus age.
func since(age time.Duration, changes ...podChange) []corev1.Pod {
	return []corev1.Pod{made(age, changes...)}
}

func jobMade(age time.Duration) *batchv1.Job {
	job := jobWith("")
	job.CreationTimestamp = metav1.NewTime(now.Add(age))
	job.Status.StartTime = ptr.To(job.CreationTimestamp)
	return job
}

// said returns an event that was reported several times, most recently now.
func said(object, reason, message string) Event {
	return Event{Object: object, Reason: reason, Message: message, Last: now, Count: 9}
}

// noPodFor returns a case in which the API server refuses the pod with message.
func noPodFor(grace time.Duration, kind v1alpha1.FailureType, message string, says ...string) blockedCase {
	return blockedCase{
		at: func(age time.Duration) Evidence {
			return evidence(jobMade(age), nil, said("Job/build-1-1", "FailedCreate", message))
		},
		grace: grace, kind: kind, says: says,
	}
}

// notReady adds a running sidecar whose startup probe has not succeeded.
func notReady(name string, age time.Duration) podChange {
	return func(pod *corev1.Pod) {
		running(name, age)(pod)
		pod.Status.InitContainerStatuses[len(pod.Status.InitContainerStatuses)-1].Started = ptr.To(false)
	}
}

// crashing makes the sidecar db crash.
func crashing(code int32, reason, printed string) podChange {
	return func(pod *corev1.Pod) {
		waiting("db", "CrashLoopBackOff")(pod)
		status := &pod.Status.InitContainerStatuses[len(pod.Status.InitContainerStatuses)-1]
		status.RestartCount = 4
		status.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: printed}
	}
}
