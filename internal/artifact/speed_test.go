//go:build bench

package artifact

import (
	"bufio"
	"encoding/json"
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

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/contract"
)

// bucketOnDisk is as much of S3 as the AWS CLI and the runner use. The
// emulator would be slower than both: it holds its objects in memory.
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
		if err := store(file, max(number-1, 0)*partSize, r); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("ETag", `"e"`)
	default:
		w.Header().Set("ETag", `"e"`)
		http.ServeFile(w, r, file)
	}
}

// store writes a part: the CLI's have the size of the runner's.
func store(name string, at int64, r *http.Request) error {
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

// chunked reads a body in chunks, each behind a line with its size.
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
			continue // behind a chunk
		}
		if c.left, err = strconv.ParseInt(size, 16, 64); err != nil || c.left == 0 {
			return 0, io.EOF
		}
	}
	n, err := c.from.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// words compress as logs and sources do.
var words = strings.Fields("pipeline artifact the of job error return func step 127.0.0.1 INFO WARN build/output {} () := <div class=")

func fill(g Gomega, name string, random *rand.Rand, size int, compressible bool) {
	file, err := os.Create(name)
	g.Expect(err).NotTo(HaveOccurred())
	to := bufio.NewWriter(file)
	for written := 0; written < size; {
		if compressible {
			n, _ := fmt.Fprintf(to, "%s %x ", words[random.IntN(len(words))], random.IntN(1<<12))
			written += n
			continue
		}
		_, _ = to.Write(little.AppendUint64(nil, random.Uint64()))
		written += 8
	}
	g.Expect(to.Flush()).To(Succeed())
	g.Expect(file.Close()).To(Succeed())
}

// largeTree has 2 GiB in some hundred files, half of which compress.
func largeTree(g Gomega, folder string) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 400 {
		sub := filepath.Join(folder, fmt.Sprintf("d%02d", i%20))
		g.Expect(os.MkdirAll(sub, 0o777)).To(Succeed())
		fill(g, filepath.Join(sub, fmt.Sprintf("f%03d", i)), random, (1+i%10)<<20*2<<10/2200, i/10%2 == 0)
	}
}

// wideTree has 100,000 small files.
func wideTree(g Gomega, folder string) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 100_000 {
		sub := filepath.Join(folder, fmt.Sprintf("package-%03d/src", i%500))
		g.Expect(os.MkdirAll(sub, 0o777)).To(Succeed())
		fill(g, filepath.Join(sub, fmt.Sprintf("file-%05d.txt", i)), random, 100+random.IntN(4000), true)
	}
}

type cost struct {
	wall time.Duration
	rss  int64 // of the largest process
}

func (c cost) and(next cost) cost { return cost{c.wall + next.wall, max(c.rss, next.rss)} }

func run(g Gomega, folder string, command ...string) cost {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = folder
	var told strings.Builder
	cmd.Stderr = &told
	syscall.Sync() // or it would wait for what the one before wrote
	began := time.Now()
	g.Expect(cmd.Run()).To(Succeed(), told.String)
	return cost{time.Since(began), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10}
}

func TestSpeedOfArtifacts(t *testing.T) {
	g := NewWithT(t)
	base := t.TempDir()
	runner := filepath.Join(base, "runner")
	run(g, ".", "go", "build", "-o", runner, "../../cmd/runner")
	fmt.Println("| artifact | what | runner | AWS CLI and Info-ZIP | ratio | runner's peak RSS |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	measure(t, runner, "2 GiB in 400 files", largeTree)
	measure(t, runner, "100,000 small files", wideTree)
}

func measure(t *testing.T, runner, name string, mk func(Gomega, string)) {
	g := NewWithT(t)
	base := t.TempDir()
	folder := func(name string) string {
		made := filepath.Join(base, name)
		g.Expect(os.MkdirAll(made, 0o777)).To(Succeed())
		return made
	}
	server := httptest.NewServer(bucketOnDisk{folder("bucket")})
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_DEFAULT_REGION", "eu-west-1")
	one := func(key string) []contract.Artifact {
		return []contract.Artifact{{Name: "app", Bucket: "bucket", ObjectKey: key}}
	}
	handover, err := json.Marshal(contract.Handover{
		Region: "eu-west-1", InputArtifacts: one("theirs"), OutputArtifacts: one("ours"),
		Credentials: contract.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"},
	})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(filepath.Join(base, "handover"), handover, 0o600)).To(Succeed())
	shared := folder("shared")
	tree := folder("shared/output/app")
	mk(g, tree)
	flags := []string{"--root=" + shared, "--handover=" + filepath.Join(base, "handover"), "--termination-log=" + filepath.Join(base, "log")}

	packed := filepath.Join(base, "packed.zip")
	theirs := run(g, tree, "zip", "-qry", packed, ".").
		and(run(g, base, "aws", "s3", "cp", "--only-show-errors", "--sse=aws:kms", packed, "s3://bucket/theirs"))
	ours := run(g, base, append([]string{runner, "report"}, flags...)...)
	report(name, "report", ours, theirs)

	g.Expect(os.Remove(packed)).To(Succeed())
	theirs = run(g, base, "aws", "s3", "cp", "--only-show-errors", "s3://bucket/theirs", packed).
		and(run(g, base, "unzip", "-q", packed, "-d", "unzipped"))
	ours = run(g, base, append([]string{runner, "fetch"}, flags...)...)
	report(name, "fetch", ours, theirs)
	run(g, base, "diff", "-r", "unzipped", "shared/input/app")
	run(g, base, "diff", "-r", tree, "shared/input/app")
	run(g, base, "unzip", "-tqq", "bucket/ours")
}

func report(name, what string, ours, theirs cost) {
	fmt.Printf("| %s | %s | %.1f s | %.1f s | %.2f | %d MiB |\n", name, what,
		ours.wall.Seconds(), theirs.wall.Seconds(), ours.wall.Seconds()/theirs.wall.Seconds(), ours.rss)
}
