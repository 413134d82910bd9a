package integration

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/controllers/pipelinejob"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

const password = "hunter2-correct-horse"

// failWithPassword makes a step print the action's secret to its log and fail.
func (w *world) failWithPassword() {
	w.T.Helper()
	job := w.RunningJob(1)
	w.Logs.Write(job.Name+"-pod", "work", "+ login --password "+password+"\nlogin failed\n")
	w.FailStep(job, "")
}

// workWithPassword is work for an action with a secret.
func (w *world) workWithPassword() {
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.awaitRegistration()
	w.StartPipeline(map[string]string{"Target": "all", "Token": password})
}

func TestASecretThatAStepPrints(t *testing.T) {
	for _, kind := range []emulator.FaultKind{"", emulator.Throttle, emulator.ServerError, emulator.ResetAfter} {
		t.Run("asked for: "+string(kind), func(t *testing.T) {
			w := newWorld(t)
			w.workWithPassword()
			w.RunningJob(1)
			if kind != "" {
				w.Expect(w.AWS.Inject(emulator.Fault{Operation: "GetJobDetails", Kind: kind})).To(Succeed())
			}
			w.failWithPassword()
			w.Await(func(g Gomega) {
				state := w.WorkState(g)
				g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
				g.Expect(aws.ToString(state.ErrorDetails.Message)).To(MatchRegexp(`^step "work" failed: exit code 3\. .*\n\+ login --password \*\*\*\nlogin failed$`))
			})
		})
	}
}

// TestASecretInATerminationMessage: the template sets terminationMessagePolicy, so that the pod's
// status has log lines. They may begin within the secret, so the log is used instead.
func TestASecretInATerminationMessage(t *testing.T) {
	w := newWorld(t)
	w.workWithPassword()
	job := w.RunningJob(1)
	w.Logs.Write(job.Name+"-pod", "work", "login --password "+password+"\n")
	w.FailStep(job, password[2:])
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(HaveSuffix("\nlogin --password ***"))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).NotTo(ContainSubstring(password[2:]))
	})
}

func TestALogThatCantBeReadKeepsNoFailureBack(t *testing.T) {
	w := newWorld(t)
	w.workWithPassword()
	w.FailStep(w.RunningJob(1), "")
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(MatchRegexp(`(?s)^step "work" failed: exit code 3\..*\n\(The last log lines can't be read: no log of container work`))
	})
}

const leftOut = "exit code 3\\. [^\n]*\n\\(The last log lines are left out: they may contain secrets"

func TestASecretThatCodePipelineTellsNoMore(t *testing.T) {
	w := newWorld(t)
	w.workWithPassword()
	w.RunningJob(1)
	_, err := w.Pipelines.StopPipelineExecution(w.Ctx, &sdk.StopPipelineExecutionInput{
		PipelineName: aws.String("p"), PipelineExecutionId: &w.PipelineJob(w).Spec.Pipeline.ExecutionID, Abandon: true,
	})
	w.Expect(err).NotTo(HaveOccurred())
	w.failWithPassword()
	w.Await(func(g Gomega) {
		failure := w.PipelineJob(g).Status.FailureDetails
		g.Expect(failure).NotTo(BeNil())
		g.Expect(failure.Message).To(MatchRegexp(leftOut))
	})
}

func TestASecretThatCantBeAskedForForLong(t *testing.T) {
	w := newWorld(t)
	w.workWithPassword()
	w.RunningJob(1)
	w.Expect(w.AWS.Inject(emulator.Fault{Operation: "GetJobDetails", Kind: emulator.AccessDenied, Times: 1000})).To(Succeed())
	w.failWithPassword()
	w.Await(func(g Gomega) {
		complete := meta.FindStatusCondition(w.PipelineJob(g).Status.Conditions, v1alpha1.ConditionComplete)
		g.Expect(complete).NotTo(BeNil())
		g.Expect(complete.Reason).To(Equal(v1alpha1.ReasonRetrying))
		g.Expect(complete.Message).To(ContainSubstring("read the secret properties from CodePipeline"))
	})
	w.Clock.Step(pipelinejob.ReadGrace)
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(MatchRegexp(leftOut))
	})
}
