//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"text/template"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

// mover is a custom action that works on artifacts.
type mover struct {
	// Name is the name of the CustomAction, its provider and the action.
	Name string
	// Artifacts is spec.artifacts.
	Artifacts string
	// EmptyOutputs is spec.emptyOutputs. Empty means the default.
	EmptyOutputs string
	// Script is the shell script of the step.
	Script string
}

var moverYAML = template.Must(template.New("").Parse(`
apiVersion: codepipeline.pipelinejob.dev/v1alpha1
kind: CustomAction
metadata: {name: {{.Name}}, namespace: pipelines}
spec:
  accountRef: {name: default}
  actionType:
    category: Build
    provider: E2E-{{.Name}}
    version: "1"
    inputArtifactDetails: {minimumCount: 0, maximumCount: 5}
    outputArtifactDetails: {minimumCount: 0, maximumCount: 1}
  polling: {interval: 1s}
  artifacts: {{or .Artifacts "{}"}}
{{- with .EmptyOutputs}}
  emptyOutputs: {{.}}
{{- end}}
  jobTemplate:
    spec:
      template:
        spec:
          securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
          containers:
          - name: work
            image: pipelinejob.dev/sample-work:dev
            imagePullPolicy: IfNotPresent
            securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
            command: [sh, -euc]
            args: [{{printf "%q" .Script}}]
`))

func (s *suite) applyMovers(movers ...mover) {
	s.t.Helper()
	for _, m := range movers {
		var text bytes.Buffer
		s.Expect(moverYAML.Execute(&text, m)).To(Succeed())
		out, err := s.tryKubectl(text.String(), "apply", "--server-side", "-f", "-")
		s.Expect(err).NotTo(HaveOccurred(), out)
	}
	for _, m := range movers {
		s.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=1m", "cpaction/"+m.Name)
	}
}

// build returns an action of a mover.
func (m mover) build() pipeline.Action { return custom(types.ActionCategoryBuild, m.Name) }

const (
	// makeVenv creates a virtual environment, like "python3 -m venv".
	makeVenv = `cd /codepipeline/output/*; mkdir -p venv/bin venv/lib; ln -s /usr/bin/python3 venv/bin/python3
		ln -s lib venv/lib64; echo app > app.py`
	// listFiles writes the names and contents of the input's files, and the targets of its links,
	// to the summary.
	listFiles = `cd /codepipeline/input/*; find . -type f | sort | while read -r name; do echo "$name=$(cat "$name")"; done > /tmp/all
		find . -type l | sort | while read -r name; do echo "$name->$(readlink "$name")"; done >> /tmp/all
		tr '\n' ' ' < /tmp/all > "$CODEPIPELINE_RESULT/summary"`
)

// TestLinksOfAVirtualEnvironment uses an output with a link that leads out, with each policy: the
// action fails, or the next action accepts the artifact.
func TestLinksOfAVirtualEnvironment(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	refuse := mover{Name: "venv-refuse", Artifacts: "{}", Script: makeVenv}
	skip, useSkipped := mover{Name: "venv-skip", Artifacts: "{links: Skip}", Script: makeVenv}, mover{Name: "use-skip", Artifacts: "{}", Script: listFiles}
	keep, useKept := mover{Name: "venv-keep", Artifacts: "{links: Keep}", Script: makeVenv}, mover{Name: "use-keep", Artifacts: "{links: Keep}", Script: listFiles}
	s.applyMovers(refuse, skip, useSkipped, keep, useKept)
	s.put("e2e.zip", nil)
	source := map[string]string{"source": "e2e.zip"}

	refused := s.startPipeline("venv-refused", source, refuse.build().Outputs("app"))
	kept := s.startPipeline("venv-kept", source, skip.build().Outputs("skipped"), keep.build().Outputs("kept"),
		useSkipped.build().Inputs("skipped").RunOrder(2), useKept.build().Inputs("kept").RunOrder(2))
	s.Expect(s.ended("venv-refused", refused)).To(Equal(types.PipelineExecutionStatusFailed))
	shown := s.actionState(s, "venv-refused", refuse.Name)
	s.Expect(shown.ErrorDetails).NotTo(BeNil())
	s.Expect(aws.ToString(shown.ErrorDetails.Code)).To(Equal("ConfigurationError"))
	s.Expect(aws.ToString(shown.ErrorDetails.Message)).To(And(
		ContainSubstring(`entry "venv/bin/python3": the link leads out of the folder, to "/usr/bin/python3"`), ContainSubstring("spec.artifacts.links")))

	s.Expect(s.ended("venv-kept", kept)).To(Equal(types.PipelineExecutionStatusSucceeded))
	s.Expect(aws.ToString(s.actionState(s, "venv-kept", useSkipped.Name).Summary)).To(Equal("./app.py=app ./venv/lib64->lib"))
	s.Expect(aws.ToString(s.actionState(s, "venv-kept", useKept.Name).Summary)).
		To(Equal("./app.py=app ./venv/bin/python3->/usr/bin/python3 ./venv/lib64->lib"))
	job := s.pipelineJobs(s, kept)[skip.Name].Status.Run.JobName
	s.Expect(s.kubectl("-n", namespace, "logs", "job/"+job, "-c", "codepipeline-report")).To(ContainSubstring("entry=venv/bin/python3"))
}

// TestArchivesFromTheField uses sources like those of users.
func TestArchivesFromTheField(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	list := mover{Name: "list-files", Artifacts: "{}", Script: listFiles}
	file := mover{Name: "one-file", Artifacts: "{inputs: [{name: jar, unpack: Never}]}",
		Script: `test -f "$CODEPIPELINE_INPUT_JAR"; test -d "$CODEPIPELINE_INPUT_APPEND"; echo "$(wc -c < "$CODEPIPELINE_INPUT_JAR") bytes" > "$CODEPIPELINE_RESULT/summary"`}
	s.applyMovers(list, file)
	objects := map[string]string{
		"backslash": "compress-archive-backslash.zip", "duplicate": "dot-slash-duplicate.zip", "absolute": "tar-absolute.tar",
		"append": "tar-append.tar", "jar": "app.jar",
	}
	for _, key := range objects {
		content, err := os.ReadFile(filepath.Join("../../internal/archive/testdata/field", key))
		s.Expect(err).NotTo(HaveOccurred())
		s.put(key, content)
	}
	want := map[string]string{
		"backslash": "./appspec.yml=version: 0.0 ./src/main.go=package main ./src/util/u.go=package util",
		"duplicate": "./.requirements.zip=PK-dummy ./handler.py=def h(e,c): pass",
		"absolute":  "./build/out/app.txt=x",
		"append":    "./config/settings.ini=new",
	}
	actions := []pipeline.Action{file.build().Inputs("jar", "append")}
	for artifact := range want {
		actions = append(actions, pipeline.NewAction("list-"+artifact, pipeline.CustomType(types.ActionCategoryBuild, "E2E-"+list.Name, "1")).Inputs(artifact))
	}
	execution := s.startPipeline("field", objects, actions...)
	s.Expect(s.ended("field", execution)).To(Equal(types.PipelineExecutionStatusSucceeded))
	for artifact, summary := range want {
		s.Expect(aws.ToString(s.actionState(s, "field", "list-"+artifact).Summary)).To(Equal(summary), artifact)
	}
	s.Expect(aws.ToString(s.actionState(s, "field", file.Name).Summary)).To(Equal("272 bytes"))
}
