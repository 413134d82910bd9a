package jobspec

import (
	"errors"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
)

// Validate reports whether jobs can be made from the action's jobTemplate: that
// every reference is known, that the template keeps to what the model of steps allows
// and that spec.runner sets nothing that is reserved. The error is a *FieldError, or several joined.
func Validate(action *v1alpha1.CustomAction) error {
	if err := checkContainers(action.Spec.JobTemplate.Spec.Template.Spec); err != nil {
		return err
	}
	sample := sampleJobOf(action)
	values := scopeOf(action, sample, 1)
	defaults := values
	defaults.preferDefaults = true
	if _, err := substitute(action.Spec.JobTemplate, defaults, true); err != nil {
		return err
	}
	resolved, err := substitute(action.Spec.JobTemplate, values, true)
	if err != nil {
		return err
	}
	if err := checkWindows(resolved.Spec.Template.Spec); err != nil {
		return err // what else there is to say would be about Linux
	}
	const spec = "spec.jobTemplate.spec"
	var problems []error
	refuse := func(is bool, field, why string) {
		if is {
			problems = append(problems, &FieldError{Field: spec + "." + field, Err: errors.New(why)})
		}
	}
	job := resolved.Spec
	refuse(job.Parallelism != nil && *job.Parallelism != 1, "parallelism", "must be 1 or absent: one pod does the work of one action execution")
	refuse(job.Completions != nil && *job.Completions != 1, "completions", "must be 1 or absent: one pod does the work of one action execution")
	refuse(job.CompletionMode != nil && *job.CompletionMode != "NonIndexed", "completionMode", "must be NonIndexed or absent")
	refuse(job.Selector != nil, "selector", "must be absent: Kubernetes makes it")
	refuse(job.ManualSelector != nil && *job.ManualSelector, "manualSelector", "must be absent: Kubernetes makes the selector")
	refuse(job.ActiveDeadlineSeconds != nil, "activeDeadlineSeconds", "must be absent: set spec.timeout")
	refuse(job.PodReplacementPolicy != nil && *job.PodReplacementPolicy == batchv1.TerminatingOrFailed, "podReplacementPolicy",
		"must be Failed or absent: a new pod must not work beside one that is still ending")
	pod := job.Template.Spec
	refuse(pod.RestartPolicy != "" && pod.RestartPolicy != corev1.RestartPolicyNever, "template.spec.restartPolicy", "must be Never or absent: a step runs once")
	refuse(len(pod.Containers) == 0, "template.spec.containers", "must have at least one: the containers are the action's steps")
	for i, container := range pod.Containers {
		problems = append(problems, checkStep(container, fmt.Sprintf("%s.template.spec.containers[%d]", spec, i))...)
	}
	return errors.Join(append(problems, checkReserved(pod, sample), checkWorkspace(action.Spec.Workspace), checkRunner(action.Spec.Runner))...)
}

// checkContainers bounds the containers of a template, before anything is made for each.
func checkContainers(pod corev1.PodSpec) error {
	count := len(pod.InitContainers) + len(pod.Containers)
	if count <= limits.TemplateContainers {
		return nil
	}
	return &FieldError{Field: "spec.jobTemplate.spec.template.spec.containers", Err: fmt.Errorf(
		"must be at most %d, initContainers included, and are %d: the kubelet divides %d KiB of termination messages among the containers of a pod, "+
			"and each needs room to say how it ended; do more of the work in one step",
		limits.TemplateContainers, count, limits.PodTerminationMessages>>10)}
}

// checkStep refuses what an init container, which a step becomes, can't have.
func checkStep(step corev1.Container, field string) []error {
	var problems []error
	forbidden := map[string]bool{
		"livenessProbe":  step.LivenessProbe != nil,
		"readinessProbe": step.ReadinessProbe != nil,
		"startupProbe":   step.StartupProbe != nil,
		"lifecycle":      step.Lifecycle != nil,
	}
	for _, name := range []string{"livenessProbe", "readinessProbe", "startupProbe", "lifecycle"} {
		if forbidden[name] {
			problems = append(problems, &FieldError{Field: field + "." + name,
				Err: errors.New("must be absent: a step runs to its end; for a service beside it use an init container with restartPolicy Always")})
		}
	}
	if step.RestartPolicy != nil {
		problems = append(problems, &FieldError{Field: field + ".restartPolicy",
			Err: errors.New("must be absent: a step runs once; a sidecar belongs in initContainers")})
	}
	return problems
}
