package integration

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// notRunHere are prefixes of commands in the docs that this test does not run, with the reason. If
// it names a test, that test runs them.
var notRunHere = map[string]string{
	"export ": "it sets variables of the reader's shell",
	"go get github.com/pipelinejob/pipelinejob-operator/emulator": "it downloads this module",
	"go run ./cmd/codepipeline-emulator":                          "it never ends: TestMakeTargets has make run start the program",
	"kubectl -n pipelinejob-system port-forward":                  "there is no kubelet: the end-to-end tests forward ports of both, as TestMetricsAreNotForTenants",
	"curl -k -H":                          "it needs the forwarded port: TestMetricsAreForThoseWithTheRight gets the page with a token",
	"kubeconform ":                        "the tests of hack/schema validate the samples, and objects with errors, as it does",
	"aws codepipeline get-pipeline-state": "TestAWSCommandLine",
	"aws sqs create-queue":                "it is one of three that belong together; the emulator has no EventBridge. TestEventStartsAJobAtOnce makes a queue",
	"aws events ":                         "the emulator has no EventBridge",
	"aws sqs set-queue-attributes":        "it is the permission of EventBridge, which the emulator has not",
}

// docCommand is a command of a page, on one line and without its comment.
type docCommand struct{ page, text string }

var (
	consoleBlock = regexp.MustCompile("(?ms)^( *)```console\n(.*?)^ *```")
	comment      = regexp.MustCompile(`(?m)[ \t]+# .*$`)
)

// docCommands returns the commands in the console blocks of a page.
func docCommands(g *WithT, page string) (commands []docCommand) {
	content, err := os.ReadFile(filepath.Join("../..", page))
	g.Expect(err).NotTo(HaveOccurred())
	for _, block := range consoleBlock.FindAllStringSubmatch(string(content), -1) {
		outdented := strings.ReplaceAll("\n"+block[2], "\n"+block[1], "\n")
		for text := range strings.SplitSeq(outdented, "\n$ ") {
			if text = strings.TrimSpace(comment.ReplaceAllString(text, "")); text != "" {
				commands = append(commands, docCommand{page, text})
			}
		}
	}
	return commands
}

// TestCommandsOfTheDocs runs the commands of the docs in a copy of config/, with a separate API
// server. For make, it only checks that the targets exist, because CI and other tests of this
// package run them.
func TestCommandsOfTheDocs(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/*.md")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for i, page := range pages {
		pages[i] = filepath.Join("docs", filepath.Base(page))
	}
	r := newReader(t)
	excused := map[string]bool{}
	for _, page := range append([]string{"README.md", "CONTRIBUTING.md", "hack/cluster/README.md"}, pages...) {
		r.startPage()
		for _, command := range docCommands(r.WithT, page) {
			r.follow(command, excused)
		}
	}
	for beginning := range notRunHere {
		if !excused[beginning] {
			t.Errorf("no page has the command %q any longer: remove it from the exceptions", beginning)
		}
	}
}

// reader runs the commands of the docs.
type reader struct {
	*workshop
	folder string
	// pages is the kubeconfig of the commands.
	pages string
}

func newReader(t *testing.T) *reader {
	r := &reader{workshop: newWorkshop(t), folder: t.TempDir()}
	r.pages = filepath.Join(r.folder, "kubeconfig")
	r.Expect(os.CopyFS(filepath.Join(r.folder, "config"), os.DirFS("../../config"))).To(Succeed())
	sample, err := os.ReadFile("../../config/samples/build.yaml")
	r.Expect(err).NotTo(HaveOccurred())
	r.Expect(os.WriteFile(filepath.Join(r.folder, "action.yaml"), sample, 0o600)).To(Succeed())
	r.Expect(os.Mkdir(filepath.Join(r.folder, "deploy"), 0o750)).To(Succeed())
	overlay := "resources: [../config/default]\nimages:\n- {name: " + placeholder + ", newName: registry.example.com/pipelinejob-operator, newTag: v1}\n"
	r.Expect(os.WriteFile(filepath.Join(r.folder, "deploy", "kustomization.yaml"), []byte(overlay), 0o600)).To(Succeed())
	r.mustMake("install")
	for _, name := range []string{"pipelines", "team-web", "monitoring"} {
		r.Expect(r.kube.Create(r.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
	}
	r.Expect(r.kube.Create(r.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "prometheus", Namespace: "monitoring"}})).To(Succeed())
	action := harness.NewAction("pipelines")
	r.await(func(g Gomega) { g.Expect(r.kube.Create(r.ctx, action)).To(Succeed()) }) // the CRD may not be served yet
	action.Status.ObservedGeneration = action.Generation                             // no jobs in flight
	r.Expect(r.kube.Status().Update(r.ctx, action)).To(Succeed())
	r.finishedJob()
	return r
}

// startPage restores the kubeconfig, which commands of a page may change.
func (r *reader) startPage() {
	content, err := os.ReadFile(r.kubeconfig)
	r.Expect(err).NotTo(HaveOccurred())
	r.Expect(os.WriteFile(r.pages, content, 0o600)).To(Succeed())
}

// finishedJob creates the PipelineJob for NAME in commands.
func (r *reader) finishedJob() {
	job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Name: "name", Namespace: "default"}}
	job.Spec.ActionRef.Name = "work"
	job.Spec.AccountRef, job.Spec.Region = harness.NewAction("default").Spec.AccountRef, "us-east-1"
	job.Spec.CodePipelineJob = v1alpha1.CodePipelineJob{ID: "00000000-0000-4000-8000-000000000001", Nonce: "1"}
	r.await(func(g Gomega) { g.Expect(r.kube.Create(r.ctx, job)).To(Succeed()) })
	job.Status.FinishedAt = &metav1.Time{Time: job.CreationTimestamp.Time}
	job.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionComplete, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSucceeded, LastTransitionTime: job.CreationTimestamp}}
	r.Expect(r.kube.Status().Update(r.ctx, job)).To(Succeed())
}

// follow runs a command, or records the exception that applies to it.
func (r *reader) follow(command docCommand, excused map[string]bool) {
	r.t.Helper()
	for beginning := range notRunHere {
		if strings.HasPrefix(command.text, beginning) {
			excused[beginning] = true
			return
		}
	}
	for _, name := range []string{"make", "kubectl", "cp", "sed"} {
		if regexp.MustCompile(`^([A-Z]+=\S+ )*` + name + ` `).MatchString(command.text) {
			r.run(name, command)
			return
		}
	}
	r.t.Errorf("%s: no test runs %q: have this one run it, or give the reason in notRunHere", command.page, command.text)
}

func (r *reader) run(program string, command docCommand) {
	r.t.Helper()
	script := strings.NewReplacer("cpjob/NAME", "cpjob/name", "CLUSTER ", "envtest ", "REGISTRY", "registry.example.com", "TAG", "v1").Replace(command.text)
	ctx, cancel := context.WithTimeout(r.ctx, harness.Timeout)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script) //nolint:gosec // the docs' own commands
	shell.Dir = r.folder
	if program == "make" {
		shell.Dir = "../.."
		shell.Args[len(shell.Args)-1] = strings.Replace(script, "make ", "make -n BIN="+r.bin+" ", 1)
	}
	shell.Env = append(os.Environ(), "KUBECONFIG="+r.pages, "MAKEFLAGS=", "PATH="+os.Getenv("KUBEBUILDER_ASSETS")+":"+os.Getenv("PATH"))
	var output bytes.Buffer
	shell.Stdout, shell.Stderr = &output, &output
	if err := shell.Run(); err != nil {
		r.t.Errorf("%s: %s: %v\n%s", command.page, command.text, err, output.String())
	}
}
