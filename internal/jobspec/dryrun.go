package jobspec

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

const (
	sampleRegion = v1alpha1.Region("us-east-1")
	sampleID     = "00000000-0000-4000-8000-000000000000"
	// sampleName is an unusual name, which MayBeOfSample can recognize.
	sampleName = "pipelinejob-sample"
)

// sampleJobOf returns a sample PipelineJob to check a template with: every property has a value of
// its type.
func sampleJobOf(action *v1alpha1.CustomAction) *v1alpha1.PipelineJob {
	job := &v1alpha1.PipelineJob{}
	job.Name, job.Namespace = naming.PipelineJobName(action.Name, sampleID, sampleID), action.Namespace
	job.UID = sampleID
	job.Spec = v1alpha1.PipelineJobSpec{
		ActionRef: v1alpha1.ActionReference{Name: action.Name}, AccountRef: action.Spec.AccountRef,
		Region: cmp.Or(action.Spec.Region, action.Status.Region, sampleRegion), AccountID: "000000000000",
		Pipeline: v1alpha1.PipelineContext{
			Name: sampleName, ExecutionID: sampleID, Stage: sampleName, Action: sampleName, ActionExecutionID: sampleID,
		},
		CodePipelineJob: v1alpha1.CodePipelineJob{ID: sampleID},
	}
	configuration := map[string]string{}
	for _, property := range action.Spec.ActionType.ConfigurationProperties {
		switch property.Type {
		case "Number":
			configuration[property.Name] = "1"
		case "Boolean":
			configuration[property.Name] = "true"
		default:
			configuration[property.Name] = sampleName
		}
	}
	job.Spec.Configuration, job.Spec.SecretConfiguration = SplitConfiguration(action, configuration)
	for i := range action.Spec.ActionType.InputArtifactDetails.MaximumCount {
		job.Spec.InputArtifacts = append(job.Spec.InputArtifacts, v1alpha1.Artifact{Name: fmt.Sprintf("%s%d", sampleName, i)})
	}
	return job
}

// DryRunJob returns the Job of a sample PipelineJob, for a dry run that asks the API server whether
// it would accept the action's Jobs. It has an owner like the Jobs of PipelineJobs, because a
// policy may refuse the operator Jobs without one.
func DryRunJob(action *v1alpha1.CustomAction, options Options) (*batchv1.Job, error) {
	sample := sampleJobOf(action)
	job, err := build(action, sample, v1alpha1.Run{Number: 1, JobName: naming.JobName(sample, 1)}, options, true)
	if err != nil {
		return nil, err
	}
	job.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(sample, v1alpha1.GroupVersion.WithKind("PipelineJob"))}
	return job, nil
}

// DryRunPod returns a pod as the Job controller would create it, for a dry run that asks the API
// server whether it would accept it: limit ranges, quotas and most policies apply to pods, not to
// Jobs. job is the DryRunJob as the API server returned it.
func DryRunPod(job *batchv1.Job) *corev1.Pod {
	template := job.Spec.Template.DeepCopy()
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Name, pod.Namespace = job.Name+"-pod", job.Namespace
	metav1.SetMetaDataLabel(&pod.ObjectMeta, batchv1.JobNameLabel, job.Name)
	// Some policies refuse pods without an owner. The Job does not exist, so any UID will do.
	// BlockOwnerDeletion is not set, because it requires another permission.
	pod.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job", Name: job.Name,
		UID: types.UID(cmp.Or(string(job.UID), sampleID)), Controller: ptr.To(true),
	}}
	return pod
}

// Refusal translates the API server's objections to a DryRunJob, or with podFields to its
// DryRunPod, into the CustomAction's fields. It returns nil if there are none. Fields whose values
// come from references are left out, because values other than the sample's may be accepted.
func Refusal(action *v1alpha1.CustomAction, job *batchv1.Job, podFields bool, causes []metav1.StatusCause) error {
	filled := referencing(action)
	var problems []error
	for _, cause := range causes {
		field := cause.Field
		if podFields && field != "" {
			field = "spec.template." + field
		}
		if field = originOf(action, job, field); !filled[field] {
			problems = append(problems, &FieldError{Field: field, Err: errors.New(cause.Message)})
		}
	}
	return errors.Join(problems...)
}

// MayBeOfSample reports whether the cluster may have denied a DryRunJob or its pod only because of
// the sample's values. It returns true if the message quotes the sample, or if images come from
// references, because many policies are about images.
func MayBeOfSample(action *v1alpha1.CustomAction, message string) bool {
	if strings.Contains(message, sampleName) {
		return true
	}
	for field := range referencing(action) {
		if imageField.MatchString(field) {
			return true
		}
	}
	return false
}

var (
	builtContainer = regexp.MustCompile(`^spec\.template\.spec\.(initContainers|containers)\[([0-9]+)\]`)
	builtVolume    = regexp.MustCompile(`^spec\.template\.spec\.volumes\[([0-9]+)\]`)
	builtVariable  = regexp.MustCompile(`^\.env\[([0-9]+)\]`)
	imageField     = regexp.MustCompile(`^spec\.jobTemplate\.spec\.template\.spec\.(initContainers|containers)\[[0-9]+\]\.image$`)
)

// templateField returns the field of the CustomAction from which a field of its built Job comes.
func templateField(action *v1alpha1.CustomAction, job *batchv1.Job, field string) string {
	const template = "spec.jobTemplate"
	pod := job.Spec.Template.Spec
	if match := builtContainer.FindStringSubmatch(field); match != nil {
		containers, index := pod.InitContainers, number(match[2])
		if match[1] == "containers" {
			containers = pod.Containers
		}
		if index < len(containers) {
			return containerField(action, containers, index, strings.TrimPrefix(field, match[0]))
		}
	}
	if match := builtVolume.FindStringSubmatch(field); match != nil {
		if index := number(match[1]); index < len(pod.Volumes) && pod.Volumes[index].Name == caVolume {
			return cmp.Or(caSetBy(action), "the operator's --runner-ca")
		}
	}
	if field == "" {
		return template
	}
	return template + "." + field
}

func caSetBy(action *v1alpha1.CustomAction) string {
	if runner := action.Spec.Runner; runner != nil && runner.CA != nil {
		return "spec.runner.ca"
	}
	return ""
}

// number parses digits.
func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return math.MaxInt // no list has this index
	}
	return n
}

// containerField returns where a field of a container comes from.
func containerField(action *v1alpha1.CustomAction, containers []corev1.Container, index int, rest string) string {
	if podcontract.IsWrapper(containers[index].Name) {
		return runnerField(action, containers[index].Name, rest)
	}
	for _, before := range containers[:index] {
		if podcontract.IsWrapper(before.Name) {
			index--
		}
	}
	pod := action.Spec.JobTemplate.Spec.Template.Spec
	kind := "initContainers"
	if index >= len(pod.InitContainers) {
		kind, index = "containers", index-len(pod.InitContainers)
	}
	if variable := builtVariable.FindStringSubmatch(rest); variable != nil {
		k := number(variable[1]) - len(stepEnv(action, sampleJobOf(action), v1alpha1.Run{Number: 1}))
		rest = fmt.Sprintf(".env[%d]", k) + strings.TrimPrefix(rest, variable[0])
	}
	return fmt.Sprintf("%s.%s[%d]%s", atPod, kind, index, rest)
}

// runnerField returns where a field of a wrapper container comes from.
func runnerField(action *v1alpha1.CustomAction, name, rest string) string {
	runner := action.Spec.Runner
	switch {
	case strings.HasPrefix(rest, ".resources") && (runner == nil || runner.Resources == nil):
		return fmt.Sprintf("the operator's --runner-resources (%s%s)", name, rest)
	case strings.HasPrefix(rest, ".resources"), strings.HasPrefix(rest, ".env"):
		return "spec.runner" + rest
	default:
		return fmt.Sprintf("the operator's container %s%s", name, rest)
	}
}

// referencing returns the fields of a template whose values have references.
func referencing(action *v1alpha1.CustomAction) map[string]bool {
	content, err := json.Marshal(action.Spec.JobTemplate)
	if err != nil {
		return nil // Validate has reported it
	}
	var tree any
	if err := json.Unmarshal(content, &tree); err != nil {
		return nil
	}
	found := map[string]bool{}
	collectReferences(tree, path{"spec", "jobTemplate"}, found)
	return found
}

func collectReferences(node any, at path, found map[string]bool) {
	switch node := node.(type) {
	case string:
		if reference.MatchString(node) {
			found[at.String()] = true
		}
	case []any:
		for i := range node {
			collectReferences(node[i], at.with(fmt.Sprintf("[%d]", i)), found)
		}
	case map[string]any:
		for key := range node {
			collectReferences(node[key], at.with(key), found)
		}
	}
}
