package diagnosis

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// TestWhoseLinesAMessageHas: each message with output of a template's container names it in
// Printed. Otherwise, spec.failureLog would not apply to it.
func TestWhoseLinesAMessageHas(t *testing.T) {
	backoff := jobFailed(batchv1.JobReasonBackoffLimitExceeded, "")
	const printed = "printed by a container"
	held := func(changes ...podChange) Evidence { return evidence(jobWith(""), since(-time.Hour, changes...)) }
	for name, c := range map[string]struct {
		evidence Evidence
		want     *StepLog
	}{
		"a step":                        {evidence(backoff, pods(terminated("unit", 3, "Error", printed))), &StepLog{Pod: "pod-1", Container: "unit"}},
		"a step that ran out of memory": {evidence(backoff, pods(terminated("unit", 137, "OOMKilled", printed))), &StepLog{Pod: "pod-1", Container: "unit"}},
		"a sidecar": {held(withSidecar(), endedAt(podcontract.ContainerFetch, 0, -time.Hour), crashing(1, "Error", printed), waiting("unit", "PodInitializing")),
			&StepLog{Pod: "pod-1", Container: "db", Previous: true}},
		"a step that ran out of time": {evidence(jobFailed(batchv1.JobReasonDeadlineExceeded, ""), pods(deleted(0), terminated("unit", 143, "Error", printed))),
			&StepLog{Pod: "pod-1", Container: "unit"}},
		"a wrapper container": {evidence(backoff, pods(terminated(podcontract.ContainerReport, 2, "Error", printed))), nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			failure := observeTrimmed(c.evidence).Failure
			g.Expect(failure).NotTo(BeNil())
			g.Expect(failure.Message).To(ContainSubstring("\n" + printed))
			g.Expect(failure.Printed).To(Equal(c.want))
		})
	}
}

// TestWhatAHookPrinted: the kubelet quotes a hook's output in the message of a waiting container.
func TestWhatAHookPrinted(t *testing.T) {
	for _, stays := range []bool{false, true} {
		g := NewWithT(t)
		const printed = `Exec lifecycle hook ([login]) failed - error: 1, message: "hunter2 is wrong"`
		for _, age := range []time.Duration{-time.Minute, -time.Hour} {
			e := evidence(jobWith(""), since(-2*time.Hour, withSidecar(), endedAt(podcontract.ContainerFetch, 0, age),
				waitingFor("db", "PostStartHookError", printed), waiting("unit", "PodInitializing")))
			e.LogsStay = stays
			outcome := observeTrimmed(e)
			text := ""
			if outcome.Failure != nil {
				text = outcome.Failure.Message
			} else {
				g.Expect(outcome.Waiting).NotTo(BeNil())
				text = outcome.Waiting.Message()
			}
			g.Expect(text).To(ContainSubstring("PostStartHookError"))
			g.Expect(strings.Contains(text, "hunter2")).To(Equal(!stays), text)
		}
	}
}
