package jobspec

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
)

const (
	sampleID   = "00000000-0000-4000-8000-000000000000"
	sampleName = "sample"
)

// sampleJobOf returns a PipelineJob to check a template with before there is one:
// every property has a value of its type.
func sampleJobOf(action *v1alpha1.CustomAction) *v1alpha1.PipelineJob {
	job := &v1alpha1.PipelineJob{}
	job.Name, job.Namespace = naming.PipelineJobName(action.Name, sampleID, sampleID), action.Namespace
	job.Spec = v1alpha1.PipelineJobSpec{
		ActionRef: v1alpha1.ActionReference{Name: action.Name}, AWS: action.Spec.AWS, AccountID: "000000000000",
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

// DryRunJob returns the Job of a sample PipelineJob, for a dry run that asks the
// API server whether it would accept the Jobs of the action.
func DryRunJob(action *v1alpha1.CustomAction, options Options) (*batchv1.Job, error) {
	job := sampleJobOf(action)
	return build(action, job, v1alpha1.Run{Number: 1, JobName: naming.JobName(job, 1)}, options, true)
}

// Refusal translates the API server's objections to a DryRunJob into the
// CustomAction's fields; nil when there is nothing. A field whose value comes
// from a reference is passed over: another value than the sample may do.
func Refusal(action *v1alpha1.CustomAction, causes []metav1.StatusCause) error {
	filled := referencing(action)
	var problems []error
	for _, cause := range causes {
		field := originOf(action, cause.Field)
		if !filled[field] {
			problems = append(problems, &FieldError{Field: field, Err: errors.New(cause.Message)})
		}
	}
	return errors.Join(problems...)
}

var (
	builtContainer = regexp.MustCompile(`^spec\.template\.spec\.initContainers\[([0-9]+)\]`)
	builtVariable  = regexp.MustCompile(`^\.env\[([0-9]+)\]`)
)

// templateField is where in a CustomAction the field of its built Job comes from.
func templateField(action *v1alpha1.CustomAction, field string) string {
	const template = "spec.jobTemplate."
	match := builtContainer.FindStringSubmatch(field)
	if match == nil {
		return template + field
	}
	const own = 2                      // codepipeline-fetch and codepipeline-progress
	index, _ := strconv.Atoi(match[1]) // the pattern has digits alone
	pod := action.Spec.JobTemplate.Spec.Template.Spec
	kind, at := "initContainers", index-own
	if at >= len(pod.InitContainers) {
		kind, at = "containers", at-len(pod.InitContainers)
	}
	if at < 0 || kind == "containers" && at >= len(pod.Containers) {
		return template + field
	}
	rest := strings.TrimPrefix(field, match[0])
	if variable := builtVariable.FindStringSubmatch(rest); variable != nil {
		k, _ := strconv.Atoi(variable[1])
		k -= len(stepEnv(action, sampleJobOf(action), v1alpha1.Run{Number: 1}))
		rest = fmt.Sprintf(".env[%d]", k) + strings.TrimPrefix(rest, variable[0])
	}
	return fmt.Sprintf("%sspec.template.spec.%s[%d]%s", template, kind, at, rest)
}

// referencing are the fields of a template whose values hold references.
func referencing(action *v1alpha1.CustomAction) map[string]bool {
	content, err := json.Marshal(action.Spec.JobTemplate)
	if err != nil {
		return nil // Validate has said so
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
