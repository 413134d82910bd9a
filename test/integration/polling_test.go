package integration

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/operator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// burst starts several executions of a pipeline that runs them in parallel.
func (w *world) burst(executions int) {
	_, err := w.Objects.PutObject(w.Ctx, &s3.PutObjectInput{Bucket: aws.String("source"), Key: aws.String("s.zip")})
	w.Expect(err).NotTo(HaveOccurred())
	_, err = w.Pipelines.CreatePipeline(w.Ctx, harness.ParallelPipeline())
	w.Expect(err).NotTo(HaveOccurred())
	for range executions {
		_, err := w.Pipelines.StartPipelineExecution(w.Ctx, &sdk.StartPipelineExecutionInput{Name: aws.String("p")})
		w.Expect(err).NotTo(HaveOccurred())
	}
}

// finishAll acts as the cluster until this number of Jobs has succeeded.
func (w *world) finishAll(jobs int) {
	w.T.Helper()
	finished := map[string]bool{}
	w.Eventually(func(g Gomega) {
		for _, job := range w.Jobs(g) {
			if !finished[job.Name] && !diagnosis.Finished(&job) {
				finished[job.Name] = true
				w.Succeed(&job, podcontract.Result{})
			}
		}
		g.Expect(finished).To(HaveLen(jobs))
	}).WithTimeout(4 * harness.Timeout).WithPolling(20 * time.Millisecond).Should(Succeed())
	w.Await(func(g Gomega) { g.Expect(w.Calls("PutJobSuccessResult")).To(Equal(jobs)) })
}

// inFlightByJournal evaluates the journal: it calls check for each poll, with the number of claimed
// jobs without a report, and the number of requested jobs.
func (w *world) inFlightByJournal(check func(claimed, asked int)) {
	claimed := 0
	for _, call := range w.AWS.Journal() {
		switch {
		case call.Error != "":
		case call.Operation == "AcknowledgeJob":
			claimed++
			check(claimed, 0)
		case call.Operation == "PutJobSuccessResult":
			claimed--
		case call.Operation == "PollForJobs":
			var request struct {
				MaxBatchSize int `json:"maxBatchSize"`
			}
			w.Expect(json.Unmarshal(call.Request, &request)).To(Succeed())
			check(claimed, request.MaxBatchSize)
		}
	}
}

func TestBurstKeepsToTheSlots(t *testing.T) {
	const jobs, slots = 100, 10
	w := newWorld(t, func(o *emulator.Options) { o.MaxConcurrentExecutions = jobs })
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) { a.Spec.Polling.MaxConcurrentJobs = slots }))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.burst(jobs)
	w.finishAll(jobs)
	most := 0
	w.inFlightByJournal(func(claimed, asked int) {
		most = max(most, claimed)
		w.Expect(claimed + asked).To(BeNumerically("<=", slots))
	})
	w.Expect(most).To(Equal(slots), "all slots were used")
	w.Expect(w.Calls("AcknowledgeJob")).To(Equal(jobs), "no job was polled in vain")
}

func TestLimitOfAllActions(t *testing.T) {
	const jobs, slots = 12, 3
	w := newWorld(t, func(o *emulator.Options) { o.MaxConcurrentExecutions = jobs })
	w.adjust = append(w.adjust, func(o *operator.Options) { o.MaxConcurrentJobs = slots })
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.Expect(w.Kube.Create(w.Ctx, w.Action(named("idle"), func(a *v1alpha1.CustomAction) { a.Spec.ActionType.Version = "2" }))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.burst(jobs)
	w.readyReason("work", v1alpha1.ReasonReady)
	var running batchv1.JobList
	w.Await(func(g Gomega) {
		g.Expect(w.Kube.List(w.Ctx, &running, client.InNamespace(w.Namespace))).To(Succeed())
		g.Expect(running.Items).To(HaveLen(slots))
	})
	w.finishAll(jobs)
	w.inFlightByJournal(func(claimed, _ int) { w.Expect(claimed).To(BeNumerically("<=", slots)) })
}
