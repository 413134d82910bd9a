package integration

import (
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// TestLargeVariables: the configuration of an action has an output variable of an earlier action.
// The action runs, or fails with a message that names the property. Another action that was queued
// after it always runs.
func TestLargeVariables(t *testing.T) {
	for name, c := range map[string]struct {
		length, times int
		message       string // empty if it runs
	}{
		"longer than any documented value": {3_000, 1, ""},
		"as long as a variable can be":     {100_000, 1, ""},
		"too long for a program":           {75_000, 2, "configuration.Target: must be at most 131071 bytes long as an environment variable"},
		"too long for an object":           {100_000, 12, "configuration.Target is the largest, with 1200002 bytes"},
		"too long for a request":           {120_000, 30, "configuration.Target is the largest, with 3600002 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
			w.operate()
			w.awaitRegistration()
			first := pipeline.NewAction("work", harness.WorkType()).Namespace("first")
			later := pipeline.NewAction("later", harness.WorkType()).Configure("Target", strings.Repeat("#{first.LONG}", c.times)).RunOrder(2)
			w.Start(harness.PipelineWith("p", first, later))
			w.Succeed(w.RunningJob(1), podcontract.Result{OutputVariables: map[string]string{"LONG": strings.Repeat("x", c.length)}})
			jobOf := func(g Gomega, action string) *v1alpha1.PipelineJob {
				var jobs v1alpha1.PipelineJobList
				g.Expect(w.Kube.List(w.Ctx, &jobs, client.InNamespace(w.Namespace))).To(Succeed())
				for i := range jobs.Items {
					if jobs.Items[i].Spec.Pipeline.Action == action {
						return &jobs.Items[i]
					}
				}
				g.Expect(jobs.Items).To(ContainElement(HaveField("Spec.Pipeline.Action", action)))
				return nil
			}
			w.Await(func(g Gomega) {
				job := jobOf(g, "later")
				if c.message == "" {
					g.Expect(job.Status.Phase).To(Equal(v1alpha1.PhaseRunning))
					g.Expect(job.Spec.Configuration["Target"]).To(HaveLen(c.length * c.times))
					return
				}
				g.Expect(job.Status.Phase).To(Equal(v1alpha1.PhaseFailed))
				g.Expect(job.Status.FailureDetails.Type).To(Equal(v1alpha1.FailureConfigurationError))
				g.Expect(job.Status.FailureDetails.Message).To(ContainSubstring(c.message))
				g.Expect(job.Status.FailureDetails.Message).To(ContainSubstring("as artifacts"))
			})
			if c.message != "" {
				w.Await(func(g Gomega) {
					state, err := w.Pipelines.GetPipelineState(w.Ctx, &sdk.GetPipelineStateInput{Name: ptr.To("p")})
					g.Expect(err).NotTo(HaveOccurred())
					g.Expect(state.StageStates[1].ActionStates[1].LatestExecution.Status).To(Equal(types.ActionExecutionStatusFailed))
				})
			}
			_, err := w.Pipelines.CreatePipeline(w.Ctx, harness.PipelineWith("q", pipeline.NewAction("another", harness.WorkType())).CreateInput())
			w.Expect(err).NotTo(HaveOccurred())
			_, err = w.Pipelines.StartPipelineExecution(w.Ctx, &sdk.StartPipelineExecutionInput{Name: ptr.To("q")})
			w.Expect(err).NotTo(HaveOccurred())
			w.Await(func(g Gomega) {
				g.Expect(jobOf(g, "another").Status.Phase).To(Equal(v1alpha1.PhaseRunning))
			})
		})
	}
}
