package integration

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// printedByStep is the output of a failed step, which must not be copied.
const printedByStep = "connect: password ocean-drive-19 refused"

// fromSecret makes a step refer to a Secret.
func fromSecret(container *corev1.Container) {
	container.Env = []corev1.EnvVar{{Name: "PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "database"}, Key: "password",
	}}}}
}

// failWith runs a failing step of a CustomAction with a rule for its log, and returns the message
// in CodePipeline. The pod's status has the lines, regardless of what the operator requested.
func (w *world) failWith(rule v1alpha1.FailureLog, change func(*corev1.Container)) string {
	w.T.Helper()
	w.work(func(a *v1alpha1.CustomAction) {
		a.Spec.FailureLog = rule
		change(&a.Spec.JobTemplate.Spec.Template.Spec.Containers[0])
	})
	job := w.RunningJob(1)
	w.Logs.Write(job.Name+"-pod", "work", printedByStep+"\n")
	w.FailStep(job, printedByStep)
	return w.failureMessage()
}

// failureMessage waits for the message of the failure in CodePipeline.
func (w *world) failureMessage() (message string) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		state := w.WorkState(g)
		g.Expect(state.Status).To(Equal(types.ActionExecutionStatusFailed))
		message = aws.ToString(state.ErrorDetails.Message)
	})
	return message
}

// TestFailureLog: the last lines of a failed step are copied or left out, according to the stricter
// spec.failureLog of the CustomAction and its CodePipelineAccount.
func TestFailureLog(t *testing.T) {
	none := func(*corev1.Container) {}
	const (
		always, noSecrets, never = v1alpha1.FailureLogAlways, v1alpha1.FailureLogNoSecrets, v1alpha1.FailureLogNever

		actionSecrets  = "spec.failureLog of the CustomAction is NoSecrets, and the container refers to a Secret"
		actionNever    = "spec.failureLog of the CustomAction is Never"
		accountSecrets = "spec.failureLog of the CodePipelineAccount is NoSecrets, and the container refers to a Secret"
		accountNever   = "spec.failureLog of the CodePipelineAccount is Never"
	)
	for name, c := range map[string]struct {
		account, action v1alpha1.FailureLog
		change          func(*corev1.Container)
		why             string // empty if they are copied
	}{
		"by default, with a Secret":                               {"", "", fromSecret, ""},
		"always, with a Secret":                                   {"", always, fromSecret, ""},
		"no secrets, and there is none":                           {"", noSecrets, none, ""},
		"no secrets, and there is one":                            {"", noSecrets, fromSecret, actionSecrets},
		"never":                                                   {"", never, none, actionNever},
		"account always, with a Secret":                           {always, always, fromSecret, ""},
		"account always, action no secrets":                       {always, noSecrets, fromSecret, actionSecrets},
		"account always, action never":                            {always, never, none, actionNever},
		"account no secrets, action by default, and no Secret":    {noSecrets, "", none, ""},
		"account no secrets, action by default":                   {noSecrets, "", fromSecret, accountSecrets},
		"account no secrets, action always":                       {noSecrets, always, fromSecret, accountSecrets},
		"account no secrets, action no secrets":                   {noSecrets, noSecrets, fromSecret, actionSecrets},
		"account no secrets, action never":                        {noSecrets, never, none, actionNever},
		"account never, action by default":                        {never, "", none, accountNever},
		"account never, action always":                            {never, always, none, accountNever},
		"account never, action no secrets, and there is a Secret": {never, noSecrets, fromSecret, accountNever},
		"account never, action never":                             {never, never, none, actionNever},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.changeAccount(func(account *v1alpha1.CodePipelineAccount) { account.Spec.FailureLog = c.account })
			message := w.failWith(c.action, c.change)
			if c.why == "" {
				w.Expect(message).To(HaveSuffix("\n" + printedByStep))
				return
			}
			w.Expect(message).NotTo(ContainSubstring("ocean-drive"))
			pod := w.Jobs(w)[0].Name + "-pod"
			w.Expect(message).To(And(HavePrefix(`step "work" failed: exit code 3. `), HaveSuffix(
				"\n(The last log lines are left out: "+c.why+". To read them: kubectl logs -n "+w.Namespace+" "+pod+" -c work)")))
		})
	}
}

// TestLinesThatAreLeftOutAreNowhere searches for them in everything that the operator writes.
func TestLinesThatAreLeftOutAreNowhere(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	var log strings.Builder
	w.log = funcr.New(func(prefix, args string) {
		mu.Lock()
		defer mu.Unlock()
		log.WriteString(prefix + args + "\n")
	}, funcr.Options{Verbosity: 10})
	w.failWith(v1alpha1.FailureLogNever, func(*corev1.Container) {})

	var told []eventsv1.Event
	w.Await(func(g Gomega) {
		var events eventsv1.EventList
		g.Expect(w.Kube.List(w.Ctx, &events, client.InNamespace(w.Namespace))).To(Succeed())
		told = events.Items
		g.Expect(told).To(ContainElement(HaveField("Note", ContainSubstring("The last log lines are left out"))))
	})
	written, err := json.Marshal([]any{w.PipelineJob(w), told})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(string(written)).NotTo(ContainSubstring("ocean-drive"))
	mu.Lock()
	defer mu.Unlock()
	w.Expect(log.String()).To(ContainSubstring("Next step"), "the log is that of the operator")
	w.Expect(log.String()).NotTo(ContainSubstring("ocean-drive"))
}

// TestSecretOfAWebhook: a webhook adds a Secret to a pod.
func TestSecretOfAWebhook(t *testing.T) {
	w := newWorld(t)
	w.work(func(a *v1alpha1.CustomAction) { a.Spec.FailureLog = v1alpha1.FailureLogNoSecrets })
	job := w.RunningJob(1)
	changed := job.DeepCopy()
	for i := range changed.Spec.Template.Spec.InitContainers {
		if step := &changed.Spec.Template.Spec.InitContainers[i]; step.Name == "work" {
			fromSecret(step)
		}
	}
	w.AddPod(changed, corev1.PodStatus{Phase: corev1.PodPending})
	w.FailStep(job, printedByStep)
	w.Expect(w.failureMessage()).To(And(ContainSubstring("the container refers to a Secret"), Not(ContainSubstring("ocean-drive"))))
}

// TestMaskedAndLeftOut: a secret property does not count as a Secret, and is masked in copied
// lines.
func TestMaskedAndLeftOut(t *testing.T) {
	for rule, says := range map[v1alpha1.FailureLog]string{
		v1alpha1.FailureLogNoSecrets: `\n\+ login --password \*\*\*\nlogin failed$`,
		v1alpha1.FailureLogNever:     `\n\(The last log lines are left out: spec.failureLog of the CustomAction is Never\. [^\n]*\)$`,
	} {
		t.Run(string(rule), func(t *testing.T) {
			w := newWorld(t)
			w.operate()
			w.Expect(w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) { a.Spec.FailureLog = rule }))).To(Succeed())
			w.awaitRegistration()
			w.StartPipeline(map[string]string{"Target": "all", "Token": password})
			w.failWithPassword()
			w.Expect(w.failureMessage()).To(MatchRegexp(says))
		})
	}
}

// TestPodOfLinesThatAreLeftOut: the kubelet does not copy the lines to the pod's status either.
func TestPodOfLinesThatAreLeftOut(t *testing.T) {
	for by, c := range map[string]struct{ account, action v1alpha1.FailureLog }{
		"the CustomAction": {v1alpha1.FailureLogAlways, v1alpha1.FailureLogNever},
		"the account":      {v1alpha1.FailureLogNever, v1alpha1.FailureLogAlways},
	} {
		t.Run("by "+by, func(t *testing.T) {
			w := newWorld(t)
			w.changeAccount(func(account *v1alpha1.CodePipelineAccount) { account.Spec.FailureLog = c.account })
			w.work(func(a *v1alpha1.CustomAction) { a.Spec.FailureLog = c.action })
			job := w.RunningJob(1)
			w.Expect(stepOf(job.Spec.Template.Spec).TerminationMessagePolicy).To(Equal(corev1.TerminationMessageReadFile))
		})
	}
}

// TestUnknownRuleIsRefused uses a rule with a typo.
func TestUnknownRuleIsRefused(t *testing.T) {
	w := newWorld(t)
	err := w.Kube.Create(w.Ctx, w.Action(func(a *v1alpha1.CustomAction) { a.Spec.FailureLog = "Sometimes" }))
	w.Expect(err).To(MatchError(ContainSubstring(`spec.failureLog: Unsupported value: "Sometimes"`)))
}
