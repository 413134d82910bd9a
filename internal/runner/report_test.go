package runner

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/archive"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

func TestReportUploadsAndGivesTheResult(t *testing.T) {
	p := newPod(t)
	p.hand("KEY", nil, inputs("app", "docs"))
	p.write("output/app/bin/run", "#!")
	p.write("output/docs/index", "d")
	p.write("result/summary", "well done")
	p.g.Expect(Report(context.Background(), p.options)).To(Succeed())
	p.g.Expect(p.envelope().Result).To(HaveValue(Equal(podcontract.RunResult{Result: podcontract.Result{Summary: "well done"}})))
	p.g.Expect(p.unzip("pipe/app/k.zip")).To(Equal(map[string]string{"bin/": "", "bin/run": "#!"}))
	p.g.Expect(p.unzip("pipe/docs/k.zip")).To(Equal(map[string]string{"index": "d"}))
	p.g.Expect(p.stdout.Len()).To(BeZero())
}

func TestReportWithoutAnythingGivesAnEmptyResult(t *testing.T) {
	p := newPod(t)
	p.g.Expect(Report(context.Background(), p.options)).To(Succeed())
	p.g.Expect(p.envelope().Result).To(HaveValue(Equal(podcontract.RunResult{})))
}

func TestReportGivesALargeResultThroughStdout(t *testing.T) {
	p := newPod(t)
	value := strings.Repeat("v", 122_879)
	p.write("result/output-variables", "K="+value)
	p.g.Expect(Report(context.Background(), p.options)).To(Succeed())
	pointer := p.envelope().Log
	p.g.Expect(pointer).NotTo(BeNil())
	given, err := podcontract.ResultFromLog(p.stdout, *pointer)
	p.g.Expect(err).NotTo(HaveOccurred())
	p.g.Expect(given.OutputVariables).To(Equal(map[string]string{"K": value}))
}

func TestAContinuedRunMayLackOutputs(t *testing.T) {
	p := newPod(t)
	p.hand("KEY", nil, inputs("app", "docs"))
	p.write("output/docs/index", "d")
	p.write("result/continuation-token", "later")
	p.g.Expect(Report(context.Background(), p.options)).To(Succeed())
	p.g.Expect(p.envelope().Result.ContinuationToken).To(Equal("later"))
	p.g.Expect(p.unzip("pipe/docs/k.zip")).To(HaveKey("index"))
	p.g.Expect(p.backend.HeadObject("bucket", "pipe/app/k.zip")).Error().To(HaveOccurred())
}

func TestReportTellsWhyItFailed(t *testing.T) {
	cases := map[string]struct {
		prepare func(*pod)
		kind    string
		says    []string
	}{
		"no output folder": {func(*pod) {}, configurationError, []string{`output artifact "app"`, "there is no folder /codepipeline/output/app"}},
		"a file in its place": {func(p *pod) { p.write("output/app", "x") }, configurationError,
			[]string{`output artifact "app"`, "/codepipeline/output/app must be a folder"}},
		"a FIFO in it": {func(p *pod) {
			p.write("output/app/x", "")
			p.g.Expect(syscall.Mkfifo(filepath.Join(p.options.Root, "output/app/pipe"), 0o600)).To(Succeed())
		}, configurationError, []string{`entry "pipe"`, "remove it"}},
		"a FIFO in its place": {func(p *pod) {
			p.g.Expect(os.Mkdir(filepath.Join(p.options.Root, "output"), 0o777)).To(Succeed())
			p.g.Expect(syscall.Mkfifo(filepath.Join(p.options.Root, "output/app"), 0o666)).To(Succeed())
		}, configurationError, []string{"/codepipeline/output/app must be a folder"}},
		"a FIFO in place of the result folder": {func(p *pod) {
			p.g.Expect(syscall.Mkfifo(filepath.Join(p.options.Root, "result"), 0o666)).To(Succeed())
		}, configurationError, []string{"the result folder /codepipeline/result", "not a directory"}},
		"a link to the credentials in its place": {func(p *pod) {
			p.write("output/x", "")
			p.g.Expect(os.Symlink(filepath.Dir(p.options.Handover), filepath.Join(p.options.Root, "output/app"))).To(Succeed())
		}, configurationError, []string{"not a file or a symbolic link"}},
		"a link to an input artifact in its place": {func(p *pod) {
			p.write("input/src/x", "")
			p.g.Expect(os.Mkdir(filepath.Join(p.options.Root, "output"), 0o777)).To(Succeed())
			p.g.Expect(os.Symlink("../input/src", filepath.Join(p.options.Root, "output/app"))).To(Succeed())
		}, configurationError, []string{"not a file or a symbolic link", "it is a symbolic link"}},
		"a link to the credentials in place of the result folder": {func(p *pod) {
			p.write("output/app/x", "")
			p.g.Expect(os.Symlink(filepath.Dir(p.options.Handover), filepath.Join(p.options.Root, "result"))).To(Succeed())
		}, configurationError, []string{"the result folder /codepipeline/result"}},
		"a bad result file": {func(p *pod) { p.write("result/percent-complete", "lots") }, configurationError,
			[]string{"the result folder /codepipeline/result: percent-complete:", "whole number"}},
		"denied": {func(p *pod) {
			p.write("output/app/x", "")
			p.answering(func(w http.ResponseWriter, _ *http.Request) bool {
				return s3Error(w, http.StatusForbidden, "AccessDenied")
			})
		}, permissionError, []string{"s3://bucket/pipe/app/k.zip", "the pipeline's role"}},
		"no bucket": {func(p *pod) {
			p.write("output/app/x", "")
			p.answering(func(w http.ResponseWriter, _ *http.Request) bool {
				return s3Error(w, http.StatusNotFound, "NoSuchBucket")
			})
		}, configurationError, []string{"the artifact bucket does not exist", "s3://bucket/"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			p.hand("KEY", nil, inputs("app"))
			c.prepare(p)
			p.expectFailure(Report(context.Background(), p.options), c.kind, c.says...)
		})
	}
}

func TestATerminationLogThatCantBeWrittenIsAnError(t *testing.T) {
	p := newPod(t)
	p.options.TerminationLog = filepath.Join(p.options.Root, "no/such/folder")
	p.g.Expect(Report(context.Background(), p.options)).To(MatchError(ContainSubstring("write the termination message")))
}

func TestStreamGivesTheErrorThatCameFirstAndLeavesNothingRunning(t *testing.T) {
	g := NewWithT(t)
	name := t.TempDir()
	g.Expect(os.WriteFile(filepath.Join(name, "large"), make([]byte, 1<<20), 0o600)).To(Succeed())
	folder, err := os.OpenRoot(name)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(folder.Close()).To(Succeed()) }()
	rules := archive.Rules{Limits: archive.DefaultLimits}
	before := runtime.NumGoroutine()
	down := errors.New("the network is down")
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()

	g.Expect(stream(context.Background(), folder, rules, func(io.Reader) error { return down })).To(MatchError(down))
	g.Expect(stream(context.Background(), folder, rules, func(r io.Reader) error {
		_, _ = r.Read(make([]byte, 10))
		return down
	})).To(MatchError(down))
	g.Expect(stream(cancelled, folder, rules, func(r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})).To(MatchError(context.Canceled))
	g.Expect(stream(context.Background(), folder, rules, func(r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})).To(Succeed())
	g.Eventually(runtime.NumGoroutine, testTimeout).Should(BeNumerically("<=", before))
}
