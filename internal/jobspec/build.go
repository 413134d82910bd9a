// Package jobspec builds the Kubernetes Job of a PipelineJob from the jobTemplate of its
// CustomAction, and validates the template. Its functions are pure: they make no calls.
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

// Options configure a Job, in addition to the CustomAction and the PipelineJob.
type Options struct {
	// RunnerImage is the image with the operator's program for pods.
	RunnerImage string
	// Runner configures the wrapper containers.
	Runner RunnerOptions
	// ArtifactArgs are additional arguments for the containers that transfer artifacts: limits
	// other than the defaults.
	ArtifactArgs []string
	// WorkspaceSizeLimit is the size limit of an emptyDir workspace if the CustomAction sets none.
	// Zero means no limit.
	WorkspaceSizeLimit resource.Quantity
	// AllowReferencesIn are the additional places in which the account's grant allows
	// references to values that a pipeline controls.
	AllowReferencesIn []v1alpha1.ReferencePlace
	// FailureLog is the account's rule for the last log lines of failed steps. Empty means no rule.
	// The stricter of this rule and the CustomAction's applies.
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

// build accepts any artifact name in references if anyArtifact is true.
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

// defaultJobSpec sets defaults for pipeline actions where Kubernetes' own are meant for batch work:
// a failed step fails the action immediately, and a pod that is lost to a disruption (drained,
// preempted) is created again.
func defaultJobSpec(spec *batchv1.JobSpec, action *v1alpha1.CustomAction) {
	if spec.BackoffLimit == nil {
		spec.BackoffLimit = ptr.To[int32](0)
	}
	spec.PodFailurePolicy = ignoreDisruptions(spec.PodFailurePolicy)
	if spec.PodReplacementPolicy == nil {
		// A new pod never runs while the old one is still terminating.
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

// MinTTL is the shortest ttlSecondsAfterFinished of a Job. The operator reads the result from the
// Job's pods. It needs time for that if a node or log can't be reached, which it waits for up to
// ten minutes, or if another replica takes over.
const MinTTL = 15 * time.Minute

// raisedTTL returns the TTL of a template, raised to what the operator needs. A negative value is
// kept, so that the API server refuses it.
func raisedTTL(seconds *int32) *int32 {
	if seconds == nil || *seconds < 0 {
		return seconds
	}
	return ptr.To(max(*seconds, int32(MinTTL.Seconds())))
}

// ignoreDisruptions adds a rule so that pods lost to a disruption are created again and don't count
// towards the backoffLimit. It comes first because the first matching rule counts, and a rule about
// exit codes would treat the loss as a failure of the step. The user's own rules about disruptions
// are kept.
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
