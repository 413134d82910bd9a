package diagnosis

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// TestResultOfAPodThatFailedForAForeignContainer: the foreign container fails before the report
// container ends. The pod fails and, with a backoffLimit, the Job creates another one, which would
// do the work again.
func TestResultOfAPodThatFailedForAForeignContainer(t *testing.T) {
	done := &podcontract.RunResult{Result: podcontract.Result{Summary: "done"}}
	gave := reported(podcontract.Envelope{Result: done})
	for name, pods := range map[string][]corev1.Pod{
		"the Job is about to try again": pods(gave, foreign(failedState), failedPhase),
		"the Job tries again": {
			made(-time.Minute, gave, foreign(failedState), failedPhase),
			made(0, named("pod-2"), scheduledOn("node-a", 0), running("unit", 0), foreign(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}})),
		},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(observeTrimmed(evidence(jobWith(""), pods)).Result).To(Equal(done))
		})
	}
}

// TestConflictIsNoDenial: quota admission conflicts with another change of the quota.
func TestConflictIsNoDenial(t *testing.T) {
	err := apierrors.NewConflict(schema.GroupResource{Resource: "resourcequotas"}, "team", errors.New("the object has been modified; please apply your changes to the latest version and try again"))
	NewWithT(t).Expect(AnswerOf(err)).To(Equal(AnswerNone))
}

// TestPolicyIsNotUnfit: an object that a policy denies is not unfit.
func TestPolicyIsNotUnfit(t *testing.T) {
	g := NewWithT(t)
	g.Expect(IsUnfit(policySaid(422, metav1.StatusReasonInvalid))).To(BeFalse(), "422")
	g.Expect(IsUnfit(policySaid(413, metav1.StatusReasonRequestEntityTooLarge))).To(BeFalse(), "413")
}

// TestProgressInAnEnvelopeIsInRange: the same rules apply to progress in an envelope and in a log.
func TestProgressInAnEnvelopeIsInRange(t *testing.T) {
	_, err := podcontract.ParseEnvelope(`{"progress":{"percentComplete":1000}}`)
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("percentComplete that is not 0 to 100")))
}
