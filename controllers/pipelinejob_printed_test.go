package controllers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

func TestMasked(t *testing.T) {
	const key = "-----BEGIN KEY-----\nMIIEowIB\n{}\n-----END KEY-----\n"
	for name, c := range map[string]struct {
		text    string
		secrets []string
		want    string
	}{
		"none":                      {"curl -u me:pass", nil, "curl -u me:pass"},
		"an empty one":              {"text", []string{"", "\n"}, "text"},
		"each place":                {"+ login hunter2\nhunter2 is wrong", []string{"hunter2"}, "+ login ***\n*** is wrong"},
		"of several":                {"a=one b=two", []string{"one", "two"}, "a=*** b=***"},
		"one in another":            {"pass password", []string{"pass", "password"}, "*** ***"},
		"the same twice":            {"hunter2", []string{"hunter2", "hunter2"}, "***"},
		"without its line break":    {"login hunter2 failed", []string{"hunter2\n"}, "login *** failed"},
		"of several lines":          {"cat key\n" + key + "done", []string{key}, "cat key\n***done"},
		"of which some are shown":   {"…\nMIIEowIB\n{}\n-----END KEY-----\nexit", []string{key}, "…\n***\n{}\n***\nexit"},
		"lines that end like DOS's": {"line two\nend", []string{"line one\r\nline two\r\n"}, "***\nend"},
		"a short one":               {"x=7", []string{"7"}, "x=***"},
		"of other characters":       {"pässwörd!", []string{"pässwörd"}, "***!"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(masked(c.text, c.secrets)).To(Equal(c.want))
		})
	}
}

func TestTheTailOfALog(t *testing.T) {
	g := NewWithT(t)
	var short, long, line tail
	fmt.Fprint(&short, "one\n", "two\n")
	g.Expect(short.text()).To(Equal("one\ntwo\n"))
	for i := range 10_000 {
		fmt.Fprintf(&long, "line %d\n", i)
	}
	g.Expect(long.text()).To(And(HaveSuffix("line 9998\nline 9999\n"), HavePrefix("line ")))
	g.Expect(len(long.text())).To(BeNumerically("<=", printedBytes))
	fmt.Fprint(&line, strings.Repeat("secret", printedBytes))
	g.Expect(line.text()).To(BeEmpty(), "it has no whole line")
}

const password = "hunter2-correct-horse"

// failWithPassword has a step print the action's secret and fail, as the pod's
// log tells.
func (w *world) failWithPassword() {
	w.t.Helper()
	job := w.runningJob(1)
	w.logs.write(job.Name+"-pod", "work", "+ login --password "+password+"\nlogin failed\n")
	w.failStep(job, "")
}

// workWithPassword is work whose action has a secret.
func (w *world) workWithPassword() {
	w.operate()
	w.Expect(w.kube.Create(w.ctx, w.action())).To(Succeed())
	w.awaitRegistration()
	w.startPipeline(map[string]string{"Target": "all", "Token": password})
}

func TestASecretThatAStepPrints(t *testing.T) {
	for _, kind := range []emulator.FaultKind{"", emulator.Throttle, emulator.ServerError, emulator.ResetAfter} {
		t.Run("asked for: "+string(kind), func(t *testing.T) {
			w := newWorld(t)
			w.workWithPassword()
			w.runningJob(1)
			if kind != "" {
				w.Expect(w.aws.Inject(emulator.Fault{Operation: "GetJobDetails", Kind: kind})).To(Succeed())
			}
			w.failWithPassword()
			w.eventually(func(g Gomega) {
				state := w.workState(g)
				g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
				g.Expect(aws.ToString(state.ErrorDetails.Message)).To(MatchRegexp(`^step "work" failed: exit code 3\. .*\n\+ login --password \*\*\*\nlogin failed$`))
			})
		})
	}
}

// TestASecretInATerminationMessage has a template that keeps the pod's status
// telling, by a terminationMessagePolicy of its own.
func TestASecretInATerminationMessage(t *testing.T) {
	w := newWorld(t)
	w.workWithPassword()
	w.failStep(w.runningJob(1), "login --password "+password)
	w.eventually(func(g Gomega) {
		state := w.workState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(HaveSuffix("\nlogin --password ***"))
	})
}

func TestALogThatCantBeReadKeepsNoFailureBack(t *testing.T) {
	w := newWorld(t)
	w.workWithPassword()
	w.failStep(w.runningJob(1), "")
	w.eventually(func(g Gomega) {
		state := w.workState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(MatchRegexp(`(?s)^step "work" failed: exit code 3\..*\n\(What it printed can't be read: no log of container work`))
	})
}

const leftOut = "exit code 3\\. [^\n]*\n\\(What the step printed is left out: it may hold secrets"

func TestASecretThatCodePipelineTellsNoMore(t *testing.T) {
	w := newWorld(t)
	w.workWithPassword()
	w.runningJob(1)
	_, err := w.pipelines.StopPipelineExecution(w.ctx, &sdk.StopPipelineExecutionInput{
		PipelineName: aws.String("p"), PipelineExecutionId: &w.pipelineJob(w).Spec.Pipeline.ExecutionID, Abandon: true,
	})
	w.Expect(err).NotTo(HaveOccurred())
	w.failWithPassword()
	w.eventually(func(g Gomega) {
		failure := w.pipelineJob(g).Status.FailureDetails
		g.Expect(failure).NotTo(BeNil())
		g.Expect(failure.Message).To(MatchRegexp(leftOut))
	})
}

func TestASecretThatCantBeAskedForForLong(t *testing.T) {
	w := newWorld(t)
	w.workWithPassword()
	w.runningJob(1)
	w.Expect(w.aws.Inject(emulator.Fault{Operation: "GetJobDetails", Kind: emulator.AccessDenied, Times: 1000})).To(Succeed())
	w.failWithPassword()
	w.eventually(func(g Gomega) {
		complete := meta.FindStatusCondition(w.pipelineJob(g).Status.Conditions, v1alpha1.ConditionComplete)
		g.Expect(complete).NotTo(BeNil())
		g.Expect(complete.Reason).To(Equal(v1alpha1.ReasonRetrying))
		g.Expect(complete.Message).To(ContainSubstring("ask CodePipeline for the secrets"))
	})
	w.clock.step(logPatience)
	w.eventually(func(g Gomega) {
		state := w.workState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(MatchRegexp(leftOut))
	})
}
