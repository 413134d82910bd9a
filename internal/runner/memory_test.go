//go:build !race

package runner

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/internal/s3store"
	"github.com/pipelinejob/pipelinejob-operator/test/needs"
)

// These tests run the program itself, on artifacts that would take minutes with the
// race detector. "make test-unit" runs them without it.

// maxMemory, in MiB, is above the runner's peak memory for artifacts of any size, and below the
// size of the artifacts in these tests. On a busy machine, the garbage collector is late and the
// peak is higher than the 60 MiB in docs/.
const maxMemory = 96

// bucketOnDisk implements the S3 calls of the AWS CLI and the runner. The emulator keeps its
// objects in memory, and would be slower than both.
type bucketOnDisk struct{ folder string }

func (b bucketOnDisk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file := filepath.Join(b.folder, filepath.Base(r.URL.Path))
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && query.Has("uploads"):
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
	case r.Method == http.MethodPost:
		fmt.Fprintf(w, `<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>`)
	case r.Method == http.MethodPut:
		number, _ := strconv.ParseInt(query.Get("partNumber"), 10, 64)
		if err := storePart(file, max(number-1, 0)*uploadPartSize, r); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("ETag", `"e"`)
	default:
		w.Header().Set("ETag", `"e"`)
		http.ServeFile(w, r, file)
	}
}

// uploadPartSize is the part size of uploads by the runner and the CLI.
const uploadPartSize = s3store.MaxUploadSize / 10_000

// storePart writes a part of an upload.
func storePart(name string, at int64, r *http.Request) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	var body io.Reader = r.Body
	if strings.Contains(r.Header.Get("Content-Encoding"), "aws-chunked") {
		body = &chunked{from: bufio.NewReader(r.Body)}
	}
	if _, err := io.Copy(io.NewOffsetWriter(file, at), body); err != nil {
		return err
	}
	return file.Close()
}

// chunked reads a body in aws-chunked encoding: each chunk follows a line with its size.
type chunked struct {
	from *bufio.Reader
	left int64
}

func (c *chunked) Read(p []byte) (int, error) {
	for c.left == 0 {
		line, err := c.from.ReadString('\n')
		if err != nil {
			return 0, err
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		if size == "" {
			continue // the line break after a chunk
		}
		if c.left, err = strconv.ParseInt(size, 16, 64); err != nil || c.left == 0 {
			return 0, io.EOF
		}
	}
	n, err := c.from.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// words compress like logs and source code.
var words = strings.Fields("pipeline artifact the of job error return func step 127.0.0.1 INFO WARN build/output {} () := <div class=")

// fill creates a file. Its content repeats at a distance beyond the window of zip's compression
// methods.
func fill(g Gomega, name string, random *rand.Rand, size int, compressible bool) {
	var piece []byte
	for len(piece) < min(size, 1<<20) {
		if compressible {
			piece = fmt.Appendf(piece, "%s %x ", words[random.IntN(len(words))], random.IntN(1<<12))
		} else {
			piece = binary.LittleEndian.AppendUint64(piece, random.Uint64())
		}
	}
	file, err := os.Create(name)
	g.Expect(err).NotTo(HaveOccurred())
	for left := size; left > 0; left -= len(piece) {
		_, err = file.Write(piece[:min(left, len(piece))])
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(file.Close()).To(Succeed())
}

type cost struct {
	wall time.Duration
	// rss is the peak memory of the process, in MiB.
	rss int64
}

// peakFile is the environment variable that makes this program run a command and write its peak
// memory, in KiB, to a file. A direct child of the test process would start with that process's
// peak.
const peakFile = "TEST_PEAK_FILE"

func TestMain(m *testing.M) {
	file, measures := os.LookupEnv(peakFile)
	if !measures {
		os.Exit(m.Run())
	}
	if err := measurePeak(file, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func measurePeak(file string, command []string) error {
	if err := os.Unsetenv(peakFile); err != nil {
		return err
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	return os.WriteFile(file, []byte(strconv.FormatInt(peak, 10)), 0o600)
}

func run(g Gomega, folder string, command ...string) cost {
	peak, err := os.CreateTemp("", "peak-*")
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(errors.Join(peak.Close(), os.Remove(peak.Name()))).To(Succeed()) }()
	cmd := exec.Command("/proc/self/exe", command...)
	cmd.Env = append(os.Environ(), peakFile+"="+peak.Name())
	cmd.Dir = folder
	var told strings.Builder
	cmd.Stderr = &told
	began := time.Now()
	err = cmd.Run()
	took := time.Since(began)
	g.Expect(err).NotTo(HaveOccurred(), told.String)
	size, err := io.ReadAll(peak)
	g.Expect(err).NotTo(HaveOccurred())
	rss, err := strconv.ParseInt(string(size), 10, 64)
	g.Expect(err).NotTo(HaveOccurred())
	return cost{took, rss >> 10}
}

// buildRunner builds the runner as for its image.
func buildRunner(g Gomega, folder string) string {
	program := filepath.Join(folder, "runner")
	run(g, ".", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "../../cmd/runner")
	return program
}

// workshop runs the runner's program on artifacts in a bucket.
type workshop struct {
	*WithT
	runner, base string
	// tree is the folder of the output artifact app.
	tree string
}

func newWorkshop(t *testing.T, runner string) *workshop {
	w := &workshop{NewWithT(t), runner, t.TempDir(), ""}
	bucket := filepath.Join(w.base, "bucket")
	w.tree = filepath.Join(w.base, "shared", "output", "app")
	for _, folder := range []string{bucket, w.tree} {
		w.Expect(os.MkdirAll(folder, 0o777)).To(Succeed())
	}
	server := httptest.NewServer(bucketOnDisk{bucket})
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_DEFAULT_REGION", "eu-west-1")
	return w
}

// of returns the workshop for a subtest.
func (w workshop) of(t *testing.T) *workshop {
	w.WithT = NewWithT(t)
	return &w
}

// hand writes a handover with these objects as input artifacts, and with the object of the output
// artifact.
func (w *workshop) hand(inputs []string, output string) {
	handover := podcontract.Handover{
		Region: "eu-west-1", OutputArtifacts: []podcontract.Artifact{{Name: "app", Bucket: "bucket", ObjectKey: output}},
		Credentials: podcontract.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"},
	}
	for _, key := range inputs {
		handover.InputArtifacts = append(handover.InputArtifacts, podcontract.Artifact{Name: key, Bucket: "bucket", ObjectKey: key})
	}
	content, err := json.Marshal(handover)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(os.WriteFile(filepath.Join(w.base, "handover"), content, 0o600)).To(Succeed())
}

func (w *workshop) input(name string) string { return filepath.Join(w.base, "shared", "input", name) }

func (w *workshop) command(name string) []string {
	command := []string{w.runner, name, "--root=" + filepath.Join(w.base, "shared"),
		"--handover=" + filepath.Join(w.base, "handover"), "--termination-log=" + filepath.Join(w.base, "log")}
	if name == "fetch" {
		command = append(command, "--helper=")
	}
	return command
}

func TestMemoryDoesNotGrowWithArtifacts(t *testing.T) {
	w := newWorkshop(t, buildRunner(NewWithT(t), t.TempDir()))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 6 { // 216 MiB, half of it compressible
		fill(w, filepath.Join(w.tree, fmt.Sprintf("file-%d", i)), random, 36<<20, i%2 == 0)
	}
	expect := func(command string) {
		used := run(w, w.base, w.command(command)...)
		t.Logf("%s: %d MiB", command, used.rss)
		w.Expect(used.rss).To(And(BeNumerically(">", 0), BeNumerically("<", maxMemory)))
	}
	w.hand(nil, "one")
	expect("report")
	bucket := filepath.Join(w.base, "bucket")
	w.Expect(os.Link(filepath.Join(bucket, "one"), filepath.Join(bucket, "two"))).To(Succeed())
	w.hand([]string{"one", "two"}, "none")
	expect("fetch")
	for _, key := range []string{"one", "two"} {
		run(w, w.base, "diff", "-r", w.tree, w.input(key))
	}
}

// maxWindowMemory, in MiB, leaves room below the container's limit of 256 MiB.
const maxWindowMemory = 224

// TestMemoryOfTheLargestWindows unpacks archives that take as much memory as allowed.
func TestMemoryOfTheLargestWindows(t *testing.T) {
	w := newWorkshop(t, buildRunner(NewWithT(t), t.TempDir()))
	random := rand.New(rand.NewPCG(3, 4))
	for i := range 4 { // 160 MiB: more than a window
		fill(w, filepath.Join(w.tree, fmt.Sprintf("file-%d", i)), random, 40<<20, i%2 == 0)
	}
	object := func(name string) string { return filepath.Join(w.base, "bucket", name) }
	run(w, w.tree, "tar", "-cf", object("plain"), ".")
	expect := func(t *testing.T, name string) {
		t.Helper()
		w := w.of(t)
		w.hand([]string{name}, "none")
		used := run(w, w.base, w.command("fetch")...)
		t.Logf("%d MiB", used.rss)
		w.Expect(used.rss).To(And(BeNumerically(">", 64), BeNumerically("<", maxWindowMemory)))
		run(w, w.base, "diff", "-r", w.tree, w.input(name))
	}
	t.Run("zstd", func(t *testing.T) {
		NewWithT(t).Expect(compressByZstd(object("plain"), object("zstd"), 128<<20)).To(Succeed())
		expect(t, "zstd")
	})
	t.Run("xz", func(t *testing.T) {
		needs.Program(t, "xz")
		run(NewWithT(t), w.tree, "sh", "-ec", "xz -c --lzma2=preset=0,dict=64MiB "+object("plain")+" > "+object("xz"))
		expect(t, "xz")
	})
}

func compressByZstd(from, to string, window int) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return errors.Join(err, in.Close())
	}
	encoder, err := zstd.NewWriter(out, zstd.WithWindowSize(window), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err == nil {
		_, err = io.Copy(encoder, in)
		err = errors.Join(err, encoder.Close())
	}
	return errors.Join(err, in.Close(), out.Close())
}
