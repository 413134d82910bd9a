package main

import (
	"bufio"
	"bytes"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// asRunner makes the test binary act as the runner, because signals need a separate process.
const asRunner = "TEST_AS_RUNNER"

func TestMain(m *testing.M) {
	if os.Getenv(asRunner) != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestACommandLineThatCantBeUsed(t *testing.T) {
	const usage = "usage: runner fetch|progress|report [flags]\n"
	cases := map[string]struct {
		args []string
		code int
		says string
	}{
		"no command":                   {nil, 2, usage},
		"an unknown command":           {[]string{"push"}, 2, usage},
		"a flag before the command":    {[]string{"--root=/x", "fetch"}, 2, usage},
		"an unknown flag":              {[]string{"report", "--file=x"}, 2, "flag provided but not defined: -file"},
		"a bad value":                  {[]string{"fetch", "--max-bytes=lots"}, 2, `invalid value "lots"`},
		"a bad link policy":            {[]string{"report", "--links=Follow"}, 2, `invalid value "Follow" for flag -links: it must be Refuse, Skip or Keep`},
		"a bad rule for empty outputs": {[]string{"report", "--empty-outputs=Ignore"}, 2, `invalid value "Ignore" for flag -empty-outputs: it must be Warn, Fail or Allow`},
		"fetch has no outputs":         {[]string{"fetch", "--empty-outputs=Fail"}, 2, "flag provided but not defined: -empty-outputs"},
		"progress has no handover":     {[]string{"progress", "--handover=/x"}, 2, "flag provided but not defined: -handover"},
		"help is no error":             {[]string{"progress", "--help"}, 0, "Usage of runner progress:"},
		"help of fetch has limits":     {[]string{"fetch", "-h"}, 0, "-max-entries"},
		"help of report has renewal":   {[]string{"report", "-h"}, 0, "-renewal"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var stdout, stderr bytes.Buffer
			g.Expect(run(c.args, &stdout, &stderr)).To(Equal(c.code))
			g.Expect(stderr.String()).To(ContainSubstring(c.says))
			g.Expect(stdout.String()).To(BeEmpty())
		})
	}
}

func TestFetchAndReportRun(t *testing.T) {
	g := NewWithT(t)
	root, helpers := t.TempDir(), t.TempDir()
	message := filepath.Join(t.TempDir(), "termination-log")
	args := []string{"--root=" + root, "--termination-log=" + message}
	var stdout, stderr bytes.Buffer
	g.Expect(run(append([]string{"fetch", "--helper=" + os.Args[0], "--helper-dir=" + helpers}, args...), &stdout, &stderr)).To(Equal(0), stderr.String())
	g.Expect(filepath.Join(helpers, "codepipeline")).To(BeAnExistingFile())
	g.Expect(os.WriteFile(filepath.Join(root, "result", "summary"), []byte("done"), 0o600)).To(Succeed())
	g.Expect(run(append([]string{"report"}, args...), &stdout, &stderr)).To(Equal(0), stderr.String())
	g.Expect(os.ReadFile(message)).To(MatchJSON(`{"result":{"summary":"done"}}`))

	g.Expect(os.WriteFile(filepath.Join(root, "result", "note"), nil, 0o600)).To(Succeed())
	g.Expect(run(append([]string{"report"}, args...), &stdout, &stderr)).To(Equal(1))
	g.Expect(stderr.String()).To(ContainSubstring(`note\": not a result file`))
}

func TestProgressStartsAndEndsOnASignal(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(signal.String(), func(t *testing.T) {
			g := NewWithT(t)
			root := t.TempDir()
			g.Expect(os.Mkdir(filepath.Join(root, "result"), 0o777)).To(Succeed())
			g.Expect(os.WriteFile(filepath.Join(root, "result", "percent-complete"), []byte("40\n"), 0o600)).To(Succeed())
			var stderr bytes.Buffer
			message := filepath.Join(t.TempDir(), "termination-log")
			process := exec.Command(os.Args[0], "progress", "--root="+root, "--termination-log="+message)
			process.Env = append(os.Environ(), asRunner+"=1")
			process.Stderr = &stderr
			stdout, err := process.StdoutPipe()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(process.Start()).To(Succeed())
			giveUp := time.AfterFunc(30*time.Second, func() { _ = process.Process.Kill() })
			defer giveUp.Stop()

			line, err := bufio.NewReader(stdout).ReadBytes('\n')
			g.Expect(err).NotTo(HaveOccurred(), "the first line, which comes at once")
			g.Expect(podcontract.LastProgress(bytes.NewReader(line))).To(HaveValue(HaveField("PercentComplete", HaveValue(Equal(int32(40))))))
			g.Expect(process.Process.Signal(signal)).To(Succeed())
			g.Expect(process.Wait()).To(Succeed(), "exit code 0")
			g.Expect(os.ReadFile(message)).To(MatchJSON(`{"progress":{"percentComplete":40}}`))
			g.Expect(stderr.String()).To(BeEmpty())
		})
	}
}

func TestMemoryLimitFollowsTheContainers(t *testing.T) {
	for name, c := range map[string]struct {
		limit uint64
		err   error
		want  int64
	}{
		"the default one": {256 << 20, nil, 192 << 20},
		"a lower one":     {64 << 20, nil, 48 << 20},
		"none":            {math.MaxUint64, nil, 7},
		"not known":       {0, errors.New("no cgroup"), 7},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(memoryLimit(7, func() (uint64, error) { return c.limit, c.err })).To(Equal(c.want))
		})
	}
}
