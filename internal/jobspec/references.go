package jobspec

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/naming"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// labelPrefix, before a reference's name, makes its value a label value.
const labelPrefix = "label:"

// groups matches the groups of references. Any other $(…) is left alone: it is
// Kubernetes' syntax for an environment variable, or a command in a shell script.
const groups = `action|aws|config|input|job|output|pipeline|run|stage`

// reference matches $(group.name), with or without label: before it and |default after
// it. $$(…) is how Kubernetes escapes it, and stays.
var reference = regexp.MustCompile(`\$?\$\((` + labelPrefix + `[^()]*|(?:` + groups + `)\.[^()]*)\)`)

// cutDefault matches a reference that a parenthesis in its default keeps from being one.
var cutDefault = regexp.MustCompile(`\$?\$\((?:` + labelPrefix + `)?((?:` + groups + `)\.[^()|]*)\|[^()]*\(`)

// artifactName matches what CodePipeline takes as the name of an artifact: API model
// 2015-07-09, ArtifactName.
var artifactName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,100}$`)

// accountID matches the ID of an AWS account (API model 2015-07-09, AccountId), and none.
var accountID = regexp.MustCompile(`^([0-9]{12})?$`)

// values gives what each reference stands for, by its name ("config.KEY").
type values map[string]string

// unusable says why a known reference can't be used, by its name.
type unusable map[string]string

// scope is what references can be resolved to, and why some can't.
type scope struct {
	values values
	// unset has the optional properties that the pipeline's action does not set: a default
	// can replace them.
	unset     map[string]bool
	explained unusable
	// preferDefaults makes defaults replace all properties, to check the defaults.
	preferDefaults bool
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
		"aws.region":           string(job.Spec.Region),
		"aws.accountID":        job.Spec.AccountID,
	}, unset: map[string]bool{}, explained: unusable{}}
	if !accountID.MatchString(job.Spec.AccountID) {
		delete(s.values, "aws.accountID") // it may be in scripts
		s.explained["aws.accountID"] = "the job's account ID is not one of AWS"
	}
	for _, property := range action.Spec.ActionType.ConfigurationProperties {
		name := configGroup + property.Name
		value, set := job.Spec.Configuration[property.Name]
		switch {
		case property.Secret:
			s.explained[name] = "the property is secret: use the environment variable " + podcontract.EnvConfig(property.Name) + " in the step"
		case set:
			s.values[name] = value
		default:
			s.unset[name] = true
			s.explained[name] = "the pipeline's action does not set this optional property: set it, give the reference a default, as in $(" +
				name + "|VALUE), or use the environment variable " + podcontract.EnvConfig(property.Name) + ", which is then absent"
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
func (s *substitution) resolve(text string, quote bool) (string, error) {
	failed := s.scope.checkDefaults(text)
	resolved := reference.ReplaceAllStringFunc(text, func(match string) string {
		if isEscaped(match) {
			return match
		}
		value, err := s.scope.valueOf(match[len("$("):len(match)-len(")")], s.anyArtifact)
		if err != nil {
			failed = withEscape(err, match, quote)
			return match
		}
		if quote {
			value = escape(value)
		}
		if s.expanded += len(value); s.expanded > limits.Expanded {
			failed = errTooLarge
			return match
		}
		return value
	})
	return resolved, failed
}

// errTooLarge is that of a template whose references are replaced by more than an object has
// room for.
var errTooLarge = fmt.Errorf("after its references are replaced, the template has more than %d bytes of their values, which an object can't hold: "+
	"use the variables (%s…) in the steps, which have each value once", limits.Expanded, podcontract.EnvConfig(""))

// isEscaped reports whether a match of reference is $$(…).
func isEscaped(match string) bool { return strings.HasPrefix(match, "$$") }

// unknownError is the error for an unknown reference of a known group.
type unknownError struct{ error }

// withEscape adds how to write what is not meant as a reference, in the fields that
// Kubernetes expands: there, it turns $$(…) into $(…).
func withEscape(err error, match string, expanded bool) error {
	if unknown := (unknownError{}); expanded && errors.As(err, &unknown) {
		return fmt.Errorf("%w; if it is a command for a shell, write $%s", err, match)
	}
	return err
}

// checkDefaults refuses a parenthesis in the default of a known reference, which would
// otherwise be left alone.
func (s scope) checkDefaults(text string) error {
	for _, match := range cutDefault.FindAllStringSubmatch(text, -1) {
		if name := match[1]; !isEscaped(match[0]) && s.knows(name) {
			return fmt.Errorf("the default of $(%s|…) can't have parentheses", name)
		}
	}
	return nil
}

// valueOf is the value of what is between the parentheses of a reference.
func (s scope) valueOf(expression string, anyArtifact bool) (string, error) {
	name, asLabel := strings.CutPrefix(expression, labelPrefix)
	value, err := s.valueOrDefault(name, anyArtifact)
	if err != nil || !asLabel {
		return value, err
	}
	return naming.LabelSafe(value), nil
}

// valueOrDefault is the value of a reference that may have a default. A | may also be part
// of a property's name.
func (s scope) valueOrDefault(text string, anyArtifact bool) (string, error) {
	name, standIn, hasDefault := strings.Cut(text, "|")
	switch {
	case !hasDefault, s.knows(text), !s.knows(name):
		return s.lookup(text, anyArtifact)
	case !strings.HasPrefix(name, configGroup):
		return "", fmt.Errorf("$(%s) has a default, which only $(config.KEY) can have: write $(%s)", text, name)
	case s.unset[name]:
		return standIn, nil
	}
	value, err := s.lookup(name, anyArtifact)
	if err == nil && s.preferDefaults {
		return standIn, nil
	}
	return value, err
}

// knows reports whether there is a reference of this name, even if it can't be used.
func (s scope) knows(name string) bool {
	_, usable := s.values[name]
	_, explained := s.explained[name]
	return usable || explained
}

// configGroup begins the references to configuration properties.
const configGroup = "config."

func (s scope) lookup(name string, anyArtifact bool) (string, error) {
	if value, ok := s.values[name]; ok {
		return value, nil
	}
	if why, ok := s.explained[name]; ok {
		return "", fmt.Errorf("$(%s) can't be used: %s", name, why)
	}
	group, rest, _ := strings.Cut(name, ".")
	if anyArtifact && (group == "input" || group == "output") && artifactName.MatchString(rest) {
		return name, nil
	}
	return "", unknownError{fmt.Errorf("$(%s) is not a known reference; known are %s", name, s.known())}
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
