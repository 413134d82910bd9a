package controllers

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
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/result"
)

// burst starts so many executions of a pipeline that runs them in parallel.
func (w *world) burst(executions int) {
	_, err := w.objects.PutObject(w.ctx, &s3.PutObjectInput{Bucket: aws.String("source"), Key: aws.String("s.zip")})
	w.Expect(err).NotTo(HaveOccurred())
	_, err = w.pipelines.CreatePipeline(w.ctx, playedPipeline())
	w.Expect(err).NotTo(HaveOccurred())
	for range executions {
		_, err := w.pipelines.StartPipelineExecution(w.ctx, &sdk.StartPipelineExecutionInput{Name: aws.String("p")})
		w.Expect(err).NotTo(HaveOccurred())
	}
}

// finishAll plays the cluster until so many Jobs have succeeded.
func (w *world) finishAll(jobs int) {
	w.t.Helper()
	finished := map[string]bool{}
	w.Eventually(func(g Gomega) {
		for _, job := range w.jobs(g) {
			if !finished[job.Name] && !diagnosis.Finished(&job) {
				finished[job.Name] = true
				w.succeed(&job, result.Result{})
			}
		}
		g.Expect(finished).To(HaveLen(jobs))
	}).WithTimeout(4 * patience).WithPolling(20 * time.Millisecond).Should(Succeed())
	w.eventually(func(g Gomega) { g.Expect(w.calls("PutJobSuccessResult")).To(Equal(jobs)) })
}

// inFlightByJournal follows the journal: at each poll, how many claimed jobs were
// not reported, and how many more were asked for.
func (w *world) inFlightByJournal(check func(claimed, asked int)) {
	claimed := 0
	for _, call := range w.aws.Journal() {
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
	w := newWorld(t, func(o *emulatorOptions) { o.MaxConcurrentExecutions = jobs })
	w.operate()
	w.Expect(w.kube.Create(w.ctx, w.action(func(a *v1alpha1.CustomAction) { a.Spec.Polling.MaxConcurrentJobs = slots }))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.burst(jobs)
	w.finishAll(jobs)
	most := 0
	w.inFlightByJournal(func(claimed, asked int) {
		most = max(most, claimed)
		w.Expect(claimed + asked).To(BeNumerically("<=", slots))
	})
	w.Expect(most).To(Equal(slots), "all slots were used")
	w.Expect(w.calls("AcknowledgeJob")).To(Equal(jobs), "no job was polled in vain")
}

func TestLimitOfAllActions(t *testing.T) {
	const jobs, slots = 12, 3
	w := newWorld(t, func(o *emulatorOptions) { o.MaxConcurrentExecutions = jobs })
	w.adjust = append(w.adjust, func(o *Options) { o.MaxConcurrentJobs = slots })
	w.operate()
	w.Expect(w.kube.Create(w.ctx, w.action())).To(Succeed())
	w.Expect(w.kube.Create(w.ctx, w.action(named("idle"), func(a *v1alpha1.CustomAction) { a.Spec.ActionType.Version = "2" }))).To(Succeed())
	w.ready(metav1.ConditionTrue, v1alpha1.ReasonReady)
	w.burst(jobs)
	w.readyReason("work", v1alpha1.ReasonReady)
	var running batchv1.JobList
	w.eventually(func(g Gomega) {
		g.Expect(w.kube.List(w.ctx, &running, client.InNamespace(w.namespace))).To(Succeed())
		g.Expect(running.Items).To(HaveLen(slots))
	})
	w.finishAll(jobs)
	w.inFlightByJournal(func(claimed, _ int) { w.Expect(claimed).To(BeNumerically("<=", slots)) })
}
