package runner

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/archive"
	"github.com/pipelinejob/pipelinejob-operator/internal/limits"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/internal/s3store"
)

// Values that must not appear in any output.
const (
	secretKey    = "wJalrXUtnFEMI"
	sessionToken = "FwoGZXIvYXdzEBYa"
)

// pod is the environment of a container in a job's pod, with S3 in memory.
type pod struct {
	t       *testing.T
	g       Gomega
	options Options
	backend *s3mem.Backend
	stdout  *bytes.Buffer
	log     *syncBuffer

	mu     sync.Mutex
	answer func(http.ResponseWriter, *http.Request) bool
}

// syncBuffer is written by concurrent transfers.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// testTimeout is the timeout of tests.
const testTimeout = 5 * time.Minute

// retryAtOnce returns a retry policy without delays, whose timeouts no request should reach.
func retryAtOnce(attempts int) s3store.RetryPolicy {
	return s3store.RetryPolicy{
		Attempts: attempts, MinDelay: time.Millisecond, MaxDelay: time.Millisecond, IdleTimeout: 2 * time.Minute, AbortTimeout: 2 * time.Minute,
	}
}

func newPod(t *testing.T) *pod {
	t.Helper()
	p := &pod{t: t, g: NewWithT(t), backend: s3mem.New(), stdout: &bytes.Buffer{}, log: &syncBuffer{}}
	p.g.Expect(p.backend.CreateBucket("bucket")).To(Succeed())
	inner := gofakes3.New(p.backend, gofakes3.WithTimeSkewLimit(0)).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		answer := p.answer
		p.mu.Unlock()
		if answer == nil || !answer(w, r) {
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	base := t.TempDir()
	root := filepath.Join(base, "shared")
	p.g.Expect(os.Mkdir(root, 0o777)).To(Succeed())
	p.options = Options{
		Root: root, Handover: filepath.Join(base, "handover.json"), TerminationLog: filepath.Join(base, "termination-log"),
		EnvelopeLimit: limits.TerminationMessage, Limits: archive.Limits{Bytes: 64 << 20, Entries: 100},
		Stdout: p.stdout, Log: slog.New(slog.NewTextHandler(p.log, nil)), Renewal: 50 * time.Millisecond,
		Retry: retryAtOnce(3),
	}
	p.hand("KEY", nil, nil)
	return p
}

func (p *pod) hand(accessKeyID string, inputs, outputs []podcontract.Artifact) {
	p.t.Helper()
	content, err := json.Marshal(podcontract.Handover{
		JobID: "j", Region: "eu-west-1", InputArtifacts: inputs, OutputArtifacts: outputs,
		Credentials: podcontract.Credentials{AccessKeyID: accessKeyID, SecretAccessKey: secretKey, SessionToken: sessionToken},
	})
	p.g.Expect(err).NotTo(HaveOccurred())
	// Atomically, like the kubelet.
	next := p.options.Handover + ".next"
	p.g.Expect(os.WriteFile(next, content, 0o600)).To(Succeed())
	p.g.Expect(os.Rename(next, p.options.Handover)).To(Succeed())
}

func (p *pod) put(key string, content []byte) {
	p.t.Helper()
	_, err := p.backend.PutObject("bucket", key, nil, bytes.NewReader(content), int64(len(content)), nil)
	p.g.Expect(err).NotTo(HaveOccurred())
}

func (p *pod) write(name, content string) {
	p.t.Helper()
	file := filepath.Join(p.options.Root, name)
	p.g.Expect(os.MkdirAll(filepath.Dir(file), 0o777)).To(Succeed())
	p.g.Expect(os.WriteFile(file, []byte(content), 0o600)).To(Succeed())
}

func (p *pod) envelope() podcontract.Envelope {
	p.t.Helper()
	message, err := os.ReadFile(p.options.TerminationLog)
	p.g.Expect(err).NotTo(HaveOccurred())
	p.g.Expect(len(message)).To(BeNumerically("<=", p.options.EnvelopeLimit))
	envelope, err := podcontract.ParseEnvelope(string(message))
	p.g.Expect(err).NotTo(HaveOccurred())
	p.expectNoSecrets(string(message))
	return envelope
}

func (p *pod) expectNoSecrets(more ...string) {
	p.t.Helper()
	for _, text := range append(more, p.stdout.String(), p.log.String()) {
		p.g.Expect(text).NotTo(Or(ContainSubstring(secretKey), ContainSubstring(sessionToken)))
	}
}

// expectFailure checks a command's error and the failure in the termination log.
func (p *pod) expectFailure(err error, kind string, says ...string) {
	p.t.Helper()
	p.g.Expect(err).To(HaveOccurred())
	failure := p.envelope().Failure
	p.g.Expect(failure).NotTo(BeNil())
	p.g.Expect(failure.Type).To(Equal(kind), failure.Message)
	for _, text := range says {
		p.g.Expect(failure.Message).To(ContainSubstring(text))
	}
	p.g.Expect(failure.Message).NotTo(ContainSubstring("\n"))
	for _, noise := range []string{"operation error", "response error", "RequestID", "HostID", ": ;"} {
		p.g.Expect(failure.Message).NotTo(ContainSubstring(noise), "the SDK's wording")
	}
	p.expectNoSecrets(err.Error())
}

func (p *pod) answering(answer func(http.ResponseWriter, *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func s3Error(w http.ResponseWriter, status int, code string) bool {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>told so</Message></Error>")
	return true
}

func inputs(names ...string) []podcontract.Artifact {
	var found []podcontract.Artifact
	for _, name := range names {
		found = append(found, podcontract.Artifact{Name: name, Bucket: "bucket", ObjectKey: "pipe/" + name + "/k.zip"})
	}
	return found
}

func zipped(g Gomega, name, content string) []byte {
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	to, err := archive.Create(name)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = io.WriteString(to, content)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(archive.Close()).To(Succeed())
	return out.Bytes()
}

func TestExpiredCredentialsAreAwaited(t *testing.T) {
	p := newPod(t)
	p.put("pipe/src/k.zip", zipped(p.g, "a", "1"))
	p.hand("OLD", inputs("src"), nil)
	p.options.Renewal = testTimeout
	p.answering(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.Header.Get("Authorization"), "Credential=OLD/") {
			return false
		}
		p.hand("NEW", inputs("src"), nil)
		return s3Error(w, http.StatusBadRequest, "ExpiredToken")
	})
	p.g.Expect(Fetch(context.Background(), p.options)).To(Succeed())
	p.g.Expect(os.ReadFile(filepath.Join(p.options.Root, "input/src/a"))).To(Equal([]byte("1")))
	p.expectNoSecrets()
}

func TestExpiredCredentialsThatStayFailTheCommand(t *testing.T) {
	p := newPod(t)
	p.hand("OLD", inputs("src"), nil)
	p.answering(func(w http.ResponseWriter, _ *http.Request) bool {
		return s3Error(w, http.StatusBadRequest, "ExpiredToken")
	})
	p.expectFailure(Fetch(context.Background(), p.options), systemUnavailable, `input artifact "src"`, "s3://bucket/pipe/src/k.zip", "expired", "operator")
}

func TestAnUploadStartsAnewWithNewCredentials(t *testing.T) {
	p := newPod(t)
	p.hand("OLD", nil, inputs("app"))
	p.options.Renewal = testTimeout
	content := strings.Repeat("0123456789abcdef", 1<<16)
	p.write("output/app/file", content)
	p.answering(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.Header.Get("Authorization"), "Credential=OLD/") {
			return false
		}
		p.hand("NEW", nil, inputs("app"))
		return s3Error(w, http.StatusBadRequest, "ExpiredToken")
	})
	p.g.Expect(Report(context.Background(), p.options)).To(Succeed())
	p.g.Expect(p.unzip("pipe/app/k.zip")).To(HaveKeyWithValue("file", content))
}

func TestAnUploadThatExpiresHalfwayLeavesNoParts(t *testing.T) {
	p := newPod(t)
	p.hand("OLD", nil, inputs("app"))
	p.options.Renewal = testTimeout
	noise := noiseOf(9 << 20) // more than one part
	p.write("output/app/file", string(noise))
	var began, removed sync.Map
	expired := false
	p.answering(func(w http.ResponseWriter, r *http.Request) bool {
		id := r.URL.Query().Get("uploadId")
		if expired && strings.Contains(r.Header.Get("Authorization"), "Credential=OLD/") {
			_, _ = io.Copy(io.Discard, r.Body)
			return s3Error(w, http.StatusBadRequest, "ExpiredToken")
		}
		switch {
		case r.Method == http.MethodPut && id != "":
			began.Store(id, nil)
			if r.URL.Query().Get("partNumber") == "1" && !expired {
				expired = true
				p.hand("NEW", nil, inputs("app"))
			}
		case r.Method == http.MethodDelete:
			removed.Store(id, nil)
		case r.Method == http.MethodPost && id != "":
			began.Delete(id)
		}
		return false
	})
	p.g.Expect(Report(context.Background(), p.options)).To(Succeed())
	began.Range(func(id, _ any) bool {
		_, ok := removed.Load(id)
		p.g.Expect(ok).To(BeTrue(), "the parts of an upload are left")
		return true
	})
	p.g.Expect(lengths(&began)).To(Equal(1), "one expired")
	p.g.Expect(p.unzip("pipe/app/k.zip")["file"] == string(noise)).To(BeTrue())
}

// noiseOf returns incompressible bytes.
func noiseOf(size int) []byte {
	noise := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise) // never fails
	return noise
}

func lengths(m *sync.Map) int {
	n := 0
	m.Range(func(any, any) bool { n++; return true })
	return n
}

func TestAnUploadWhoseEndIsUnclearStartsAnew(t *testing.T) {
	p := newPod(t)
	p.hand("KEY", nil, inputs("app"))
	noise := noiseOf(9 << 20)
	p.write("output/app/file", string(noise))
	var ends atomic.Int32
	p.answering(func(w http.ResponseWriter, r *http.Request) bool {
		// As if the response to the first request was lost and the SDK tried again.
		return r.Method == http.MethodPost && r.URL.Query().Has("uploadId") && ends.Add(1) == 1 && s3Error(w, http.StatusNotFound, "NoSuchUpload")
	})
	p.g.Expect(Report(context.Background(), p.options)).To(Succeed())
	p.g.Expect(p.unzip("pipe/app/k.zip")["file"] == string(noise)).To(BeTrue())
}

// TestAnOutageIsOutlasted has S3 fail every request twice, in each of the possible ways, before it
// answers.
//
// A silent connection costs the idle timeout each time, so the timeout must be short. A busy
// machine may exceed it as well, which costs one of many attempts. The artifact is small, so that
// the next attempt is likely to succeed.
func TestAnOutageIsOutlasted(t *testing.T) {
	const large, small = archive.ReadAheadPartSize*2 + 1<<20, 10_000 // several parts, and one
	prompt := retryAtOnce(5)
	silent := retryAtOnce(50)
	silent.IdleTimeout = 500 * time.Millisecond
	for name, c := range map[string]struct {
		size  int
		retry s3store.RetryPolicy
		fail  func(w http.ResponseWriter, r *http.Request, content []byte)
	}{
		"unavailable": {large, prompt, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			s3Error(w, http.StatusServiceUnavailable, "ServiceUnavailable")
		}},
		"throttled": {large, prompt, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			s3Error(w, http.StatusServiceUnavailable, "SlowDown")
		}},
		"hangs up": {large, prompt, func(http.ResponseWriter, *http.Request, []byte) { panic(http.ErrAbortHandler) }},
		"hangs up after half of it": {large, prompt, func(w http.ResponseWriter, r *http.Request, content []byte) {
			answerHalf(w, r, content)
			panic(http.ErrAbortHandler)
		}},
		"silent": {small, silent, func(_ http.ResponseWriter, r *http.Request, _ []byte) { <-r.Context().Done() }},
		"silent after half of it": {small, silent, func(w http.ResponseWriter, r *http.Request, content []byte) {
			answerHalf(w, r, content)
			<-r.Context().Done()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
			defer cancel()
			noise := noiseOf(c.size)
			p.options.Retry = c.retry
			p.options.Limits.Bytes = 1 << 30
			p.put("pipe/src/k.zip", noise)
			p.hand("KEY", inputs("src"), inputs("app"))
			var asked sync.Map
			p.answering(func(w http.ResponseWriter, r *http.Request) bool {
				times, _ := asked.LoadOrStore(r.Method+r.URL.RawQuery+r.Header.Get("Range"), &atomic.Int32{})
				if times.(*atomic.Int32).Add(1) > 2 {
					return false
				}
				_, _ = io.Copy(io.Discard, r.Body) // otherwise the server does not notice that the client disconnects
				c.fail(w, r, noise)
				return true
			})
			p.g.Expect(Fetch(ctx, p.options)).To(Succeed())
			input, output := filepath.Join(p.options.Root, "input/src/k.zip"), filepath.Join(p.options.Root, "output/app/file")
			p.g.Expect(os.Rename(input, output)).To(Succeed())
			p.g.Expect(Report(ctx, p.options)).To(Succeed())
			p.g.Expect(p.unzip("pipe/app/k.zip")["file"] == string(noise)).To(BeTrue())
			p.expectNoSecrets()
		})
	}
}

// answerHalf answers a download with half of the range, and does not answer an upload.
func answerHalf(w http.ResponseWriter, r *http.Request, content []byte) {
	if r.Method != http.MethodGet {
		return
	}
	var first, last int
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); err != nil {
		panic(err)
	}
	length := min(last+1, len(content)) - first
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, first+length-1, len(content)))
	w.Header().Set("Content-Length", strconv.Itoa(length))
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(content)))
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write(content[first:][:length/2])
	w.(http.Flusher).Flush()
}

func TestASilentS3FailsTheCommand(t *testing.T) {
	for name, command := range map[string]func(context.Context, Options) error{"fetch": Fetch, "report": Report} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
			defer cancel()
			p.options.Retry = retryAtOnce(2)
			p.options.Retry.IdleTimeout = 200 * time.Millisecond
			p.hand("KEY", inputs("src"), inputs("app"))
			p.write("output/app/file", "x")
			var times atomic.Int32
			p.answering(func(_ http.ResponseWriter, r *http.Request) bool {
				times.Add(1)
				_, _ = io.Copy(io.Discard, r.Body) // otherwise the server does not notice that the client disconnects
				<-r.Context().Done()
				return true
			})
			p.expectFailure(command(ctx, p.options), systemUnavailable, "s3://bucket/pipe/", "no response in time (2 attempts)")
			// On a busy machine, the client may disconnect before the server notices.
			p.g.Expect(times.Load()).To(BeNumerically("<=", 2), "a transfer is not restarted after the SDK's retries")
		})
	}
}

// unzip returns the files of an uploaded artifact.
func (p *pod) unzip(key string) map[string]string {
	p.t.Helper()
	object, err := p.backend.GetObject("bucket", key, nil)
	p.g.Expect(err).NotTo(HaveOccurred())
	content, err := io.ReadAll(object.Contents)
	p.g.Expect(err).NotTo(HaveOccurred())
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	p.g.Expect(err).NotTo(HaveOccurred())
	found := map[string]string{}
	for _, entry := range archive.File {
		file, err := entry.Open()
		p.g.Expect(err).NotTo(HaveOccurred())
		text, err := io.ReadAll(file)
		p.g.Expect(err).NotTo(HaveOccurred())
		found[entry.Name] = string(text)
	}
	return found
}

func TestAHandoverThatIsNoJSONLeaksNothing(t *testing.T) {
	for name, command := range map[string]func(context.Context, Options) error{"fetch": Fetch, "report": Report} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			p.write("result/summary", "s")
			p.g.Expect(os.WriteFile(p.options.Handover, []byte(`{"credentials":{"secretAccessKey":"`+secretKey+`",`+sessionToken), 0o600)).To(Succeed())
			p.expectFailure(command(context.Background(), p.options), systemUnavailable, "the handover", "not valid JSON")
		})
	}
}

func TestAHandoverThatIsGoneIsNoSuccess(t *testing.T) {
	for name, command := range map[string]func(context.Context, Options) error{"fetch": Fetch, "report": Report} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			p.write("output/app/file", "x")
			p.g.Expect(os.Remove(p.options.Handover)).To(Succeed())
			p.expectFailure(command(context.Background(), p.options), systemUnavailable, "the handover is gone")
		})
	}
}

func TestAnArtifactNeedsAFoldersName(t *testing.T) {
	for _, name := range []string{"", ".", "..", "../result", "a/b", "a b", "a\n", strings.Repeat("x", 101)} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			p.write("keep", "me")
			for _, hand := range []func(){
				func() { p.hand("KEY", inputs("src", name), nil) },
				func() { p.hand("KEY", nil, inputs("app", name)) },
			} {
				hand()
				p.expectFailure(Fetch(context.Background(), p.options), systemUnavailable, "the handover", "can't be that of a folder")
				p.expectFailure(Report(context.Background(), p.options), systemUnavailable, "the handover")
			}
			p.g.Expect(filepath.Join(p.options.Root, "keep")).To(BeAnExistingFile())
		})
	}
	p := newPod(t)
	p.hand("KEY", nil, inputs(strings.Repeat("x", 100), "aZ0_-"))
	p.g.Expect(Fetch(context.Background(), p.options)).To(Succeed())
}

func TestACancelledCommandEndsPromptly(t *testing.T) {
	for name, command := range map[string]func(context.Context, Options) error{"fetch": Fetch, "report": Report} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			p.hand("KEY", inputs("src"), inputs("app"))
			p.write("output/app/file", "x")
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			p.answering(func(_ http.ResponseWriter, r *http.Request) bool {
				_, _ = io.Copy(io.Discard, r.Body) // otherwise the server does not notice that the client disconnects
				cancel()
				<-r.Context().Done()
				return true
			})
			ended := make(chan error, 1)
			go func() { ended <- command(ctx, p.options) }()
			var err error
			p.g.Eventually(ended, testTimeout).Should(Receive(&err))
			p.g.Expect(err).To(MatchError(context.Canceled))
			p.expectFailure(err, systemUnavailable)
		})
	}
}

func TestWaitingForCredentialsEndsWithTheContext(t *testing.T) {
	p := newPod(t)
	p.hand("OLD", inputs("src"), nil)
	p.options.Renewal = 24 * time.Hour
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p.answering(func(w http.ResponseWriter, _ *http.Request) bool {
		return s3Error(w, http.StatusBadRequest, "ExpiredToken")
	})
	ended := make(chan error, 1)
	go func() { ended <- Fetch(ctx, p.options) }()
	p.g.Eventually(p.log.String, testTimeout).Should(ContainSubstring("waiting for new ones"))
	p.g.Consistently(ended, "50ms").ShouldNot(Receive(), "nothing else ends it")
	cancel()
	p.g.Eventually(ended, testTimeout).Should(Receive(MatchError(s3store.ErrExpired)))
}
