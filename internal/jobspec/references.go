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

// groups matches the groups of references. Any other $(…) is kept unchanged: it is Kubernetes'
// syntax for an environment variable, or a command substitution in a shell script.
const groups = `action|aws|config|input|job|output|pipeline|run|stage`

// reference matches $(group.name), optionally with label: before the name and |default after it. It
// also matches Kubernetes' escape $$(…), which is kept unchanged.
var reference = regexp.MustCompile(`\$?\$\((` + labelPrefix + `[^()]*|(?:` + groups + `)\.[^()]*)\)`)

// cutDefault matches what would be a reference if its default had no parenthesis.
var cutDefault = regexp.MustCompile(`\$?\$\((?:` + labelPrefix + `)?((?:` + groups + `)\.[^()|]*)\|[^()]*\(`)

// artifactName matches valid artifact names (API model 2015-07-09, ArtifactName).
var artifactName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,100}$`)

// accountID matches the ID of an AWS account (API model 2015-07-09, AccountId), or an empty string.
var accountID = regexp.MustCompile(`^([0-9]{12})?$`)

// values maps the name of a reference, such as config.KEY, to its value.
type values map[string]string

// unusable maps the name of a known reference to the reason why it can't be used.
type unusable map[string]string

// scope resolves references, and knows why some can't be resolved.
type scope struct {
	values values
	// unset has the optional properties that the pipeline's action does not set. Their references
	// may have a default.
	unset     map[string]bool
	explained unusable
	// preferDefaults uses the default even for properties that are set, to check the defaults.
	preferDefaults bool
}

// scopeOf returns the scope for a run of a job.
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
		delete(s.values, "aws.accountID") // references to it are allowed in scripts
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

// resolve replaces every reference in text. quote escapes the values for fields in which Kubernetes
// expands $(NAME).
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

// errTooLarge reports that the values of a template's references are too large for an object.
var errTooLarge = fmt.Errorf("after its references are replaced, the template has more than %d bytes of their values, which an object can't hold: "+
	"use the variables (%s…) in the steps, which have each value once", limits.Expanded, podcontract.EnvConfig(""))

// isEscaped reports whether a match of reference is $$(…).
func isEscaped(match string) bool { return strings.HasPrefix(match, "$$") }

// unknownError is the error for an unknown reference of a known group.
type unknownError struct{ error }

// withEscape adds how to write a shell command that looks like a reference, for fields in which
// Kubernetes turns $$(…) into $(…).
func withEscape(err error, match string, expanded bool) error {
	if unknown := (unknownError{}); expanded && errors.As(err, &unknown) {
		return fmt.Errorf("%w; if it is a command for a shell, write $%s", err, match)
	}
	return err
}

// checkDefaults refuses a parenthesis in the default of a known reference: the text would not be
// recognized as a reference.
func (s scope) checkDefaults(text string) error {
	for _, match := range cutDefault.FindAllStringSubmatch(text, -1) {
		if name := match[1]; !isEscaped(match[0]) && s.knows(name) {
			return fmt.Errorf("the default of $(%s|…) can't have parentheses", name)
		}
	}
	return nil
}

// valueOf returns the value of a reference. expression is the text between its parentheses.
func (s scope) valueOf(expression string, anyArtifact bool) (string, error) {
	name, asLabel := strings.CutPrefix(expression, labelPrefix)
	value, err := s.valueOrDefault(name, anyArtifact)
	if err != nil || !asLabel {
		return value, err
	}
	return naming.LabelSafe(value), nil
}

// valueOrDefault returns the value of a reference that may have a default. A property's name may
// also contain |.
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

// knows reports whether there is a reference with this name, even if it can't be used.
func (s scope) knows(name string) bool {
	_, usable := s.values[name]
	_, explained := s.explained[name]
	return usable || explained
}

// configGroup is the prefix of references to configuration properties.
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

// escape protects a literal value from expansion by Kubernetes, where $$ stands for a dollar sign.
func escape(value string) string { return strings.ReplaceAll(value, "$", "$$") }
