package pipelinejob

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestLargeVariablesAreReportedFromACacheWithoutThem has a run give back output
// variables that the cache leaves out.
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
	told := p.aws.Journal("PutJobSuccessResult")
	p.Expect(told).To(HaveLen(1))
	var request struct{ OutputVariables map[string]string }
	p.Expect(json.Unmarshal(told[0].Request, &request)).To(Succeed())
	p.Expect(request.OutputVariables).To(HaveKeyWithValue("A", value))
	p.Expect(p.pipelineJob().Status.OutputVariables).To(HaveKeyWithValue("A", value), "nothing was taken away")
	p.Expect(p.pipelineJob().Annotations).NotTo(HaveKey(annotationLeftOut), "it is for the cache alone")
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
			g.Expect(job.Status.HasResult()).To(BeTrue(), "how it ended stays known")
			g.Expect(job.Annotations).To(And(HaveKey(v1alpha1.AnnotationAbandoned), Not(HaveKey("team/notes"))))
		})
	}
}
