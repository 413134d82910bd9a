package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// following is a pod whose progress is checked step by step.
type following struct {
	t        testing.TB
	g        Gomega
	root     string
	clock    *clocktesting.FakeClock
	stdout   *bytes.Buffer
	log      *bytes.Buffer
	follower *follower
}

func newFollowing(t testing.TB) *following {
	t.Helper()
	f := &following{
		t: t, g: NewWithT(t), root: t.TempDir(), stdout: &bytes.Buffer{}, log: &bytes.Buffer{},
		clock: clocktesting.NewFakeClock(time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)),
	}
	f.follower = &follower{options: Options{
		Root: f.root, Stdout: f.stdout, Clock: f.clock, Log: slog.New(slog.NewTextHandler(f.log, nil)),
		TerminationLog: filepath.Join(t.TempDir(), "termination-log"), EnvelopeLimit: 200,
	}}
	t.Cleanup(f.follower.watcher.close)
	return f
}

// shell runs a script in the result folder, as a step would. Its writes get a later file time than
// all writes before.
func (f *following) shell(script string) {
	f.t.Helper()
	f.awaitFileTime()
	command := exec.Command("sh", "-ec", script)
	command.Dir = filepath.Join(f.root, "result")
	output, err := command.CombinedOutput()
	f.g.Expect(err).NotTo(HaveOccurred(), string(output))
}

// awaitFileTime waits until writes get a new file time: file times advance every few milliseconds.
func (f *following) awaitFileTime() {
	f.t.Helper()
	probe := filepath.Join(f.t.TempDir(), "probe")
	written := func() time.Time {
		f.g.Expect(os.WriteFile(probe, nil, 0o600)).To(Succeed())
		info, err := os.Stat(probe)
		f.g.Expect(err).NotTo(HaveOccurred())
		return info.ModTime()
	}
	before := written()
	f.g.Eventually(func() bool { return written().After(before) }, testTimeout, time.Millisecond).Should(BeTrue())
}

func (f *following) makeFolder() {
	f.t.Helper()
	f.g.Expect(os.Mkdir(filepath.Join(f.root, "result"), 0o777)).To(Succeed())
}

// look runs one check, as on a tick, and returns the new lines.
func (f *following) look() []string {
	f.t.Helper()
	f.stdout.Reset()
	f.clock.Step(checkInterval)
	f.g.Expect(f.follower.check()).To(Succeed())
	return linesIn(f.stdout.String())
}

// looks runs checks until there is nothing new, and returns the lines.
func (f *following) looks() []string {
	f.t.Helper()
	return append(append(f.look(), f.look()...), f.look()...)
}

func linesIn(log string) []string {
	var lines []string
	for line := range strings.Lines(log) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines
}

func said(format string, args ...any) string {
	return "codepipeline-progress " + fmt.Sprintf(format, args...)
}

// TestProgressLeavesWhatWasSaidLast: a step writes its summary and fails, and the kubelet ends the
// container immediately.
func TestProgressLeavesWhatWasSaidLast(t *testing.T) {
	f := newFollowing(t)
	message := func() string {
		content, err := os.ReadFile(f.follower.options.TerminationLog)
		f.g.Expect(err).NotTo(HaveOccurred())
		return string(content)
	}
	f.makeFolder()
	f.g.Expect(f.looks()).To(BeEmpty())
	f.g.Expect(f.follower.options.TerminationLog).NotTo(BeAnExistingFile())
	f.shell("echo compiling > summary")
	f.looks()
	f.g.Expect(message()).To(MatchJSON(`{"progress":{"summary":"compiling"}}`), "the container may be killed at any time")
	f.shell("echo 3 of 120 tests failed > summary; echo 398 > external-execution-id")
	f.g.Expect(f.follower.finish()).To(Succeed())
	f.g.Expect(message()).To(MatchJSON(`{"progress":{"summary":"3 of 120 tests failed","externalExecutionId":"398"}}`))
	f.shell("head -c 500 /dev/zero | tr '\\0' x > summary")
	f.g.Expect(f.follower.finish()).To(Succeed())
	f.g.Expect(len(message())).To(BeNumerically("<=", 200), "the kubelet's limit")
	envelope, err := podcontract.ParseEnvelope(message())
	f.g.Expect(err).NotTo(HaveOccurred())
	f.g.Expect(envelope.Progress.Summary).To(HaveSuffix("x…"))
	f.g.Expect(envelope.Progress.ExternalExecutionID).To(Equal("398"))
}

func TestProgressTellsWhatStepsWrite(t *testing.T) {
	f := newFollowing(t)
	f.makeFolder()
	f.g.Expect(f.looks()).To(BeEmpty())
	steps := []struct{ script, want string }{
		{"echo 0 > percent-complete", `{"percentComplete":0}`},
		{"echo 40 > percent-complete", `{"percentComplete":40}`},
		{"touch percent-complete; echo 40 > percent-complete", ""},
		{": > percent-complete", ""},
		{"printf 6 > percent-complete", `{"percentComplete":6}`},
		{"touch -r percent-complete ../before; printf 5 > percent-complete; touch -r ../before percent-complete", `{"percentComplete":5}`},
		{"printf 6 > percent-complete", `{"percentComplete":6}`},
		{"printf 0 >> percent-complete", `{"percentComplete":60}`},
		{"echo ninety > percent-complete", ""},
		{"echo 12 tests passed > summary; echo build/7 > external-execution-id",
			`{"percentComplete":60,"summary":"12 tests passed","externalExecutionId":"build/7"}`},
		{"printf '\\303' > summary", ""},
		{"printf '\\274 done' >> summary", `{"percentComplete":60,"summary":"ü done","externalExecutionId":"build/7"}`},
		{"rm summary", ""},
		{"echo all passed > .next; mv .next summary", `{"percentComplete":60,"summary":"all passed","externalExecutionId":"build/7"}`},
		{"chmod 600 summary; echo A=1 > output-variables; echo x > unknown; mkdir sub", ""},
		{"rm *-* summary; echo '{\"percentComplete\":70,' > result.json", ""},
		{"echo '\"summary\":\"from JSON\"}' >> result.json", `{"percentComplete":70,"summary":"from JSON","externalExecutionId":"build/7"}`},
		{"rm result.json; cd ..; mv result old; mkdir result; echo 80 > result/percent-complete", `{"percentComplete":80,"summary":"from JSON","externalExecutionId":"build/7"}`},
		{"cd ..; rm -r result", ""},
	}
	for _, step := range steps {
		f.shell(step.script)
		want := []string{}
		if step.want != "" {
			want = append(want, said("%s", step.want))
		}
		f.g.Expect(f.looks()).To(ConsistOf(want), step.script)
	}
	f.makeFolder()
	f.shell("echo 100 > percent-complete")
	f.g.Expect(f.looks()).To(ConsistOf(said(`{"percentComplete":100,"summary":"from JSON","externalExecutionId":"build/7"}`)))
	f.g.Expect(f.log.String()).To(BeEmpty())
}

func TestProgressSeesAWriteThatLeavesNoTrace(t *testing.T) {
	f := newFollowing(t)
	f.makeFolder()
	f.shell("echo 41 > percent-complete")
	f.g.Expect(f.look()).To(ConsistOf(said(`{"percentComplete":41}`)))
	// As if the write came within the same tick of the kernel's clock: size and times are
	// unchanged.
	f.shell("echo 42 > percent-complete")
	for i := range f.follower.watcher.files {
		h := &f.follower.watcher.files[i]
		h.stamp = stampOf(h.file)
	}
	f.g.Expect(append(f.look(), f.look()...)).To(ConsistOf(said(`{"percentComplete":42}`)))
}

func TestProgressWritesAtMostALineASecond(t *testing.T) {
	f := newFollowing(t)
	f.makeFolder()
	var lines []string
	last := ""
	const seconds = 20
	for i := range 2 * seconds {
		last = fmt.Sprintf("step %d", i)
		f.shell("echo " + last + " > summary")
		lines = append(lines, f.look()...)
		f.g.Expect(f.follower.check()).To(Succeed()) // one check more than needed
	}
	f.g.Expect(lines).To(HaveLen(seconds))
	f.g.Expect(f.look()).To(ConsistOf(said(`{"summary":%q}`, last)), "the last change is told, though late")
	f.g.Expect(f.looks()).To(BeEmpty())
}

func TestProgressDoesNothingWhileNothingChanges(t *testing.T) {
	f := newFollowing(t)
	f.makeFolder()
	f.shell("echo 40 > percent-complete; echo s > summary; echo e > external-execution-id; echo {} > result.json")
	f.g.Expect(f.looks()).To(HaveLen(1))
	// Opening or reading a file would allocate.
	allocations := testing.AllocsPerRun(100, func() {
		f.clock.Step(checkInterval)
		if err := f.follower.check(); err != nil {
			t.Fatal(err)
		}
	})
	f.g.Expect(allocations).To(BeZero())
	f.g.Expect(f.follower.watcher.files).To(HaveLen(5), "the folder and its files")
}

func BenchmarkProgressWhileNothingChanges(b *testing.B) {
	f := newFollowing(b)
	f.makeFolder()
	f.shell("echo 40 > percent-complete; echo s > summary; echo e > external-execution-id")
	f.looks()
	b.ReportAllocs()
	for b.Loop() {
		if err := f.follower.check(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestProgressLeavesNoFileOpen(t *testing.T) {
	f := newFollowing(t)
	f.makeFolder()
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		f.g.Expect(err).NotTo(HaveOccurred())
		return len(entries)
	}
	f.shell("echo 1 > percent-complete; echo s > summary; mkdir external-execution-id; mkfifo result.json")
	f.looks()
	before := open()
	for i := range 20 {
		f.shell(fmt.Sprintf("echo %d > percent-complete", i))
		f.look()
	}
	f.g.Expect(open()).To(BeNumerically("<=", before))
}

func TestProgressPassesOverWhatIsNoRegularFile(t *testing.T) {
	f := newFollowing(t)
	f.makeFolder()
	secret := filepath.Join(t.TempDir(), "secret")
	f.g.Expect(os.WriteFile(secret, []byte(secretKey), 0o600)).To(Succeed())
	f.shell("mkfifo percent-complete; mkdir external-execution-id; echo inside > other; ln -s " + secret + " summary; ln -s other result.json")
	f.g.Expect(f.looks()).To(BeEmpty())
	f.shell("rm summary; ln -s other summary")
	f.g.Expect(f.looks()).To(BeEmpty())
	f.shell("rm -r *; echo 40 > percent-complete")
	f.g.Expect(f.looks()).To(ConsistOf(said(`{"percentComplete":40}`)))
	f.g.Expect(f.log.String()).To(BeEmpty())
}

func TestProgressStaysInTheSharedVolume(t *testing.T) {
	f := newFollowing(t)
	elsewhere := t.TempDir()
	f.g.Expect(os.WriteFile(filepath.Join(elsewhere, "summary"), []byte(secretKey), 0o600)).To(Succeed())
	f.g.Expect(os.Symlink(elsewhere, filepath.Join(f.root, "result"))).To(Succeed())
	f.g.Expect(f.looks()).To(BeEmpty())
	f.g.Expect(linesIn(f.log.String())).To(HaveLen(1), "one warning is enough")
	f.g.Expect(f.log.String()).To(ContainSubstring("/codepipeline/result"))
	f.g.Expect(os.Remove(filepath.Join(f.root, "result"))).To(Succeed())
	f.makeFolder()
	f.shell("echo 40 > percent-complete")
	f.g.Expect(f.looks()).To(ConsistOf(said(`{"percentComplete":40}`)))
}

func TestProgressReadsLaterWhatCantBeReadNow(t *testing.T) {
	if os.Geteuid() == 0 { // root can read every file
		runAsOther(t)
		return
	}
	f := newFollowing(t)
	f.makeFolder()
	f.shell("echo 40 > percent-complete; echo s > summary; chmod 0 summary")
	f.g.Expect(f.looks()).To(ConsistOf(said(`{"percentComplete":40}`)))
	f.g.Expect(linesIn(f.log.String())).To(ConsistOf(ContainSubstring("summary: ")))
	f.shell("chmod 644 summary")
	f.g.Expect(f.looks()).To(ConsistOf(said(`{"percentComplete":40,"summary":"s"}`)))
}

// runAsOther runs this test again as an unprivileged user.
func runAsOther(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	folder := t.TempDir()
	g.Expect(os.Chmod(filepath.Dir(folder), 0o755)).To(Succeed())
	g.Expect(os.Chmod(folder, 0o777)).To(Succeed())
	program, err := os.ReadFile("/proc/self/exe")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(filepath.Join(folder, "tests"), program, 0o755)).To(Succeed())
	command := exec.Command(filepath.Join(folder, "tests"), "-test.v", "-test.run=^"+t.Name()+"$")
	command.Dir = folder
	command.Env = []string{"TMPDIR=" + folder, "PATH=" + os.Getenv("PATH")}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	output, err := command.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(output))
	g.Expect(string(output)).To(ContainSubstring("--- PASS: " + t.Name()))
}

func TestProgressEndsWhenNobodyCanBeTold(t *testing.T) {
	f := newFollowing(t)
	f.makeFolder()
	f.shell("echo 40 > percent-complete")
	f.follower.options.Stdout = brokenPipe{}
	f.g.Expect(f.follower.check()).To(MatchError(ContainSubstring("write the progress: broken pipe")))
	f.g.Expect(Progress(context.Background(), f.follower.options)).To(HaveOccurred())
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestProgressFollowsUntilTheContextEnds(t *testing.T) {
	f := newFollowing(t)
	stdout := &syncBuffer{}
	f.follower.options.Stdout = stdout
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- Progress(ctx, f.follower.options) }()
	f.g.Eventually(f.clock.HasWaiters, testTimeout).Should(BeTrue())

	expectLast := func(want string) {
		t.Helper()
		f.g.Eventually(func() (*podcontract.Progress, error) {
			f.clock.Step(checkInterval)
			return podcontract.LastProgress(strings.NewReader(stdout.String()))
		}, testTimeout, time.Millisecond).Should(HaveValue(HaveField("Summary", want)))
	}
	f.makeFolder()
	f.shell("echo compiling > summary")
	expectLast("compiling")
	f.shell("echo testing > summary")
	expectLast("testing")
	f.g.Expect(linesIn(stdout.String())).To(Equal([]string{said(`{"summary":"compiling"}`), said(`{"summary":"testing"}`)}))

	cancel() // without another tick
	f.g.Eventually(ended, testTimeout).Should(Receive(Not(HaveOccurred())))
}
