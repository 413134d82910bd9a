package pipelinejob

import (
	"context"
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/diagnosis"
	"github.com/pipelinejob/pipelinejob-operator/internal/jobspec"
)

// logRule is the rule for the last log lines of failed steps, and who set it.
type logRule struct {
	rule v1alpha1.FailureLog
	// setBy is how messages name the field that set the rule.
	setBy string
}

// logRuleOf returns the rule for the jobs of a CustomAction: its own or, if that is stricter,
// the account's. If one of the two objects is gone, its rule is unknown, and the strictest
// applies.
func logRuleOf(action *v1alpha1.CustomAction, account *v1alpha1.CodePipelineAccount) logRule {
	switch {
	case action == nil:
		return logRule{v1alpha1.FailureLogNever, "the CustomAction is gone, so spec.failureLog"}
	case account == nil:
		return logRule{v1alpha1.FailureLogNever, "the CodePipelineAccount is gone, so spec.failureLog"}
	}
	rule := v1alpha1.StricterFailureLog(action.Spec.FailureLog, account.Spec.FailureLog)
	if rule == v1alpha1.StricterFailureLog(action.Spec.FailureLog, v1alpha1.FailureLogAlways) {
		return logRule{rule, "spec.failureLog of the CustomAction"}
	}
	return logRule{rule, "spec.failureLog of the CodePipelineAccount"}
}

// withoutLog returns a failure without the log lines that the rule forbids, and reports
// whether it left any out. A note in their place says why, and how to read them.
func (r *Reconciler) withoutLog(ctx context.Context, s state, failure *diagnosis.Failure) (*diagnosis.Failure, bool) {
	if failure.Printed == nil {
		return failure, false
	}
	why := r.whyLeftOut(ctx, s, *failure.Printed)
	if why == "" {
		return failure, false
	}
	what, _, _ := strings.Cut(failure.Message, "\n")
	note := fmt.Sprintf("(The last log lines are left out: %s. To read them: %s)", why, commandFor(s.job.Namespace, *failure.Printed))
	return &diagnosis.Failure{Type: failure.Type, Message: diagnosis.WithLog(what, note)}, true
}

func commandFor(namespace string, log diagnosis.StepLog) string {
	command := fmt.Sprintf("kubectl logs -n %s %s -c %s", namespace, log.Pod, log.Container)
	if log.Previous {
		command += " --previous"
	}
	return command
}

// whyLeftOut returns why the last log lines of a container are left out. It is empty if they
// are not.
func (r *Reconciler) whyLeftOut(ctx context.Context, s state, of diagnosis.StepLog) string {
	set := fmt.Sprintf("%s is %s", s.logRule.setBy, s.logRule.rule)
	switch s.logRule.rule {
	case v1alpha1.FailureLogAlways:
		return ""
	case v1alpha1.FailureLogNoSecrets:
	default:
		return set
	}
	pod, err := r.podSpec(ctx, s, of.Pod)
	switch {
	case err != nil:
		return fmt.Sprintf("%s, and the operator could not check whether the container refers to a Secret: %v", set, err)
	case jobspec.TellsLog(s.logRule.rule, pod, of.Container, s.job):
		return ""
	default:
		return set + ", and the container refers to a Secret"
	}
}

// podSpec reads the whole spec of a run's pod from the API server: a webhook may have added
// Secrets, and the cache has a trimmed spec. If the pod is gone, the Job has the spec that the
// operator wrote.
func (r *Reconciler) podSpec(ctx context.Context, s state, name string) (corev1.PodSpec, error) {
	pod := &corev1.Pod{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: s.run.Namespace, Name: name}, pod)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return corev1.PodSpec{}, fmt.Errorf("read pod %s: %w", name, err)
	case err == nil && metav1.IsControlledBy(pod, s.run):
		return pod.Spec, nil
	}
	job := &batchv1.Job{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(s.run), job); err != nil {
		return corev1.PodSpec{}, fmt.Errorf("read Job %s: %w", s.run.Name, err)
	}
	return job.Spec.Template.Spec, nil
}
