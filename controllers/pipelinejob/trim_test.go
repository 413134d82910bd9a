package pipelinejob

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// TestLargeVariablesAreReportedFromACacheWithoutThem has a run return output variables that
// the cache leaves out.
func TestLargeVariablesAreReportedFromACacheWithoutThem(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	p.until(func(job *v1alpha1.PipelineJob) bool { return job.Status.Phase == v1alpha1.PhaseRunning })
	value := strings.Repeat("v", keptVariables)
	p.end(&p.running()[0], fmt.Sprintf(`{"result":{"summary":"done","outputVariables":{"A":%q}}}`, value))
	p.until(func(job *v1alpha1.PipelineJob) bool { return job.Status.Phase == v1alpha1.PhaseReporting })

	var shown v1alpha1.PipelineJob
	p.Expect(p.operator.Get(p.ctx, client.ObjectKeyFromObject(p.pipelineJob()), &shown)).To(Succeed())
	p.Expect(shown.Status.OutputVariables).To(BeEmpty())

	p.until(func(job *v1alpha1.PipelineJob) bool { return job.Settled() })
	reports := p.aws.Journal("PutJobSuccessResult")
	p.Expect(reports).To(HaveLen(1))
	var request struct{ OutputVariables map[string]string }
	p.Expect(json.Unmarshal(reports[0].Request, &request)).To(Succeed())
	p.Expect(request.OutputVariables).To(HaveKeyWithValue("A", value))
	p.Expect(p.pipelineJob().Status.OutputVariables).To(HaveKeyWithValue("A", value), "the object still has them")
	p.Expect(p.pipelineJob().Annotations).NotTo(HaveKey(annotationLeftOut), "it is only for the cache")
}

func TestTrimLeavesSettledJobsSmall(t *testing.T) {
	bulk := strings.Repeat("x", 10_000)
	for name, c := range map[string]struct {
		change func(*v1alpha1.PipelineJob)
		small  bool
	}{
		"settled":                     {func(*v1alpha1.PipelineJob) {}, true},
		"with a Secret to be deleted": {func(job *v1alpha1.PipelineJob) { job.Status.Protocol.Secret = &v1alpha1.SecretState{} }, false},
		"being deleted":               {func(job *v1alpha1.PipelineJob) { job.DeletionTimestamp = &metav1.Time{Time: time.Now()} }, false},
		"handed out again":            {func(job *v1alpha1.PipelineJob) { job.Spec.CodePipelineJob.Nonce = "2" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			job := version1()
			job.Annotations = map[string]string{"team/notes": bulk, v1alpha1.AnnotationAbandoned: "true"}
			job.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: bulk}}
			job.Settle(metav1.Now())
			job.Spec.Configuration = map[string]string{"a": bulk}
			job.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionFailed, Status: metav1.ConditionTrue, Message: bulk}}
			job.Status.FailureDetails = &v1alpha1.FailureDetails{Message: bulk}
			job.Status.OutputVariables = map[string]string{"a": bulk}
			job.Status.PreviousRuns = []v1alpha1.Run{{ContinuationToken: bulk}}
			c.change(job)
			Trim(job)
			content, err := json.Marshal(job)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(strings.Contains(string(content), bulk)).NotTo(Equal(c.small))
			g.Expect(job.Status.HasResult()).To(BeTrue(), "how it ended is kept")
			g.Expect(job.Annotations).To(And(HaveKey(v1alpha1.AnnotationAbandoned), Not(HaveKey("team/notes"))))
		})
	}
}

// TestLargeConfigurationIsInTheJob has a value that the cache leaves out but the Job needs.
func TestLargeConfigurationIsInTheJob(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	value := strings.Repeat("v", keptConfiguration)
	p.changeAction(func(action *v1alpha1.CustomAction) {
		action.Spec.ActionType.ConfigurationProperties = []v1alpha1.ConfigurationProperty{{Name: "Large"}}
	})
	p.start(nil)
	p.poll(nil)
	job := p.pipelineJob()
	job.Spec.Configuration = map[string]string{"Large": value}
	p.Expect(p.kube.Update(p.ctx, job)).To(Succeed())
	var shown v1alpha1.PipelineJob
	p.Expect(p.operator.Get(p.ctx, client.ObjectKeyFromObject(job), &shown)).To(Succeed())
	p.Expect(shown.Spec.Configuration).To(BeEmpty())

	p.until(func(job *v1alpha1.PipelineJob) bool { return job.Status.Phase == v1alpha1.PhaseRunning })
	p.Expect(p.running()[0].Spec.Template.Spec.InitContainers).To(ContainElement(HaveField("Env", ContainElement(
		And(HaveField("Name", podcontract.EnvConfig("Large")), HaveField("Value", value))))))
	p.Expect(p.pipelineJob().Spec.Configuration).To(HaveKeyWithValue("Large", value), "the object still has it")
}

// TestJobOfAnActionThatIsTooLarge has a job polled before its action became too large. No Job
// can be built for it.
func TestJobOfAnActionThatIsTooLarge(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	p.start(nil)
	p.poll(nil)
	p.changeAction(func(action *v1alpha1.CustomAction) {
		action.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args = []string{strings.Repeat("x", limits.ActionSpec)}
	})
	p.until(func(job *v1alpha1.PipelineJob) bool { return job.Settled() })
	failure := p.pipelineJob().Status.FailureDetails
	p.Expect(failure.Type).To(Equal(v1alpha1.FailureConfigurationError))
	p.Expect(failure.Message).To(MatchRegexp(`^CustomAction work: spec has [\d,]+ bytes of JSON, and may have 65,536 at most`))
	p.Expect(p.running()).To(BeEmpty())
	p.Expect(p.aws.Journal("PutJobFailureResult")).To(HaveLen(1))
}

// TestPipelineJobThatIsTooLarge has a PipelineJob created by hand. The operator must do
// nothing but delete it when its time to live is over.
func TestPipelineJobThatIsTooLarge(t *testing.T) {
	p := newPlay(t)
	defer func() { p.Expect(p.aws.Close()).To(Succeed()) }()
	forged := version1()
	forged.Namespace, forged.ResourceVersion = "team", ""
	forged.CreationTimestamp = metav1.NewTime(p.clock.Now())
	forged.Spec.ActionRef.Name = "work"
	forged.Spec.Pipeline.Name = strings.Repeat("x", 1<<20)
	p.Expect(p.kube.Create(p.ctx, forged)).To(Succeed())
	for range 5 {
		p.step(forged.Name)
	}
	p.Expect(p.aws.Journal("AcknowledgeJob", "PutJobSuccessResult", "PutJobFailureResult", "GetJobDetails")).To(BeEmpty())
	p.Expect(p.running()).To(BeEmpty())
	p.Expect(p.pipelineJob().Spec.Pipeline.Name).To(HaveLen(1<<20), "the object is unchanged")
	p.clock.Step(longestTTL + time.Hour)
	for range 5 {
		p.step(forged.Name)
	}
	p.Expect(p.pipelineJobs()).To(BeEmpty())
}

func (p *play) changeAction(change func(*v1alpha1.CustomAction)) {
	action := &v1alpha1.CustomAction{}
	p.Expect(p.kube.Get(p.ctx, client.ObjectKey{Namespace: "team", Name: "work"}, action)).To(Succeed())
	change(action)
	p.Expect(p.kube.Update(p.ctx, action)).To(Succeed())
}

// TestLongTTLOfOldObjects has a CustomAction with a longer time than is allowed today.
func TestLongTTLOfOldObjects(t *testing.T) {
	for seconds, want := range map[int32]time.Duration{60: time.Minute, math.MaxInt32: longestTTL} {
		g := NewWithT(t)
		s, action := state{}, &v1alpha1.CustomAction{}
		action.Spec.TTLSecondsAfterFinished = &seconds
		s.follow(action)
		g.Expect(s.ttl).To(HaveValue(Equal(want)))
	}
}
