package jobspec

import (
	"fmt"
	"strings"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// errNotHere is the error for a reference or variable in a field that does not allow it. grant is
// the place that allows it, if there is one.
func errNotHere(found string, grant v1alpha1.ReferencePlace) error {
	wayOut := "write the value itself, which no account's grant can replace"
	if grant != "" {
		wayOut = fmt.Sprintf("write the value itself, or ask the managers of the CodePipelineAccount to add %s to allowReferencesIn of its grant", grant)
	}
	return fmt.Errorf("%s must not be here: the pipeline controls its value, which is allowed in values of env, labels and annotations, "+
		"and in elements of command and args: %s", found, wayOut)
}

// errInScript is the error for a reference or variable in a script.
func errInScript(found, wayOut string) error {
	return fmt.Errorf("%s must not be in the script after a shell's -c: the pipeline controls its value, and the shell would run it as a command: %s", found, wayOut)
}

// wayOutOfScript returns what to write in a script instead of a reference.
func wayOutOfScript(found string) string {
	expression := strings.TrimSuffix(strings.TrimPrefix(found, "$("), ")")
	variable := variableOf(referenceName(expression))
	if strings.HasPrefix(expression, labelPrefix) || variable == "" {
		return fmt.Sprintf("set an environment variable of the container to %s, and use that in the script", found)
	}
	if _, standIn, hasDefault := strings.Cut(expression, "|"); hasDefault {
		return fmt.Sprintf(`use the environment variable, as in "${%s-%s}"`, variable, standIn)
	}
	return shellVariable(variable)
}

func shellVariable(name string) string {
	return fmt.Sprintf(`use the environment variable, as in "$%s"`, name)
}

// variableOf returns the environment variable that has the value of a reference, or an empty
// string.
func variableOf(name string) string {
	group, rest, _ := strings.Cut(name, ".")
	switch group + "." {
	case configGroup:
		return podcontract.EnvConfig(rest)
	case "input.":
		return podcontract.EnvInput(rest)
	default:
		return map[string]string{
			"pipeline.name":        podcontract.EnvPipelineName,
			"pipeline.executionID": podcontract.EnvPipelineExecutionID,
			"stage.name":           podcontract.EnvStage,
			"action.name":          podcontract.EnvAction,
			"action.executionID":   podcontract.EnvActionExecutionID,
			"job.id":               podcontract.EnvJobID,
		}[name]
	}
}
