// Package jobspec builds the Kubernetes Job of a PipelineJob from the jobTemplate
// of its CustomAction, and validates the template. Its functions are pure: objects
// in, objects out, no calls.
package jobspec

import (
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

// Options configure a Job, in addition to its objects.
type Options struct {
	// RunnerImage is the image with the operator's program for pods.
	RunnerImage string
	// Runner configures the wrapper containers.
	Runner RunnerOptions
	// ArtifactArgs are more arguments of the containers that move artifacts: their
	// limits, where they are not the default ones.
	ArtifactArgs []string
	// WorkspaceSizeLimit is the size limit of a workspace for which the CustomAction sets
	// none, if it is an emptyDir; zero: no limit.
	WorkspaceSizeLimit resource.Quantity
	// AllowReferencesIn are the additional places in which the account's grant allows
	// references to values that a pipeline controls.
	AllowReferencesIn []v1alpha1.ReferencePlace
	// FailureLog is the account's rule for the last log lines of failed steps; empty: it has
	// none. The stricter of it and the CustomAction's counts.
	FailureLog v1alpha1.FailureLog
}

// Build returns the Kubernetes Job of one run. The error is a *FieldError if the template
// can't be used for this job; such an error is final.
func Build(action *v1alpha1.CustomAction, job *v1alpha1.PipelineJob, run v1alpha1.Run, options Options) (*batchv1.Job, error) {
	built, err := build(action, job, run, options, false)
	if err != nil {
		return nil, err
	}
	if err := checkDefaultContainer(built.Spec.Template); err != nil {
		return nil, err
	}
	return built, nil
}

// build takes any name for an artifact's if it is told to.
func build(action *v1alpha1.CustomAction, job *v1alpha1.PipelineJob, run v1alpha1.Run, options Options, anyArtifact bool) (*batchv1.Job, error) {
	if err := checkContainers(action.Spec.JobTemplate.Spec.Template.Spec); err != nil {
		return nil, err
	}
	template, err := fill(action, scopeOf(action, job, run.Number), stepEnv(action, job, run), anyArtifact, options.AllowReferencesIn)
	if err != nil {
		return nil, err
	}
	if err := checkWindows(template.Spec.Template.Spec); err != nil {
		return nil, err
	}
	if err := checkReserved(template.Spec.Template.Spec); err != nil {
		return nil, err
	}
	if err := checkArtifacts(job); err != nil {
		return nil, err
	}
	if err := checkConfiguration(job); err != nil {
		return nil, err
	}
	if err := checkRunner(action.Spec.Runner); err != nil {
		return nil, err
	}
	built := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
		Name:        run.JobName,
		Namespace:   job.Namespace,
		Labels:      template.Labels,
		Annotations: template.Annotations,
	}}
	built.Spec = template.Spec
	setLabels(&built.ObjectMeta, job, run)
	setLabels(&built.Spec.Template.ObjectMeta, job, run)
	defaultJobSpec(&built.Spec, action)
	addWrappers(&built.Spec.Template.Spec, action, job, run, options)
	skipIdentityWebhook(&built.Spec.Template.ObjectMeta)
	setDefaultContainer(&built.Spec.Template)
	return built, nil
}

func setLabels(meta *metav1.ObjectMeta, job *v1alpha1.PipelineJob, run v1alpha1.Run) {
	for key, value := range naming.Labels(job) {
		metav1.SetMetaDataLabel(meta, key, value)
	}
	metav1.SetMetaDataLabel(meta, v1alpha1.LabelRun, strconv.Itoa(int(run.Number)))
}

// defaultJobSpec fills in what a pipeline's action wants where Kubernetes'
// defaults are for batch work: a failed step fails the action at once, while
// a pod lost to the cluster (drained, preempted) is made again.
func defaultJobSpec(spec *batchv1.JobSpec, action *v1alpha1.CustomAction) {
	if spec.BackoffLimit == nil {
		spec.BackoffLimit = ptr.To[int32](0)
	}
	spec.PodFailurePolicy = ignoreDisruptions(spec.PodFailurePolicy)
	if spec.PodReplacementPolicy == nil {
		// A new pod never runs beside one that is still ending.
		spec.PodReplacementPolicy = ptr.To(batchv1.Failed)
	}
	spec.TTLSecondsAfterFinished = raisedTTL(spec.TTLSecondsAfterFinished)
	if timeout := action.Spec.Timeout; timeout != nil {
		spec.ActiveDeadlineSeconds = ptr.To(int64(timeout.Seconds()))
	}
	pod := &spec.Template.Spec
	pod.RestartPolicy = corev1.RestartPolicyNever
	if pod.AutomountServiceAccountToken == nil && pod.ServiceAccountName == "" {
		pod.AutomountServiceAccountToken = ptr.To(false)
	}
}

// MinTTL is the shortest ttlSecondsAfterFinished of a Job. The result is read from the
// Job's pods: while their node or log can't be reached for up to ten minutes, and by
// another replica of the operator when the one that leads is gone.
const MinTTL = 15 * time.Minute

// raisedTTL is the time to live that a template sets, but no less than the operator needs.
// A negative one is left for the API server to refuse.
func raisedTTL(seconds *int32) *int32 {
	if seconds == nil || *seconds < 0 {
		return seconds
	}
	return ptr.To(max(*seconds, int32(MinTTL.Seconds())))
}

// ignoreDisruptions has a pod that is lost to the cluster made again without
// spending the backoffLimit, whatever other rules there are: the first that
// matches counts, and one on exit codes would take the loss for the step's own
// failure. Rules of the user's on such losses stay as they are.
func ignoreDisruptions(policy *batchv1.PodFailurePolicy) *batchv1.PodFailurePolicy {
	if policy == nil {
		policy = &batchv1.PodFailurePolicy{}
	}
	if len(policy.Rules) >= limits.FailurePolicyRules || slices.ContainsFunc(policy.Rules, onDisruption) {
		return policy
	}
	ignore := batchv1.PodFailurePolicyRule{
		Action: batchv1.PodFailurePolicyActionIgnore,
		OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
		}},
	}
	return &batchv1.PodFailurePolicy{Rules: slices.Concat([]batchv1.PodFailurePolicyRule{ignore}, policy.Rules)}
}

func onDisruption(rule batchv1.PodFailurePolicyRule) bool {
	return slices.ContainsFunc(rule.OnPodConditions, func(p batchv1.PodFailurePolicyOnPodConditionsPattern) bool {
		return p.Type == corev1.DisruptionTarget
	})
}
