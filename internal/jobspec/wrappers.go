package jobspec

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

const (
	sharedVolume   = podcontract.SharedVolume
	helperVolume   = podcontract.HelperVolume
	handoverVolume = "codepipeline-handover"
	// runnerUser is the nonroot user of distroless images, and its group.
	runnerUser = 65532
)

// addWrappers turns the template's containers into steps, which are init containers, and adds the
// wrapper containers: fetch before the steps, progress alongside them and report after them.
func addWrappers(pod *corev1.PodSpec, action *v1alpha1.CustomAction, job *v1alpha1.PipelineJob, run v1alpha1.Run, options Options) {
	options.Runner = options.Runner.with(action.Spec.Runner)
	options.FailureLog = v1alpha1.StricterFailureLog(action.Spec.FailureLog, options.FailureLog)
	wrapSteps(pod, stepEnv(action, job, run), job, options)
	setWorkspace(pod, action.Spec.Workspace, options.WorkspaceSizeLimit, job)
	setArtifactArgs(&pod.InitContainers[0], &pod.Containers[0], action, job)
}

// wrapSteps is addWrappers with a given environment of the steps.
func wrapSteps(pod *corev1.PodSpec, env []corev1.EnvVar, job *v1alpha1.PipelineJob, options Options) {
	steps := slices.Concat(pod.InitContainers, pod.Containers)
	for i := range steps {
		steps[i].Env = append(slices.Clone(env), steps[i].Env...)
		steps[i].VolumeMounts = append(steps[i].VolumeMounts,
			corev1.VolumeMount{Name: sharedVolume, MountPath: podcontract.Root},
			corev1.VolumeMount{Name: helperVolume, MountPath: podcontract.HelperDir, ReadOnly: true})
		// If the job has secrets, or the rule does not allow it, log lines must not get into the
		// status of the pod: see Failure.Log.
		told := len(job.Spec.SecretConfiguration) == 0 && TellsLog(options.FailureLog, *pod, steps[i].Name, job)
		if steps[i].TerminationMessagePolicy == "" && told {
			steps[i].TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
		}
	}
	limit := envelopeLimit(len(steps) + len(podcontract.Wrappers))
	fetch := transferContainer(podcontract.ContainerFetch, "fetch", limit, job, options)
	fetch.Command = append(fetch.Command, options.ArtifactArgs...)
	fetch.VolumeMounts = append(fetch.VolumeMounts, corev1.VolumeMount{Name: helperVolume, MountPath: podcontract.HelperInstallDir})
	report := transferContainer(podcontract.ContainerReport, "report", limit, job, options)
	report.Command = append(report.Command, options.ArtifactArgs...)
	follow := progressContainer(limit, options)
	fetch.Resources = options.Runner.resourcesOr(transferResources, pod.Resources)
	report.Resources = options.Runner.resourcesOr(transferResources, pod.Resources)
	follow.Resources = options.Runner.resourcesOr(progressResources, pod.Resources)
	// A sidecar runs alongside all containers after it.
	pod.InitContainers = slices.Concat([]corev1.Container{fetch, follow}, steps)
	pod.Containers = []corev1.Container{report}
	shareGroup(pod)
	pod.Volumes = append(pod.Volumes, emptyVolume(sharedVolume, nil), emptyVolume(helperVolume, &helperSize), emptyVolume(noTokenVolume, &noTokenSize))
	if HasArtifacts(job) {
		pod.Volumes = append(pod.Volumes, handover(job))
	}
	pod.Volumes = append(pod.Volumes, options.Runner.caVolumes()...)
}

// helperSize suffices for two copies of the helper, about 3 MB each: the second one is written if
// fetch runs again.
var helperSize = resource.MustParse("16Mi")

// emptyVolume returns a volume on the node's disk. Without a limit, it may have any size.
func emptyVolume(name string, limit *resource.Quantity) corev1.Volume {
	source := &corev1.EmptyDirVolumeSource{}
	if limit != nil {
		source.SizeLimit = ptr.To(limit.DeepCopy())
	}
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: source}}
}

// shareGroup adds all containers to the group that owns the shared folders. The pod's fsGroup would
// do the same, but also change the group of every file in the template's volumes.
func shareGroup(pod *corev1.PodSpec) {
	if pod.SecurityContext == nil {
		pod.SecurityContext = &corev1.PodSecurityContext{}
	}
	if groups := pod.SecurityContext.SupplementalGroups; !slices.Contains(groups, runnerUser) {
		pod.SecurityContext.SupplementalGroups = append(slices.Clone(groups), runnerUser)
	}
}

// envelopeLimit returns how many bytes of a termination message the kubelet keeps: it divides 12
// KiB evenly among the containers of a pod. Some extra containers are counted, because users may
// add ephemeral containers for debugging.
func envelopeLimit(containers int) int {
	return min(limits.TerminationMessage, limits.PodTerminationMessages/(containers+3))
}

func limitFlag(envelopeLimit int) string { return fmt.Sprintf("--envelope-limit=%d", envelopeLimit) }

// transferContainer returns a wrapper container that transfers artifacts: fetch or report.
func transferContainer(name, command string, envelopeLimit int, job *v1alpha1.PipelineJob, options Options) corev1.Container {
	container := runnerContainer(name, options, command, limitFlag(envelopeLimit))
	options.Runner.addTransferEnv(&container)
	if HasArtifacts(job) {
		container.Command = append(container.Command, "--handover="+podcontract.HandoverFile)
		container.VolumeMounts = append(container.VolumeMounts,
			corev1.VolumeMount{Name: handoverVolume, MountPath: podcontract.HandoverDir, ReadOnly: true})
	}
	return container
}

// progressContainer returns the sidecar that watches the result files: if a step fails, it is the
// only source of the step's summary and link. It makes no calls, so it gets neither the handover
// nor the environment for the SDK, and it only reads what steps write.
func progressContainer(envelopeLimit int, options Options) corev1.Container {
	container := runnerContainer(podcontract.ContainerProgress, options, "progress", limitFlag(envelopeLimit))
	container.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	container.VolumeMounts[0].ReadOnly = true
	return container
}

// runnerContainer returns a wrapper container with the shared volume. It satisfies the restricted
// Pod Security Standard.
func runnerContainer(name string, options Options, command ...string) corev1.Container {
	return corev1.Container{
		Name:            name,
		Image:           options.RunnerImage,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Command:         append([]string{"/runner"}, command...),
		VolumeMounts:    []corev1.VolumeMount{{Name: sharedVolume, MountPath: podcontract.Root}, noToken},
		SecurityContext: &corev1.SecurityContext{
			RunAsNonRoot:             ptr.To(true),
			RunAsUser:                ptr.To[int64](runnerUser),
			RunAsGroup:               ptr.To[int64](runnerUser),
			AllowPrivilegeEscalation: ptr.To(false),
			ReadOnlyRootFilesystem:   ptr.To(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
}

// handover returns the volume with the handover from the job's Secret, without the values of secret
// properties.
func handover(job *v1alpha1.PipelineJob) corev1.Volume {
	return corev1.Volume{Name: handoverVolume, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
		SecretName: naming.SecretName(job),
		Items:      []corev1.KeyToPath{{Key: podcontract.HandoverKey, Path: podcontract.HandoverKey}},
		// Only the wrapper containers mount it. They run as runnerUser, which is neither the owner
		// nor in the group of the file.
		DefaultMode: ptr.To[int32](0o444),
	}}}
}

// stepEnv returns the environment of every step. It precedes the step's own variables, which may
// refer to it.
func stepEnv(action *v1alpha1.CustomAction, job *v1alpha1.PipelineJob, run v1alpha1.Run) []corev1.EnvVar {
	env := []corev1.EnvVar{
		literal(podcontract.EnvJobID, job.Spec.CodePipelineJob.ID),
		literal(podcontract.EnvPipelineName, job.Spec.Pipeline.Name),
		literal(podcontract.EnvPipelineExecutionID, job.Spec.Pipeline.ExecutionID),
		literal(podcontract.EnvStage, job.Spec.Pipeline.Stage),
		literal(podcontract.EnvAction, job.Spec.Pipeline.Action),
		literal(podcontract.EnvActionExecutionID, job.Spec.Pipeline.ActionExecutionID),
		literal(podcontract.EnvRegion, string(job.Spec.Region)),
		literal(podcontract.EnvAccountID, job.Spec.AccountID),
		literal(podcontract.EnvResult, podcontract.ResultDir),
		literal(podcontract.EnvHelper, podcontract.HelperFile),
	}
	if run.ContinuationToken != "" {
		env = append(env, literal(podcontract.EnvContinuationToken, run.ContinuationToken))
	}
	for _, property := range action.Spec.ActionType.ConfigurationProperties {
		if value, set := job.Spec.Configuration[property.Name]; set {
			env = append(env, literal(podcontract.EnvConfig(property.Name), value))
		}
	}
	for _, name := range job.Spec.SecretConfiguration {
		env = append(env, corev1.EnvVar{Name: podcontract.EnvConfig(name), ValueFrom: &corev1.EnvVarSource{
			SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: naming.SecretName(job)},
				Key:                  naming.SecretConfigKey(name),
			},
		}})
	}
	for _, artifact := range job.Spec.InputArtifacts {
		env = append(env, literal(podcontract.EnvInput(artifact.Name), inputPath(action, artifact)))
	}
	for _, artifact := range job.Spec.OutputArtifacts {
		env = append(env, literal(podcontract.EnvOutput(artifact.Name), podcontract.OutputDir+"/"+artifact.Name))
	}
	return env
}

// literal returns a variable whose value Kubernetes does not expand.
func literal(name, value string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, Value: escape(value)}
}

// HasArtifacts reports whether the job has artifacts, for which its pod needs a handover.
func HasArtifacts(job *v1alpha1.PipelineJob) bool {
	return len(job.Spec.InputArtifacts)+len(job.Spec.OutputArtifacts) > 0
}

// NeedsSecret reports whether the job needs a Secret: for artifact credentials or
// the values of secret properties.
func NeedsSecret(job *v1alpha1.PipelineJob) bool {
	return HasArtifacts(job) || len(job.Spec.SecretConfiguration) > 0
}
