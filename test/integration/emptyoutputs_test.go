package integration

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// workWithOutput returns a world that runs an action with an output artifact "Package", and the Job
// of the first run. Nothing is uploaded, because there are no containers.
func workWithOutput(t *testing.T, changes ...func(*v1alpha1.CustomAction)) (*world, *batchv1.Job) {
	w := newWorld(t, func(o *emulator.Options) { o.AllowMissingOutputs = true })
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action(changes...))).To(Succeed())
	w.awaitRegistration()
	w.Start(harness.PipelineWith("p", pipeline.NewAction("work", harness.WorkType()).Outputs("Package")))
	return w, w.RunningJob(1)
}

// eventsFor returns the events with a reason in the namespace.
func (w *world) eventsFor(g Gomega, reason string) []eventsv1.Event {
	var events eventsv1.EventList
	g.Expect(w.Kube.List(w.Ctx, &events, client.InNamespace(w.Namespace))).To(Succeed())
	return slices.DeleteFunc(events.Items, func(event eventsv1.Event) bool { return event.Reason != reason })
}

// TestEmptyOutputIsTold: the report container finds an empty output. CodePipeline shows it below
// the summary, and the PipelineJob has an event.
func TestEmptyOutputIsTold(t *testing.T) {
	const warning = "\nWarning: output artifact \"Package\" is empty"
	for name, c := range map[string]struct {
		given   podcontract.Result
		summary string // a pattern
	}{
		"below a step's summary":                   {podcontract.Result{Summary: "12 tests passed"}, "^12 tests passed" + warning + "$"},
		"below the default summary":                {podcontract.Result{}, "^Job work-.* took .*" + warning + "$"},
		"beside a summary that takes all the room": {podcontract.Result{Summary: strings.Repeat("x", 2048)}, "^" + strings.Repeat("x", 2048) + "$"},
		"with a result from the log":               {podcontract.Result{OutputVariables: map[string]string{"K": strings.Repeat("v", 500)}}, warning + "$"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, job := workWithOutput(t)
			given := podcontract.RunResult{Result: c.given, EmptyOutputs: []string{"Package"}}
			if c.given.OutputVariables == nil {
				w.GiveBack(job, given)
			} else {
				w.Logs.Write(job.Name+"-pod", podcontract.ContainerReport, w.giveBackByLog(job, given))
			}
			w.Await(func(g Gomega) {
				state := w.WorkState(g)
				g.Expect(state.Status).To(Equal(types.ActionExecutionStatusSucceeded))
				g.Expect(aws.ToString(state.Summary)).To(MatchRegexp(c.summary))
				pj := w.PipelineJob(g)
				g.Expect(pj.Status.ExecutionDetails.Summary).To(MatchRegexp(c.summary))
				complete := meta.FindStatusCondition(pj.Status.Conditions, v1alpha1.ConditionComplete)
				g.Expect(complete).To(HaveField("Message", MatchRegexp(c.summary)))
				events := w.eventsFor(g, v1alpha1.ReasonEmptyOutputs)
				g.Expect(events).To(HaveLen(1))
				g.Expect(events[0].Type).To(Equal(corev1.EventTypeWarning))
				g.Expect(events[0].Regarding).To(And(HaveField("Kind", "PipelineJob"), HaveField("Name", pj.Name)))
				g.Expect(events[0].Note).To(Equal(`The output artifact "Package" is empty: no step left a file in /codepipeline/output/Package. ` +
					"Set spec.emptyOutputs of the CustomAction to Fail to have such an action fail, or to Allow for no warning"))
			})
		})
	}
}

// TestOutputsOfWhichNothingIsTold: there is neither a line in the summary nor an event.
func TestOutputsOfWhichNothingIsTold(t *testing.T) {
	for name, given := range map[string]podcontract.RunResult{
		"a pod of an older version":    {Result: podcontract.Result{Summary: "done"}},
		"what is no output of the job": {Result: podcontract.Result{Summary: "done"}, EmptyOutputs: []string{"Other"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, job := workWithOutput(t)
			w.GiveBack(job, given)
			w.Await(func(g Gomega) {
				g.Expect(aws.ToString(w.WorkState(g).Summary)).To(Equal("done"))
				g.Expect(w.eventsFor(g, v1alpha1.ReasonSucceeded)).To(HaveLen(1), "the last event")
			})
			w.Expect(w.eventsFor(w, v1alpha1.ReasonEmptyOutputs)).To(BeEmpty())
		})
	}
}

// TestEmptyOutputOfTheLastRunIsTold: outputs are not due before the last run.
func TestEmptyOutputOfTheLastRunIsTold(t *testing.T) {
	w, job := workWithOutput(t)
	w.GiveBack(job, podcontract.RunResult{Result: podcontract.Result{Summary: "asked", ContinuationToken: "later"}, EmptyOutputs: []string{"Package"}})
	next := w.RunningJob(2)
	w.Expect(w.eventsFor(w, v1alpha1.ReasonEmptyOutputs)).To(BeEmpty())
	w.GiveBack(next, podcontract.RunResult{Result: podcontract.Result{Summary: "deployed"}, EmptyOutputs: []string{"Package"}})
	w.Await(func(g Gomega) {
		g.Expect(aws.ToString(w.WorkState(g).Summary)).To(HavePrefix("deployed\nWarning: "))
		g.Expect(w.eventsFor(g, v1alpha1.ReasonEmptyOutputs)).To(HaveLen(1))
	})
}

// TestEmptyOutputThatFails: the report container gets the policy, and its failure is reported.
func TestEmptyOutputThatFails(t *testing.T) {
	const message = `output artifact "Package": there is no file in /codepipeline/output/Package: a step must leave the artifact's files there`
	w, job := workWithOutput(t, func(a *v1alpha1.CustomAction) { a.Spec.EmptyOutputs = v1alpha1.EmptyOutputsFail })
	w.Expect(job.Spec.Template.Spec.Containers[0].Command).To(ContainElement("--empty-outputs=Fail"))
	envelope, err := json.Marshal(podcontract.Envelope{Failure: &podcontract.Failure{Type: "ConfigurationError", Message: message}})
	w.Expect(err).NotTo(HaveOccurred())
	w.AddPod(job, corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{
		harness.Terminated(podcontract.ContainerReport, 1, string(envelope)),
	}})
	w.EndJob(job, batchv1.JobFailureTarget, batchv1.JobFailed)
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.ErrorDetails).NotTo(BeNil())
		g.Expect(aws.ToString(state.ErrorDetails.Code)).To(Equal("ConfigurationError"))
		g.Expect(aws.ToString(state.ErrorDetails.Message)).To(Equal(message))
		g.Expect(w.eventsFor(g, v1alpha1.ReasonFailed)).To(ConsistOf(HaveField("Note", ContainSubstring(message))))
	})
	w.Expect(w.eventsFor(w, v1alpha1.ReasonEmptyOutputs)).To(BeEmpty())
}

// TestEmptyOutputsWarnByDefault checks the default that kubectl shows.
func TestEmptyOutputsWarnByDefault(t *testing.T) {
	w := newWorld(t)
	action := w.Action()
	w.Expect(w.Kube.Create(w.Ctx, action, client.DryRunAll)).To(Succeed())
	w.Expect(action.Spec.EmptyOutputs).To(Equal(v1alpha1.EmptyOutputsWarn))
}
