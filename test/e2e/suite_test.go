//go:build e2e

// Package e2e runs the operator like its users do: with the demo's program, on a real Kubernetes
// with real containers. See the target test-e2e of the Makefile.
package e2e

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

const (
	namespace   = "pipelines"
	testTimeout = 4 * time.Minute
)

// suite is a cluster with the demo.
type suite struct {
	*WithT
	t    *testing.T
	ctx  context.Context
	url  string // of the emulator
	aws  *codepipeline.Client
	objs *s3.Client
}

func newSuite(t *testing.T) *suite {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // the context of t ends before the cleanup
	t.Cleanup(cancel)
	return &suite{WithT: NewWithT(t), t: t, ctx: ctx}
}

// demo runs the demo and returns its output.
func (s *suite) demo(flags ...string) (output string, err error) {
	program := os.Getenv("DEMO")
	s.Expect(program).NotTo(BeEmpty(), "$DEMO must name the demo's program: use 'make test-e2e'")
	root, err := filepath.Abs("../..")
	s.Expect(err).NotTo(HaveOccurred())
	out, err := exec.CommandContext(s.ctx, program, append(flags, "--root="+root)...).CombinedOutput()
	s.t.Logf("demo %v:\n%s", flags, out)
	installed = installed || err == nil
	return string(out), err
}

// installed reports whether the demo was run and the emulator was not restarted since.
var installed bool

// install runs the demo unless an earlier test has.
func (s *suite) install() {
	s.t.Helper()
	if installed {
		return
	}
	_, err := s.demo()
	s.Expect(err).NotTo(HaveOccurred())
}

func (s *suite) kubectl(args ...string) string {
	s.t.Helper()
	out, err := s.tryKubectl("", args...)
	s.Expect(err).NotTo(HaveOccurred(), out)
	return out
}

// tryKubectl runs kubectl with standard input and returns its output.
func (s *suite) tryKubectl(input string, args ...string) (string, error) {
	cmd := exec.CommandContext(s.ctx, "kubectl", args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// connect forwards a port to the emulator and creates AWS clients for it.
func (s *suite) connect() {
	s.t.Helper()
	s.url = "http://" + s.forward("codepipeline-emulator", "4566")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": s.url, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "emulator", "AWS_SECRET_ACCESS_KEY": "emulator",
	} {
		s.t.Setenv(name, value)
	}
	cfg, err := config.LoadDefaultConfig(s.ctx)
	s.Expect(err).NotTo(HaveOccurred())
	s.aws, s.objs = codepipeline.NewFromConfig(cfg), s3.NewFromConfig(cfg)
}

// forward forwards a port to a deployment in the operator's namespace until the test ends, and
// returns the local address.
func (s *suite) forward(deployment, port string) (address string) {
	s.t.Helper()
	cmd := exec.Command("kubectl", "-n", "pipelinejob-system", "port-forward", "deployment/"+deployment, ":"+port)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(cmd.Start()).To(Succeed())
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	s.Expect(err).NotTo(HaveOccurred(), errs.String())
	// Forwarding from 127.0.0.1:PORT -> 4566
	address, _, _ = strings.Cut(strings.TrimPrefix(line, "Forwarding from "), " ")
	return address
}

// call is a call in the emulator's journal.
type call struct {
	Operation string
	Error     string
	Request   struct{ JobID string }
}

func (s *suite) journal() []call {
	response, err := http.Get(s.url + "/_emulator/journal")
	s.Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	var calls []call
	s.Expect(json.NewDecoder(response.Body).Decode(&calls)).To(Succeed())
	return calls
}

// start starts a pipeline and returns the execution's ID.
func (s *suite) start(pipeline string) string {
	out, err := s.aws.StartPipelineExecution(s.ctx, &codepipeline.StartPipelineExecutionInput{Name: &pipeline})
	s.Expect(err).NotTo(HaveOccurred())
	return *out.PipelineExecutionId
}

// custom returns an action of the type that the CustomAction with this name registers.
func custom(category types.ActionCategory, name string) pipeline.Action {
	return pipeline.NewAction(name, pipeline.CustomType(category, "E2E-"+name, "1"))
}

// startPipeline replaces the declaration of a pipeline and starts it. Its sources are objects in
// demo-artifacts, by the name of their action and artifact. The actions run in parallel.
func (s *suite) startPipeline(name string, objects map[string]string, actions ...pipeline.Action) (execution string) {
	s.t.Helper()
	const bucket = "demo-artifacts"
	var sources []pipeline.Action
	for artifact, key := range objects {
		sources = append(sources, pipeline.S3Source(artifact, bucket, key).Outputs(artifact))
	}
	_, err := s.aws.DeletePipeline(s.ctx, &codepipeline.DeletePipelineInput{Name: &name}) // left by an earlier run
	s.Expect(err).NotTo(HaveOccurred())
	_, err = s.aws.CreatePipeline(s.ctx, pipeline.New(name, bucket).Stage("Source", sources...).Stage("Work", actions...).CreateInput())
	s.Expect(err).NotTo(HaveOccurred())
	return s.start(name)
}

// put stores an object as a source.
func (s *suite) put(key string, content []byte) {
	s.t.Helper()
	_, err := s.objs.PutObject(s.ctx, &s3.PutObjectInput{Bucket: aws.String("demo-artifacts"), Key: &key, Body: bytes.NewReader(content)})
	s.Expect(err).NotTo(HaveOccurred())
}

// actionOf returns an action of an execution with its input and output.
func (s *suite) actionOf(pipeline, execution, name string) types.ActionExecutionDetail {
	s.t.Helper()
	listed, err := s.aws.ListActionExecutions(s.ctx, &codepipeline.ListActionExecutionsInput{
		PipelineName: &pipeline, Filter: &types.ActionExecutionFilter{PipelineExecutionId: &execution},
	})
	s.Expect(err).NotTo(HaveOccurred())
	at := slices.IndexFunc(listed.ActionExecutionDetails, func(a types.ActionExecutionDetail) bool { return *a.ActionName == name })
	s.Expect(at).NotTo(Equal(-1), "action %s is not in the list", name)
	return listed.ActionExecutionDetails[at]
}

// archiveAt reads an artifact.
func (s *suite) archiveAt(place *types.S3Location) *zip.Reader {
	s.t.Helper()
	object, err := s.objs.GetObject(s.ctx, &s3.GetObjectInput{Bucket: place.Bucket, Key: place.Key})
	s.Expect(err).NotTo(HaveOccurred())
	content, err := io.ReadAll(object.Body)
	s.Expect(err).NotTo(HaveOccurred())
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	s.Expect(err).NotTo(HaveOccurred())
	return archive
}

// fileOf reads a file of an artifact.
func (s *suite) fileOf(archive *zip.Reader, name string) string {
	s.t.Helper()
	file, err := archive.Open(name)
	s.Expect(err).NotTo(HaveOccurred())
	content, err := io.ReadAll(file)
	s.Expect(err).NotTo(HaveOccurred())
	return string(content)
}

// ended waits until an execution has ended.
func (s *suite) ended(pipeline, execution string) types.PipelineExecutionStatus {
	s.t.Helper()
	var status types.PipelineExecutionStatus
	s.eventually(func(g Gomega) {
		out, err := s.aws.GetPipelineExecution(s.ctx, &codepipeline.GetPipelineExecutionInput{
			PipelineName: &pipeline, PipelineExecutionId: &execution,
		})
		g.Expect(err).NotTo(HaveOccurred())
		status = out.PipelineExecution.Status
		g.Expect(status).NotTo(Equal(types.PipelineExecutionStatusInProgress))
	})
	return status
}

func (s *suite) eventually(check func(Gomega)) {
	s.t.Helper()
	s.Eventually(check).WithTimeout(testTimeout).WithPolling(100 * time.Millisecond).Should(Succeed())
}

// pipelineJobs returns the PipelineJobs of an execution, by action.
func (s *suite) pipelineJobs(g Gomega, execution string) map[string]v1alpha1.PipelineJob {
	out, err := s.tryKubectl("", "-n", namespace, "get", "pipelinejobs", "-o", "json")
	g.Expect(err).NotTo(HaveOccurred(), out)
	var list v1alpha1.PipelineJobList
	g.Expect(json.Unmarshal([]byte(out), &list)).To(Succeed())
	jobs := map[string]v1alpha1.PipelineJob{}
	for _, job := range list.Items {
		if job.Spec.Pipeline.ExecutionID == execution {
			jobs[job.Spec.Pipeline.Action] = job
		}
	}
	return jobs
}

// kubernetesJobs returns the Kubernetes Jobs of a PipelineJob.
func (s *suite) kubernetesJobs(pipelineJob string) []batchv1.Job {
	var list batchv1.JobList
	out := s.kubectl("-n", namespace, "get", "jobs", "-l", v1alpha1.LabelPipelineJob+"="+pipelineJob, "-o", "json")
	s.Expect(json.Unmarshal([]byte(out), &list)).To(Succeed())
	return list.Items
}
