package customaction

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

func TestRegionThatDoesNotExist(t *testing.T) {
	g := NewWithT(t)
	action := &v1alpha1.CustomAction{}
	action.Spec.Region = "eu-centrl-1"
	failed := registrationFailed(action, fmt.Errorf("list custom action types: %w",
		&net.DNSError{Err: "no such host", Name: "codepipeline.eu-centrl-1.amazonaws.com", IsNotFound: true}))
	g.Expect(failed.reason).To(Equal(v1alpha1.ReasonRegionNotFound))
	g.Expect(failed.message).To(HavePrefix(`the region is "eu-centrl-1", and host codepipeline.eu-centrl-1.amazonaws.com does not exist`))
	g.Expect(failed.retry).To(BeTrue())
}

func TestPollsThatFailForAWhile(t *testing.T) {
	g := NewWithT(t)
	now := time.Now()
	seen := observation{now: now}
	seen.poll.LastPoll, seen.poll.FailingSince = now.Add(-2*pollGrace), now.Add(-pollGrace+time.Second)
	seen.poll.Err = errors.New("connection reset")
	g.Expect(pollingCondition(&v1alpha1.CustomAction{}, seen)).To(HaveField("Status", metav1.ConditionTrue))
	seen.now = now.Add(time.Second)
	g.Expect(pollingCondition(&v1alpha1.CustomAction{}, seen)).To(And(HaveField("Status", metav1.ConditionFalse), HaveField("Reason", v1alpha1.ReasonAWSUnavailable)))
}
