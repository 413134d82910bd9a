package jobspec

import (
	"errors"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

// Validate checks that Jobs can be built from the action's jobTemplate: every reference must be
// known and in a field that allows it, the template must fit the model of steps, spec.runner must
// not set reserved variables, and steps must be able to write to spec.workspace. allowReferencesIn
// is as in Options. The error is a *FieldError or several, joined.
func Validate(action *v1alpha1.CustomAction, allowReferencesIn []v1alpha1.ReferencePlace) error {
	if err := checkContainers(action.Spec.JobTemplate.Spec.Template.Spec); err != nil {
		return err
	}
	sample := sampleJobOf(action)
	values, environment := scopeOf(action, sample, 1), stepEnv(action, sample, v1alpha1.Run{Number: 1})
	defaults := values
	defaults.preferDefaults = true
	if _, err := fill(action, defaults, environment, true, allowReferencesIn); err != nil {
		return err
	}
	resolved, err := fill(action, values, environment, true, allowReferencesIn)
	if err != nil {
		return err
	}
	pod := resolved.Spec.Template.Spec
	if err := checkWindows(pod); err != nil {
		return err // the other checks are for Linux
	}
	return errors.Join(checkJob(resolved.Spec), checkReserved(pod), checkWorkspace(action.Spec.Workspace), checkRunner(action.Spec.Runner),
		checkSampleDefault(action, resolved.Spec.Template))
}

// checkContainers bounds the number of containers, before the other checks look at each of them.
func checkContainers(pod corev1.PodSpec) error {
	count := len(pod.InitContainers) + len(pod.Containers)
	if count <= limits.TemplateContainers {
		return nil
	}
	return &FieldError{Field: atPod + ".containers", Err: fmt.Errorf(
		"must be at most %d, including initContainers, but are %d: the kubelet divides %d KiB of termination messages among the containers of a pod, "+
			"and each needs room to say how it ended; do more of the work in one step",
		limits.TemplateContainers, count, limits.PodTerminationMessages>>10)}
}

// checkJob refuses what does not fit the model of steps: a single pod whose containers run one
// after another.
func checkJob(job batchv1.JobSpec) error {
	var p problems
	p.refuse(job.Parallelism != nil && *job.Parallelism != 1, atJob+".parallelism", "must be 1 or absent: one pod does the work of one action execution")
	p.refuse(job.Completions != nil && *job.Completions != 1, atJob+".completions", "must be 1 or absent: one pod does the work of one action execution")
	p.refuse(job.CompletionMode != nil && *job.CompletionMode != "NonIndexed", atJob+".completionMode", "must be NonIndexed or absent")
	p.refuse(job.Selector != nil, atJob+".selector", "must be absent: Kubernetes sets it")
	p.refuse(job.ManualSelector != nil && *job.ManualSelector, atJob+".manualSelector", "must be absent: Kubernetes sets the selector")
	p.refuse(job.ActiveDeadlineSeconds != nil, atJob+".activeDeadlineSeconds", "must be absent: set spec.timeout")
	p.refuse(job.PodReplacementPolicy != nil && *job.PodReplacementPolicy == batchv1.TerminatingOrFailed, atJob+".podReplacementPolicy",
		"must be Failed or absent: a new pod must not work beside one that is still ending")
	pod := job.Template.Spec
	p.refuse(pod.RestartPolicy != "" && pod.RestartPolicy != corev1.RestartPolicyNever, atPod+".restartPolicy", "must be Never or absent: a step runs once")
	p.refuse(len(pod.Containers) == 0, atPod+".containers", "must have at least one: the containers are the action's steps")
	for i := range pod.Containers {
		p.step(&pod.Containers[i], fmt.Sprintf("%s.containers[%d]", atPod, i))
	}
	return p.join()
}

// step refuses fields that an init container, which each step becomes, can't have.
func (p *problems) step(step *corev1.Container, field string) {
	const service = "must be absent: a step runs to its end; for a service beside it use an init container with restartPolicy Always"
	p.refuse(step.LivenessProbe != nil, field+".livenessProbe", service)
	p.refuse(step.ReadinessProbe != nil, field+".readinessProbe", service)
	p.refuse(step.StartupProbe != nil, field+".startupProbe", service)
	p.refuse(step.Lifecycle != nil, field+".lifecycle", service)
	p.refuse(step.RestartPolicy != nil, field+".restartPolicy", "must be absent: a step runs once; a sidecar belongs in initContainers")
}
