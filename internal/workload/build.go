// Package workload turns a PipelineJob into the Kubernetes Job that does its
// work, and what became of that Job into an outcome. Its functions are pure:
// objects in, objects out, no calls.
package workload

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// Options are what a Job needs beside the objects it is made from.
type Options struct {
	// RunnerImage is the image with the product's own program for pods.
	RunnerImage string
	// RunnerEnv is the environment of the containers that move artifacts, such as
	// the SDK's endpoint overrides.
	RunnerEnv []corev1.EnvVar
	// FetchArgs are more arguments of the container that unpacks artifacts: its
	// limits, where they are not the default ones.
	FetchArgs []string
}

// Build makes the Kubernetes Job of one run. It errs with a *FieldError when
// the template can't be used for this job; such an error is final.
func Build(action *v1alpha1.CustomAction, job *v1alpha1.PipelineJob, run v1alpha1.Run, options Options) (*batchv1.Job, error) {
	return build(action, job, run, options, false)
}

// build takes any name for an artifact's if it is told to.
func build(action *v1alpha1.CustomAction, job *v1alpha1.PipelineJob, run v1alpha1.Run, options Options, anyArtifact bool) (*batchv1.Job, error) {
	template, err := substitute(action.Spec.JobTemplate, scopeOf(action, job, run.Number), anyArtifact)
	if err != nil {
		return nil, err
	}
	if err := checkOwn(template.Spec.Template.Spec, job); err != nil {
		return nil, err
	}
	if err := checkArtifacts(job); err != nil {
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
	frame(&built.Spec.Template.Spec, action, job, run, options)
	return built, nil
}

// Labels are the labels of everything that belongs to a PipelineJob.
func Labels(job *v1alpha1.PipelineJob) map[string]string {
	return map[string]string{
		v1alpha1.LabelAction:      labelValue(job.Spec.ActionRef.Name),
		v1alpha1.LabelPipelineJob: job.Name,
	}
}

func setLabels(meta *metav1.ObjectMeta, job *v1alpha1.PipelineJob, run v1alpha1.Run) {
	for key, value := range Labels(job) {
		metav1.SetMetaDataLabel(meta, key, value)
	}
	metav1.SetMetaDataLabel(meta, v1alpha1.LabelRun, strconv.Itoa(int(run.Number)))
}

// labelValue cuts a name to what a label can hold.
func labelValue(name string) string {
	if len(name) > 63 {
		name = name[:63]
	}
	return strings.TrimRight(name, "-.")
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
	if timeout := action.Spec.Timeout; timeout != nil {
		spec.ActiveDeadlineSeconds = ptr.To(int64(timeout.Seconds()))
	}
	pod := &spec.Template.Spec
	pod.RestartPolicy = corev1.RestartPolicyNever
	if pod.AutomountServiceAccountToken == nil && pod.ServiceAccountName == "" {
		pod.AutomountServiceAccountToken = ptr.To(false)
	}
}

// maxFailureRules is the most rules that Kubernetes takes in a podFailurePolicy.
const maxFailureRules = 20

// ignoreDisruptions has a pod that is lost to the cluster made again without
// spending the backoffLimit, whatever other rules there are: the first that
// matches counts, and one on exit codes would take the loss for the step's own
// failure. Rules of the user's on such losses stay as they are.
func ignoreDisruptions(policy *batchv1.PodFailurePolicy) *batchv1.PodFailurePolicy {
	if policy == nil {
		policy = &batchv1.PodFailurePolicy{}
	}
	if len(policy.Rules) >= maxFailureRules || slices.ContainsFunc(policy.Rules, onDisruption) {
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

var (
	// uuid is the form of CodePipeline's IDs.
	uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	// secretKey is what the key of a Secret may consist of.
	secretKey = regexp.MustCompile(`^[-._a-zA-Z0-9]+$`)
)

// maxActionInName leaves room, in the 63 characters of a pod's labels, for an
// execution ID (36), a run number (up to 99,999) and the hyphens.
const maxActionInName = 20

// JobName is the name of the Kubernetes Job of a run.
func JobName(job *v1alpha1.PipelineJob, run int32) string {
	return fmt.Sprintf("%s-%d", job.Name, run)
}

// PipelineJobName is the name of the PipelineJob for an action execution. It
// is a function of its arguments alone: a job that is polled twice, or that
// comes back continued, meets its own object.
func PipelineJobName(action, actionExecutionID, jobID string) string {
	prefix := strings.ReplaceAll(action, ".", "-")
	if len(prefix) > maxActionInName {
		prefix = strings.TrimRight(prefix[:maxActionInName], "-")
	}
	id := actionExecutionID
	if id == "" {
		id = jobID
	}
	if !uuid.MatchString(id) {
		id = digest(id)
	}
	return prefix + "-" + id
}
