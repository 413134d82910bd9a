package customaction

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/poller"
)

// TestHealthIsWhatKstatusMakesOfIt checks the conditions with the library from which Flux, kpt
// and others derive health.
func TestHealthIsWhatKstatusMakesOfIt(t *testing.T) {
	now := time.Now()
	broken := errors.New("broken")
	polled := poller.Health{LastPoll: now}
	registration := func(f finding) examined { return examined{registration: f} }
	fine := registration(finding{reason: v1alpha1.ReasonRegistered})
	cases := map[string]struct {
		seen    observation
		suspend bool
		want    status.Status
	}{
		"registered and polled":         {observation{examined: fine, poll: polled}, false, status.CurrentStatus},
		"suspended":                     {observation{examined: fine}, true, status.CurrentStatus},
		"no free slot":                  {observation{examined: fine, poll: poller.Health{LastPoll: now, Full: true}}, false, status.CurrentStatus},
		"before the first poll":         {observation{examined: fine}, false, status.InProgressStatus},
		"a poll failed":                 {observation{examined: fine, poll: poller.Health{Err: broken, LastPoll: now, FailingSince: now}}, false, status.CurrentStatus},
		"polls have failed for an hour": {observation{examined: fine, poll: poller.Health{Err: broken, LastPoll: now, FailingSince: now.Add(-time.Hour)}}, false, status.InProgressStatus},
		"AWS can't be reached":          {observation{examined: registration(finding{err: broken, retry: true})}, false, status.InProgressStatus},
		"another definition":            {observation{examined: registration(finding{err: broken})}, false, status.FailedStatus},
		"a template that can't be used": {observation{examined: examined{template: finding{err: broken}}}, false, status.FailedStatus},
		"a template that is refused":    {observation{examined: examined{template: finding{err: broken, retry: true}}}, false, status.InProgressStatus},
		"an older object has the jobs":  {observation{taken: finding{err: broken}}, false, status.FailedStatus},
		"suspended, another definition": {observation{examined: registration(finding{err: broken})}, true, status.FailedStatus},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c.seen.now = now
			action := &v1alpha1.CustomAction{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "CustomAction"}}
			action.Generation, action.Status.ObservedGeneration = 1, 1
			action.Spec.Suspend = c.suspend
			setActionCondition(&action.Status, metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: "Before"})
			setActionConditions(&action.Status, action, c.seen)
			content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(action)
			g.Expect(err).NotTo(HaveOccurred())
			computed, err := status.Compute(&unstructured.Unstructured{Object: content})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(computed.Status).To(Equal(c.want), computed.Message)
		})
	}
}
