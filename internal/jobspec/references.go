package jobspec

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// reference matches $(group.name). A name without a dot is Kubernetes' own
// syntax for an environment variable, and $$(…) is its escape: both stay.
var reference = regexp.MustCompile(`\$?\$\(([A-Za-z][A-Za-z0-9]*\.[^()]*)\)`)

// values gives what each reference stands for, by its name ("config.KEY").
type values map[string]string

// unusable says why a known reference can't be used, by its name.
type unusable map[string]string

// scope is what references can be resolved to, and why some can't.
type scope struct {
	values values

	explained unusable
}

// scopeOf is the scope of one run of a job.
func scopeOf(action *v1alpha1.CustomAction, job *v1alpha1.PipelineJob, run int32) scope {
	s := scope{values: values{
		"pipeline.name":        job.Spec.Pipeline.Name,
		"pipeline.executionID": job.Spec.Pipeline.ExecutionID,
		"stage.name":           job.Spec.Pipeline.Stage,
		"action.name":          job.Spec.Pipeline.Action,
		"action.executionID":   job.Spec.Pipeline.ActionExecutionID,
		"job.id":               job.Spec.CodePipelineJob.ID,
		"run.number":           strconv.Itoa(int(run)),
		"aws.region":           action.Spec.AWS.Region,
		"aws.accountID":        job.Spec.AccountID,
	}, explained: unusable{}}
	for _, property := range action.Spec.ActionType.ConfigurationProperties {
		name := "config." + property.Name
		value, set := job.Spec.Configuration[property.Name]
		switch {
		case property.Secret:
			s.explained[name] = "the property is secret: use the environment variable " + podcontract.EnvConfig(property.Name) + " in the step"
		case set:
			s.values[name] = string(value)
		default:
			s.explained[name] = "the pipeline's action does not set this optional property: set it, or use the environment variable " +
				podcontract.EnvConfig(property.Name) + ", which is then absent"
		}
	}
	for _, artifact := range job.Spec.InputArtifacts {
		s.values["input."+artifact.Name] = inputPath(action, artifact)
	}
	for _, artifact := range job.Spec.OutputArtifacts {
		s.values["output."+artifact.Name] = podcontract.OutputDir + "/" + artifact.Name
	}
	return s
}

// resolve replaces every reference in text. quote protects the value from
// being expanded a second time where Kubernetes itself expands $(NAME).
func (s scope) resolve(text string, quote, anyArtifact bool) (string, error) {
	var failed error
	resolved := reference.ReplaceAllStringFunc(text, func(match string) string {
		if strings.HasPrefix(match, "$$") {
			return match
		}
		name := match[len("$(") : len(match)-len(")")]
		value, err := s.lookup(name, anyArtifact)
		if err != nil {
			failed = err
			return match
		}
		if quote {
			value = escape(value)
		}
		return value
	})
	return resolved, failed
}

func (s scope) lookup(name string, anyArtifact bool) (string, error) {
	if value, ok := s.values[name]; ok {
		return value, nil
	}
	if why, ok := s.explained[name]; ok {
		return "", fmt.Errorf("$(%s) can't be used: %s", name, why)
	}
	group, rest, _ := strings.Cut(name, ".")
	if anyArtifact && (group == "input" || group == "output") && rest != "" {
		return name, nil
	}
	return "", fmt.Errorf("$(%s) is not a known reference; known are %s", name, s.known())
}

func (s scope) known() string {
	names := slices.Collect(maps.Keys(s.values))
	names = append(names, slices.Collect(maps.Keys(s.explained))...)
	names = slices.DeleteFunc(names, func(name string) bool {
		return strings.HasPrefix(name, "input.") || strings.HasPrefix(name, "output.")
	})
	slices.Sort(names)
	return strings.Join(append(names, "input.NAME", "output.NAME"), ", ")
}

// escape keeps Kubernetes from expanding a value that is to be taken as it is:
// there, $$ stands for a dollar sign.
func escape(value string) string { return strings.ReplaceAll(value, "$", "$$") }
