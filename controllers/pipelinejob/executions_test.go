package pipelinejob

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

// areRunning starts executions of the pipeline and records their jobs as claimed two intervals
// ago.
func (p *play) areRunning(executions int) {
	for range executions {
		p.start(nil)
	}
	for id, action := range p.actions() {
		job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "work-" + id, UID: types.UID(id)}}
		job.Spec.ActionRef.Name, job.Spec.AccountRef.Name, job.Spec.Region = "work", "team", "us-east-1"
		job.Spec.Pipeline = v1alpha1.PipelineContext{Name: "p", ExecutionID: *action.PipelineExecutionId, ActionExecutionID: id}
		p.Expect(p.kube.Create(p.ctx, job)).To(Succeed())
		job.Status.AcknowledgedAt = ptr.To(metav1.NewTime(p.clock.Now().Add(-2 * time.Minute)))
		p.Expect(p.kube.Status().Update(p.ctx, job)).To(Succeed())
	}
}

// over returns the pipeline executions that are known to be over.
func (p *play) over() (over []string) {
	for _, job := range p.pipelineJobs() {
		if why := p.operator.Executions.closed(&job); why != "" {
			over = append(over, job.Spec.Pipeline.ExecutionID)
		}
	}
	return over
}

// TestLookingForStoppedExecutionsCostsFewCalls has far more executions than a round looks up
// by ID. The oldest one, which is on no first page, is stopped.
func TestLookingForStoppedExecutionsCostsFewCalls(t *testing.T) {
	const executions = latestOnPage + byIDs + 40
	p := newPlay(t, func(o *emulator.Options) { o.MaxConcurrentExecutions = executions })
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.areRunning(executions)
	oldest := p.executions[0]
	p.Expect(p.pipelines.StopPipelineExecution(p.ctx, &sdk.StopPipelineExecutionInput{
		PipelineName: aws.String("p"), PipelineExecutionId: &oldest, Abandon: true,
	})).Error().NotTo(HaveOccurred())
	for round := range 2 {
		before := len(p.aws.Journal("ListActionExecutions"))
		p.look()
		p.clock.Step(time.Minute)
		p.Expect(len(p.aws.Journal("ListActionExecutions"))-before).To(BeNumerically("<=", 1+byIDs), fmt.Sprint("round ", round))
	}
	p.Expect(p.over()).To(ConsistOf(oldest), "one of the two rounds looked it up")
}

// latestOnPage is how many actions are on the first page. Each execution here has two.
const latestOnPage = 50

func TestSkippedExecutions(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.PipelineJob, time.Time){
		"claimed just now": func(job *v1alpha1.PipelineJob, now time.Time) {
			job.Status.AcknowledgedAt = ptr.To(metav1.NewTime(now))
		},
		"not claimed": func(job *v1alpha1.PipelineJob, _ time.Time) { job.Status.AcknowledgedAt = nil },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t)
			defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
			p.areRunning(1)
			before := len(p.aws.Journal("ListActionExecutions"))
			job := p.pipelineJob()
			change(job, p.clock.Now())
			p.Expect(p.kube.Status().Update(p.ctx, job)).To(Succeed())
			p.look()
			p.Expect(p.aws.Journal("ListActionExecutions")).To(HaveLen(before))
		})
	}
}

// TestMissingPermissionIsNotTriedEachRound has ListActionExecutions denied.
func TestMissingPermissionIsNotTriedEachRound(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.areRunning(1)
	p.Expect(p.aws.Inject(emulator.Fault{Operation: "ListActionExecutions", Kind: emulator.AccessDenied, Probability: 1})).To(Succeed())
	round := func() {
		p.Expect(p.operator.Executions.round(p.ctx)).To(Succeed())
		p.operator.Executions.rounds.Wait()
	}
	before := len(p.aws.Journal("ListActionExecutions"))
	for range 5 {
		round()
		p.clock.Step(time.Minute)
	}
	p.Expect(p.aws.Journal("ListActionExecutions")).To(HaveLen(before + 1))
	p.aws.ClearFaults()
	p.clock.Step(deniedFor)
	round()
	p.Expect(p.aws.Journal("ListActionExecutions")).To(HaveLen(before + 2))
}

// TestIdentitiesDoNotWaitForEachOther has the round of one identity last longer than the
// interval.
func TestIdentitiesDoNotWaitForEachOther(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.areRunning(2)
	slow := p.pipelineJobs()[0]
	slow.Spec.Region = "xx-hole-1"
	p.Expect(p.kube.Update(p.ctx, &slow)).To(Succeed())
	p.Expect(p.aws.Inject(emulator.Fault{Operation: emulator.AnyOperation, Region: "xx-hole-1", Kind: emulator.BlackHole, Probability: 1})).To(Succeed())
	asked := func() (here, hole int) {
		for _, call := range p.aws.Journal("ListActionExecutions") {
			if call.Region == "xx-hole-1" {
				hole++
			} else {
				here++
			}
		}
		return here, hole
	}
	before, _ := asked()
	for range 3 {
		p.Expect(p.operator.Executions.round(p.ctx)).To(Succeed())
		p.clock.Step(2 * time.Minute)
	}
	p.Eventually(func(g Gomega) {
		here, hole := asked()
		g.Expect(here).To(BeNumerically(">", before))
		g.Expect(hole).To(Equal(1), "its first round has not ended")
	}).WithTimeout(time.Minute).Should(Succeed())
}

// TestMissingPermissionIsOfOneNamespace has a call denied for a job of one namespace. The jobs
// of another namespace with the same identity must still be looked up.
func TestMissingPermissionIsOfOneNamespace(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.areRunning(1)
	neighbour := p.pipelineJob()
	neighbour.ObjectMeta = metav1.ObjectMeta{Namespace: "neighbour", Name: neighbour.Name, UID: "neighbour"}
	status := neighbour.Status
	p.Expect(p.kube.Create(p.ctx, neighbour)).To(Succeed())
	neighbour.Status = status
	p.Expect(p.kube.Status().Update(p.ctx, neighbour)).To(Succeed())
	p.Expect(p.aws.Inject(emulator.Fault{Operation: "ListActionExecutions", Kind: emulator.AccessDenied, Times: 1})).To(Succeed())
	asked := func() int {
		before := len(p.aws.Journal("ListActionExecutions"))
		p.Expect(p.operator.Executions.round(p.ctx)).To(Succeed())
		p.operator.Executions.rounds.Wait()
		p.clock.Step(time.Minute)
		return len(p.aws.Journal("ListActionExecutions")) - before
	}
	p.Expect(asked()).To(Equal(2), "one of them is denied")
	p.Expect(asked()).To(Equal(1), "only the other one is looked up again")
	p.clock.Step(deniedFor)
	p.Expect(asked()).To(Equal(2))
}
