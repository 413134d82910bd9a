package runner

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/archive"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// folder creates a folder in the shared volume, as Fetch does for outputs.
func (p *pod) folder(name string) {
	p.t.Helper()
	p.g.Expect(os.MkdirAll(filepath.Join(p.options.Root, name), 0o777)).To(Succeed())
}

// isUploaded reports whether the artifact was uploaded.
func (p *pod) isUploaded(artifact string) bool {
	_, err := p.backend.HeadObject("bucket", "pipe/"+artifact+"/k.zip")
	return err == nil
}

// TestOutputsWithoutAFile has steps that succeed and leave no files, with each policy.
func TestOutputsWithoutAFile(t *testing.T) {
	const logged = `msg="An output artifact is empty: no step left a file in its folder" artifact=docs`
	for name, rule := range map[string]EmptyOutputs{"by default": "", "Warn": EmptyOutputsWarn} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			p.options.EmptyOutputs = rule
			p.hand("KEY", nil, inputs("app", "docs"))
			p.write("output/app/index", "a")
			p.folder("output/docs/html/img")
			p.write("result/summary", "well done")
			p.g.Expect(Report(context.Background(), p.options)).To(Succeed())
			p.g.Expect(p.envelope().Result).To(HaveValue(Equal(podcontract.RunResult{
				Result: podcontract.Result{Summary: "well done"}, EmptyOutputs: []string{"docs"},
			})))
			p.g.Expect(p.unzip("pipe/docs/k.zip")).To(Equal(map[string]string{"html/": "", "html/img/": ""}), "it is uploaded as ever")
			p.g.Expect(p.unzip("pipe/app/k.zip")).To(HaveKey("index"))
			p.g.Expect(p.log.String()).To(ContainSubstring(logged))
		})
	}
	t.Run("Allow", func(t *testing.T) {
		p := newPod(t)
		p.options.EmptyOutputs = EmptyOutputsAllow
		p.hand("KEY", nil, inputs("docs"))
		p.folder("output/docs")
		p.g.Expect(Report(context.Background(), p.options)).To(Succeed())
		p.g.Expect(p.envelope().Result).To(HaveValue(Equal(podcontract.RunResult{})), "nothing is told")
		p.g.Expect(p.unzip("pipe/docs/k.zip")).To(BeEmpty())
		p.g.Expect(p.log.String()).NotTo(ContainSubstring("empty"))
	})
	t.Run("Fail", func(t *testing.T) {
		p := newPod(t)
		p.options.EmptyOutputs = EmptyOutputsFail
		p.hand("KEY", nil, inputs("app", "docs"))
		p.write("output/app/index", "a")
		p.folder("output/docs")
		p.expectFailure(Report(context.Background(), p.options), configurationError,
			`output artifact "docs": there is no file in /codepipeline/output/docs: a step must leave the artifact's files there`,
			"set spec.emptyOutputs of the CustomAction to Warn or Allow")
		p.g.Expect(p.isUploaded("app")).To(BeFalse(), "nothing is uploaded")
		p.g.Expect(p.isUploaded("docs")).To(BeFalse())
		p.g.Expect(p.log.String()).To(ContainSubstring(logged))
	})
	t.Run("Fail, several", func(t *testing.T) {
		p := newPod(t)
		p.options.EmptyOutputs = EmptyOutputsFail
		p.hand("KEY", nil, inputs("app", "docs", "tests"))
		for _, name := range []string{"app", "tests/reports"} {
			p.folder("output/" + name)
		}
		p.write("output/docs/index", "d")
		p.expectFailure(Report(context.Background(), p.options), configurationError,
			`output artifacts "app", "tests": there is no file in /codepipeline/output/app, /codepipeline/output/tests: `)
	})
	t.Run("Fail, none is empty", func(t *testing.T) {
		p := newPod(t)
		p.options.EmptyOutputs = EmptyOutputsFail
		p.hand("KEY", nil, inputs("app"))
		p.write("output/app/.keep", "")
		p.g.Expect(Report(context.Background(), p.options)).To(Succeed())
		p.g.Expect(p.isUploaded("app")).To(BeTrue())
	})
}

// TestRunThatGoesOnMayLeaveOutputsEmpty: outputs are not due until the last run.
func TestRunThatGoesOnMayLeaveOutputsEmpty(t *testing.T) {
	for _, rule := range []EmptyOutputs{EmptyOutputsWarn, EmptyOutputsFail} {
		t.Run(string(rule), func(t *testing.T) {
			p := newPod(t)
			p.options.EmptyOutputs = rule
			p.hand("KEY", nil, inputs("app"))
			p.folder("output/app")
			p.write("result/continuation-token", "later")
			p.g.Expect(Report(context.Background(), p.options)).To(Succeed())
			p.g.Expect(p.envelope().Result).To(HaveValue(Equal(podcontract.RunResult{Result: podcontract.Result{ContinuationToken: "later"}})))
		})
	}
}

// TestWhatElseIsWrongWithAnOutputIsTold: an output that can't be read is not reported as empty.
func TestWhatElseIsWrongWithAnOutputIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*pod)
		says    string
	}{
		"no folder":           {func(*pod) {}, "there is no folder /codepipeline/output/app"},
		"a file in its place": {func(p *pod) { p.write("output/app", "x") }, "/codepipeline/output/app must be a folder"},
		"a link that is refused": {func(p *pod) {
			p.folder("output/app")
			p.g.Expect(os.Symlink("/usr", filepath.Join(p.options.Root, "output/app/usr"))).To(Succeed())
		}, "the link leads out of the folder"},
		"a bad result file": {func(p *pod) {
			p.folder("output/app")
			p.write("result/percent-complete", "lots")
		}, "percent-complete"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			p.options.EmptyOutputs = EmptyOutputsFail
			p.hand("KEY", nil, inputs("app"))
			c.prepare(p)
			p.expectFailure(Report(context.Background(), p.options), configurationError, c.says)
		})
	}
}

// TestAnOutputOfSkippedLinksIsEmpty: the content of the artifact counts.
func TestAnOutputOfSkippedLinksIsEmpty(t *testing.T) {
	p := newPod(t)
	p.options.Links = archive.SkipLinks
	p.hand("KEY", nil, inputs("app"))
	p.folder("output/app")
	p.g.Expect(os.Symlink("/usr", filepath.Join(p.options.Root, "output/app/usr"))).To(Succeed())
	p.g.Expect(Report(context.Background(), p.options)).To(Succeed())
	p.g.Expect(p.envelope().Result.EmptyOutputs).To(Equal([]string{"app"}))
}

// TestEmptyOutputsOfALargeResult: the names are written to the log together with the result.
func TestEmptyOutputsOfALargeResult(t *testing.T) {
	p := newPod(t)
	p.options.EnvelopeLimit = 175 // as in a pod with 67 containers
	p.hand("KEY", nil, inputs("app", "docs"))
	p.folder("output/app")
	p.folder("output/docs")
	p.write("result/output-variables", "K="+strings.Repeat("v", 200))
	p.g.Expect(Report(context.Background(), p.options)).To(Succeed())
	pointer := p.envelope().Log
	p.g.Expect(pointer).NotTo(BeNil())
	given, err := podcontract.ResultFromLog(p.stdout, *pointer)
	p.g.Expect(err).NotTo(HaveOccurred())
	p.g.Expect(given.EmptyOutputs).To(Equal([]string{"app", "docs"}))
	p.g.Expect(given.OutputVariables).To(HaveKey("K"))
}
