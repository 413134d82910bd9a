package poller

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// TestJobThatCanNeverBeRecordedIsDropped has the API server refuse a job, which is handed out
// once, for longer than CodePipeline waits for an action.
func TestJobThatCanNeverBeRecordedIsDropped(t *testing.T) {
	s := newStation(t, func(o *emulator.Options) { o.RedispatchAfter = emulator.RedispatchNever })
	s.onCreate(func(_ context.Context, job *v1alpha1.PipelineJob) error {
		return apierrors.NewInvalid(schema.GroupKind{Kind: "PipelineJob"}, job.Name, nil)
	})
	s.queue(1)
	s.target.Interval = time.Minute
	s.poller.Ensure(s.target)
	s.Eventually(func() error { s.clock.Step(time.Second); return s.poller.Health(action).Err }).WithTimeout(deadline).Should(HaveOccurred())
	s.atRest()
	s.clock.Step(s.poller.KeepFor + time.Minute)
	s.Eventually(func() error { s.clock.Step(time.Second); return s.poller.Health(action).Err }).WithTimeout(deadline).ShouldNot(HaveOccurred())
}
