//go:build e2e

package e2e

import (
	"bytes"
	"testing"
	"text/template"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

// usersYAML is a CustomAction in a privileged namespace, with a step of root and one of a user that
// shares no group with root or the wrapper containers.
var usersYAML = template.Must(template.New("").Parse(`
apiVersion: v1
kind: Namespace
metadata: {name: e2e-users, labels: {codepipeline.pipelinejob.dev/enabled: "true"}}
---
apiVersion: codepipeline.pipelinejob.dev/v1alpha1
kind: CustomAction
metadata: {name: {{.Name}}, namespace: e2e-users}
spec:
  accountRef: {name: default}
  actionType:
    category: Build
    provider: E2E-{{.Name}}
    version: "1"
    inputArtifactDetails: {minimumCount: 0, maximumCount: 1}
    outputArtifactDetails: {minimumCount: 1, maximumCount: 1}
  polling: {interval: 2s}
  jobTemplate:
    spec:
      template:
        spec:
          containers:
          - name: root
            image: pipelinejob.dev/sample-work:dev
            imagePullPolicy: IfNotPresent
            securityContext: {runAsUser: 0, runAsGroup: 0}
            command: [sh, -euc]
            args: [{{printf "%q" .Root}}]
          - name: user
            image: pipelinejob.dev/sample-work:dev
            imagePullPolicy: IfNotPresent
            securityContext: {runAsUser: 1000, runAsGroup: 1000}
            command: [sh, -euc]
            args: [{{printf "%q" .User}}]
`))

// sharing is an action with a step of root and one of another user.
type sharing struct {
	Name string
	// Root and User are the shell scripts of the steps.
	Root, User string

	message string // a pattern for the failure or the summary
}

func sharings() []sharing {
	return []sharing{
		{Name: "shared",
			Root: `umask 027; cd "$CODEPIPELINE_OUTPUT_SHARED"; mkdir sub; echo root > sub/file
				"$CODEPIPELINE" output ROOT=1; echo root > "$CODEPIPELINE_RESULT/external-execution-id"`,
			User: `umask 027; cd "$CODEPIPELINE_OUTPUT_SHARED"; cat sub/file > copy
				"$CODEPIPELINE" output USER=2; "$CODEPIPELINE" progress 100 "$(cat copy) shares"`,
			message: "^root shares$"},
		{Name: "private-file",
			Root:    `umask 077; mkdir /codepipeline/output/private-file/sub; echo root > /codepipeline/output/private-file/sub/file`,
			User:    "true",
			message: `/codepipeline/output/private-file/sub can't be read by user ID 65532: .*chmod a\+rx`},
		{Name: "private-result",
			Root:    "true",
			User:    `umask 077; echo mine > "$CODEPIPELINE_RESULT/summary"`,
			message: `/codepipeline/result: summary: can't be read by this user: .*chmod a\+r`},
	}
}

// TestStepsOfRootAndOfOthers: steps share files as far as their umask allows. If it does not, the
// failure names the file.
func TestStepsOfRootAndOfOthers(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	for _, action := range sharings() {
		var text bytes.Buffer
		s.Expect(usersYAML.Execute(&text, action)).To(Succeed())
		out, err := s.tryKubectl(text.String(), "apply", "--server-side", "-f", "-")
		s.Expect(err).NotTo(HaveOccurred(), out)
	}
	s.kubectl("-n", "e2e-users", "wait", "--for=condition=Ready", "--timeout=1m", "cpaction", "--all")

	s.put("e2e.zip", nil)
	var actions []pipeline.Action
	for _, action := range sharings() {
		actions = append(actions, custom(types.ActionCategoryBuild, action.Name).Outputs(action.Name))
	}
	execution := s.startPipeline("users", map[string]string{"source": "e2e.zip"}, actions...)
	s.Expect(s.ended("users", execution)).To(Equal(types.PipelineExecutionStatusFailed))
	for _, action := range sharings() {
		shown := s.actionState(s, "users", action.Name)
		if shown.ErrorDetails == nil {
			s.Expect(aws.ToString(shown.Summary)).To(MatchRegexp(action.message), action.Name)
			s.Expect(aws.ToString(shown.ExternalExecutionId)).To(Equal("root"))
			continue
		}
		s.Expect(aws.ToString(shown.ErrorDetails.Code)).To(Equal("ConfigurationError"), action.Name)
		s.Expect(aws.ToString(shown.ErrorDetails.Message)).To(MatchRegexp("(?s)"+action.message), action.Name)
	}
	shared := s.actionOf("users", execution, "shared").Output
	s.Expect(shared.OutputVariables).To(Equal(map[string]string{"ROOT": "1", "USER": "2"}))
	archive := s.archiveAt(shared.OutputArtifacts[0].S3location)
	s.Expect(s.fileOf(archive, "copy")).To(Equal("root\n"))
	s.Expect(s.fileOf(archive, "sub/file")).To(Equal("root\n"))
}
