package jobspec

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

// TestScriptsIn: brackets mark the elements that may be scripts.
func TestScriptsIn(t *testing.T) {
	for _, line := range []string{
		"make all",
		"sh -c [SCRIPT]",
		"sh -c [SCRIPT] name argument",
		"sh -c [SCRIPT] name -c [SCRIPT] argument",
		"bash -ec [SCRIPT]",
		"bash -lc [SCRIPT]",
		"/bin/bash -xc [SCRIPT] x",
		"sh -c [--] [SCRIPT] x",
		"sh -c [-] [SCRIPT] x",
		"sh -c [-e] [-x] [SCRIPT] x",
		"sh -c [+e] [SCRIPT] x",
		"sh -c [-c] [SCRIPT] x",
		"sh -c [-o] [pipefail] [SCRIPT] x",
		"bash -euo pipefail -c [SCRIPT] x",
		"bash -euoc [pipefail] [SCRIPT] x",
		"bash -O extglob -ce [SCRIPT] x",
		"bash -c [--rcfile] [file] [SCRIPT] x",
		"sh -ce [SCRIPT] x",
		"sh -Ceu -ceu [SCRIPT] x",
		"bash -Eec [SCRIPT] x",
		"fish --command [SCRIPT] x",
		"fish [--command=SCRIPT] [x]",
		"env bash -ce [SCRIPT] x",
		"timeout 10 busybox sh -ce [SCRIPT] x",
		"env [-S] [bash] [-c] [SCRIPT]",
		"env [-Sbash] [-c] [SCRIPT]",
		"env -i [-vS] [bash] [SCRIPT]",
		"env [--split-string=bash] [SCRIPT]",
		"su - user -c [SCRIPT] x",
		"su - user --command [SCRIPT]",
		"su user [--command=SCRIPT] [x]",
		"su user --session-command [SCRIPT]",
		"bash5 -ce [SCRIPT] x",
		"/bin/bash-5.2 -Eec [SCRIPT] x",
		"ksh93 -ce [SCRIPT] x",
		"python3 -Ic [SCRIPT] x",
		"runuser user -l --command [SCRIPT]",
		"python3 -c [SCRIPT] argument",
		"find . -exec [rm] x",
		"tar -c [-f] [archive] x", // stricter than needed: tar is not a shell
		"sh build.sh -classpath x",
		"sort -S 10M x",
		"cc -Wall -o x",
		"sh -c",
		"",
	} {
		t.Run(line, func(t *testing.T) {
			var elements, marked []string
			for element := range strings.FieldsSeq(line) {
				elements = append(elements, strings.Trim(element, "[]"))
			}
			for i, isScript := range scriptsIn(elements) {
				if isScript {
					marked = append(marked, "["+elements[i]+"]")
				} else {
					marked = append(marked, elements[i])
				}
			}
			NewWithT(t).Expect(strings.Join(marked, " ")).To(Equal(line))
		})
	}
}

// TestReferencesInScripts puts a pipeline's texts into scripts in each way that Kubernetes offers.
func TestReferencesInScripts(t *testing.T) {
	const rule = " must not be in the script after a shell's -c: the pipeline controls its value, and the shell would run it as a command: "
	env := func(name, value string) corev1.EnvVar { return corev1.EnvVar{Name: name, Value: value} }
	field := func(name, path string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
	}
	for name, c := range map[string]struct {
		command, args []string
		env           []corev1.EnvVar
		err           string // empty means allowed
	}{
		"in command": {command: []string{"sh", "-c", "make $(config.Target)"},
			err: "containers[0].command[2]: $(config.Target)" + rule + `use the environment variable, as in "$CODEPIPELINE_CONFIG_TARGET"`},
		"-c in command, and the script in args": {command: []string{"bash", "-euo", "pipefail", "-c"}, args: []string{"make $(pipeline.name)", "x"},
			err: "containers[0].args[0]: $(pipeline.name)" + rule + `use the environment variable, as in "$CODEPIPELINE_PIPELINE_NAME"`},
		"no command: the image has it": {args: []string{"-lc", "make $(job.id)"}, err: "containers[0].args[1]: $(job.id)" + rule},
		"after --":                     {command: []string{"sh", "-c", "--"}, args: []string{"make $(stage.name)"}, err: "containers[0].args[0]: $(stage.name)"},
		"a default":                    {command: []string{"sh", "-c", "make $(config.Flavor|small)"}, err: `as in "${CODEPIPELINE_CONFIG_FLAVOR-small}"`},
		"a label": {command: []string{"sh", "-c", "make $(label:config.Target)"},
			err: "set an environment variable of the container to $(label:config.Target), and use that in the script"},
		"an input artifact that stays a file": {command: []string{"sh", "-c", "java -jar $(input.jar)"}, err: `as in "$CODEPIPELINE_INPUT_JAR"`},
		"the folder of one":                   {command: []string{"sh", "-c", "cd $(input.source) && make DESTDIR=$(output.package) REGION=$(aws.region) RUN=$(run.number)"}},
		"escaped":                             {command: []string{"sh", "-c", "$$(config.guess)"}},
		"the shell's own variable":            {command: []string{"sh", "-c", `make "$CODEPIPELINE_CONFIG_TARGET" "${CODEPIPELINE_STAGE}"`}},
		"an argument of the script":           {command: []string{"sh", "-c", `make "$1"`, "sh"}, args: []string{"$(config.Target)"}},
		"no shell":                            {command: []string{"make", "-f", "$(config.Target)", "$(label:stage.name)"}},

		"Kubernetes' variable": {command: []string{"sh", "-c", "make $(CODEPIPELINE_CONFIG_TARGET)"},
			err: "containers[0].command[2]: $(CODEPIPELINE_CONFIG_TARGET)" + rule + `use the environment variable, as in "$CODEPIPELINE_CONFIG_TARGET"`},
		"that of a secret property": {command: []string{"sh", "-c", "login $(CODEPIPELINE_CONFIG_TOKEN)"}, err: "$(CODEPIPELINE_CONFIG_TOKEN)" + rule},
		"that of the token":         {command: []string{"sh", "-c", "ask $(CODEPIPELINE_CONTINUATION_TOKEN)"}, err: "$(CODEPIPELINE_CONTINUATION_TOKEN)" + rule},
		"that of a file":            {command: []string{"sh", "-c", "ls $(CODEPIPELINE_INPUT_JAR)"}, err: "$(CODEPIPELINE_INPUT_JAR)" + rule},
		"that of a folder":          {command: []string{"sh", "-c", "ls $(CODEPIPELINE_INPUT_SOURCE) $(CODEPIPELINE_OUTPUT_X) $(CODEPIPELINE_RESULT) $(CODEPIPELINE)"}},
		"that is escaped":           {command: []string{"sh", "-c", "make $$(CODEPIPELINE_CONFIG_TARGET)"}},
		"that follows an escape":    {command: []string{"sh", "-c", "make $$$(CODEPIPELINE_CONFIG_TARGET)"}, err: "$(CODEPIPELINE_CONFIG_TARGET)" + rule},
		"at the end of a long text": {command: []string{"sh", "-c", strings.Repeat("x", 2*expandedLength) + "$(CODEPIPELINE_STAGE)"}, err: "$(CODEPIPELINE_STAGE)" + rule},
		"of the template": {command: []string{"sh", "-c", "make $(TARGET)"}, env: []corev1.EnvVar{env("TARGET", "x-$(config.Target)")},
			err: "$(TARGET)" + rule + `use the environment variable, as in "$TARGET"`},
		"by another variable": {command: []string{"sh", "-c", "make $(B)"},
			env: []corev1.EnvVar{env("A", "$(CODEPIPELINE_STAGE)"), env("B", "b $(A)")}, err: "$(B)" + rule},
		"by a variable that comes later":   {command: []string{"sh", "-c", "make $(B)"}, env: []corev1.EnvVar{env("B", "$(A)"), env("A", "$(config.Target)")}},
		"that is set twice":                {command: []string{"sh", "-c", "make $(A)"}, env: []corev1.EnvVar{env("A", "$(config.Target)"), env("A", "a")}, err: "$(A)" + rule},
		"an own one that is set otherwise": {command: []string{"sh", "-c", "ls $(CODEPIPELINE_RESULT)"}, env: []corev1.EnvVar{env("CODEPIPELINE_RESULT", "$(config.Target)")}, err: "$(CODEPIPELINE_RESULT)" + rule},
		"from an annotation":               {command: []string{"sh", "-c", "make $(A)"}, env: []corev1.EnvVar{field("A", "metadata.annotations['x']")}, err: "$(A)" + rule},
		"from all labels":                  {command: []string{"sh", "-c", "make $(A)"}, env: []corev1.EnvVar{field("A", "metadata.labels")}, err: "$(A)" + rule},
		"from a file that a step may write": {command: []string{"sh", "-c", "make $(A)"}, env: []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{
			FileKeyRef: &corev1.FileKeySelector{VolumeName: "x", Path: "p", Key: "k"},
		}}}, err: "$(A)" + rule},
		"from the cluster": {command: []string{"sh", "-c", "login $(A) $(B) $(C)"}, env: []corev1.EnvVar{ofSecret("x", "y"), field("B", "spec.nodeName"), env("C", "c")}},

		"env takes a line apart": {command: []string{"env", "-S", "bash -c"}, args: []string{"make $(config.Target)"}, err: "containers[0].args[0]: "},
		"in one element of it":   {command: []string{"/usr/bin/env", "-Ssh -c 'make $(config.Target)'"}, err: "containers[0].command[1]: "},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			action := sampleAction(corev1.Container{Name: "work", Image: "work:1", Command: c.command, Args: c.args, Env: c.env})
			action.Spec.Artifacts.Inputs = []v1alpha1.InputArtifact{{Name: "jar", Unpack: v1alpha1.UnpackNever}}
			job := sampleJob()
			job.Spec.InputArtifacts = append(job.Spec.InputArtifacts, v1alpha1.Artifact{Name: "jar"})
			_, built := Build(action, job, v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{AllowReferencesIn: everyPlace})
			for _, err := range []error{Validate(action, everyPlace), built} {
				if c.err == "" {
					g.Expect(err).NotTo(HaveOccurred())
					continue
				}
				g.Expect(err).To(MatchError(ContainSubstring(c.err)))
				g.Expect(errors.As(err, new(*FieldError))).To(BeTrue(), "it is final")
			}
		})
	}
}

// TestScriptsOfOtherContainers uses scripts in an init container and a sidecar.
func TestScriptsOfOtherContainers(t *testing.T) {
	g := NewWithT(t)
	action := sampleAction(step("work", "all"))
	sidecar(corev1.Container{Name: "db", Image: "db:1", Command: []string{"sh", "-c", "serve $(CODEPIPELINE_ACTION)"}})(action)
	g.Expect(Validate(action, nil)).To(MatchError(ContainSubstring("initContainers[0].command[2]: $(CODEPIPELINE_ACTION) must not be in the script")))
	pod(action).InitContainers[0].RestartPolicy = nil
	pod(action).InitContainers[0].Command[2] = "serve $(config.Target)"
	g.Expect(Validate(action, nil)).To(MatchError(ContainSubstring("initContainers[0].command[2]: $(config.Target) must not be in the script")))
}

// TestPipelineMakesAScript uses a pipeline's value as the option that makes the next element a
// script, which is known only for a job.
func TestPipelineMakesAScript(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		env   []corev1.EnvVar
		value string
		err   string
	}{
		"a value that is none":     {args: []string{"$(config.Target)", "$(stage.name)"}, value: "all"},
		"the option":               {args: []string{"$(config.Target)", "$(stage.name)"}, value: "-c", err: "args[1]: $(stage.name) must not be in the script"},
		"a part of it":             {args: []string{"-e$(config.Target)", "$(stage.name)"}, value: "c", err: "args[1]: $(stage.name)"},
		"by a variable":            {args: []string{"$(FLAG)", "$(stage.name)"}, env: []corev1.EnvVar{{Name: "FLAG", Value: "$(config.Target)"}}, value: "-lc", err: "args[1]: $(stage.name)"},
		"by the operator's":        {args: []string{"$(CODEPIPELINE_CONFIG_TARGET)", "$(stage.name)"}, value: "-c", err: "args[1]: $(stage.name)"},
		"a long one":               {args: []string{"$(config.Target)", "$(stage.name)"}, value: "-" + strings.Repeat("e", expandedLength) + "c", err: "args[1]: $(stage.name)"},
		"with the author's script": {args: []string{"$(config.Target)", "make"}, value: "-c"},
		"a dollar is not expanded": {args: []string{"-c", "make"}, value: "$(CODEPIPELINE_STAGE)"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			action, job := sampleAction(corev1.Container{Name: "work", Image: "work:1", Command: []string{"sh"}, Args: c.args, Env: c.env}), sampleJob()
			g.Expect(Validate(action, nil)).To(Succeed(), "the sample is no option")
			job.Spec.Configuration["Target"] = c.value
			_, err := Build(action, job, v1alpha1.Run{Number: 1, JobName: "build-1-1"}, Options{})
			if c.err == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring("containers[0]." + c.err)))
			g.Expect(errors.As(err, new(*FieldError))).To(BeTrue(), "it is final")
		})
	}
}

// TestDefaultMakesAScript uses a default as the option, which is known before there is a job.
func TestDefaultMakesAScript(t *testing.T) {
	action := sampleAction(corev1.Container{Name: "work", Image: "work:1", Command: []string{"sh", "$(config.Flavor|-c)", "$(config.Target)"}})
	NewWithT(t).Expect(Validate(action, nil)).To(MatchError(ContainSubstring("containers[0].command[2]: $(config.Target) must not be in the script")))
}

// TestLargeTemplatesAreCheckedQuickly uses variables that grow exponentially and a long command
// line of options: the author of a template must not be able to block the operator.
func TestLargeTemplatesAreCheckedQuickly(t *testing.T) {
	g := NewWithT(t)
	growing := []corev1.EnvVar{{Name: "V", Value: "xxxxxxxxxx"}}
	for range 20_000 {
		growing = append(growing, corev1.EnvVar{Name: "V", Value: "$(V)$(V)$(V)"})
	}
	action := sampleAction(corev1.Container{Name: "work", Image: "work:1", Command: slices.Repeat([]string{"-c"}, 200_000), Env: growing})
	begin := time.Now()
	g.Expect(Validate(action, nil)).To(Succeed())
	g.Expect(time.Since(begin)).To(BeNumerically("<", 20*time.Second))
}
