package runner

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

func TestFetchMakesFoldersThatEveryUserMayWrite(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	p := newPod(t)
	p.put("pipe/src/k.zip", zipped(p.g, "d/a", "1"))
	p.hand("KEY", inputs("src"), inputs("app", "docs"))
	p.g.Expect(Fetch(context.Background(), p.options)).To(Succeed())
	for _, name := range []string{"input", "input/src", "input/src/d", "output", "output/app", "output/docs", "result"} {
		info, err := os.Stat(filepath.Join(p.options.Root, name))
		p.g.Expect(err).NotTo(HaveOccurred())
		p.g.Expect(info.Mode()).To(Equal(os.ModeDir|os.ModeSetgid|0o777), name)
	}
	p.g.Expect(p.options.TerminationLog).NotTo(BeAnExistingFile())
	p.expectNoSecrets()
}

func TestFetchInstallsTheHelperForSteps(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	p := newPod(t)
	p.options.Helper, p.options.HelperDir = filepath.Join(t.TempDir(), "step"), t.TempDir()
	p.g.Expect(os.WriteFile(p.options.Helper, []byte("one version"), 0o700)).To(Succeed())
	p.g.Expect(Fetch(context.Background(), p.options)).To(Succeed())
	p.g.Expect(os.WriteFile(p.options.Helper, []byte("another"), 0o700)).To(Succeed())
	p.g.Expect(Fetch(context.Background(), p.options)).To(Succeed(), "a container that runs again")
	entries, err := os.ReadDir(p.options.HelperDir)
	p.g.Expect(err).NotTo(HaveOccurred())
	p.g.Expect(entries).To(HaveLen(1))
	installed := filepath.Join(p.options.HelperDir, "codepipeline")
	info, err := os.Stat(installed)
	p.g.Expect(err).NotTo(HaveOccurred())
	p.g.Expect(info.Mode()).To(Equal(os.FileMode(0o755)))
	p.g.Expect(os.ReadFile(installed)).To(Equal([]byte("another")))
	below, err := os.ReadDir(filepath.Join(p.options.Root, "bin"))
	p.g.Expect(err).NotTo(HaveOccurred(), "where steps have the volume mounted")
	p.g.Expect(below).To(BeEmpty(), "steps may write to the shared volume")
}

func TestFetchTellsThatItsImageHasNoHelper(t *testing.T) {
	p := newPod(t)
	p.options.Helper = filepath.Join(t.TempDir(), "step")
	p.expectFailure(Fetch(context.Background(), p.options), systemUnavailable, "install the helper for steps", "no such file")
}

func TestFetchWithoutAHandoverMakesOnlyFolders(t *testing.T) {
	p := newPod(t)
	p.options.Handover = ""
	p.g.Expect(Fetch(context.Background(), p.options)).To(Succeed())
	entries, err := os.ReadDir(p.options.Root)
	p.g.Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	p.g.Expect(names).To(Equal([]string{"input", "output", "result"}))
}

func TestFetchUnpacksEveryInputArtifactAndLeavesNoScratch(t *testing.T) {
	p := newPod(t)
	names := []string{"a", "b", "c", "d", "e"}
	for _, name := range names {
		p.put("pipe/"+name+"/k.zip", zipped(p.g, "file", name))
	}
	p.hand("KEY", inputs(names...), nil)
	p.g.Expect(Fetch(context.Background(), p.options)).To(Succeed())
	for _, name := range names {
		p.g.Expect(os.ReadFile(filepath.Join(p.options.Root, "input", name, "file"))).To(Equal([]byte(name)))
	}
	p.g.Expect(filepath.Glob(filepath.Join(p.options.Root, ".archive*"))).To(BeEmpty())
	// A restarted container finds the files of its first run.
	p.g.Expect(Fetch(context.Background(), p.options)).To(Succeed())
}

func TestFetchNamesAFileByTheLastElementOfItsKey(t *testing.T) {
	for key, name := range map[string]string{"builds/7/app.bin": "app.bin", "a/..b": "..b", "a/b/": "b"} {
		p := newPod(t)
		p.put(key, []byte("content"))
		p.hand("KEY", []podcontract.Artifact{{Name: "src", Bucket: "bucket", ObjectKey: key}}, nil)
		p.g.Expect(Fetch(context.Background(), p.options)).To(Succeed())
		p.g.Expect(os.ReadFile(filepath.Join(p.options.Root, "input/src", name))).To(Equal([]byte("content")))
	}
}

func TestFetchTriesADownloadThatBrokeOffAgain(t *testing.T) {
	p := newPod(t)
	content := zipped(p.g, "file", "1")
	p.put("pipe/src/k.zip", content)
	p.hand("KEY", inputs("src"), nil)
	var times atomic.Int32
	p.answering(func(w http.ResponseWriter, _ *http.Request) bool {
		if times.Add(1) == transferAttempts {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content[:len(content)/2])
		return true
	})
	p.g.Expect(Fetch(context.Background(), p.options)).To(Succeed())
	p.g.Expect(os.ReadFile(filepath.Join(p.options.Root, "input/src/file"))).To(Equal([]byte("1")))
}

func TestFetchGivesUpOnADownloadThatAlwaysBreaksOff(t *testing.T) {
	p := newPod(t)
	p.hand("KEY", inputs("src"), nil)
	var times atomic.Int32
	p.answering(func(w http.ResponseWriter, _ *http.Request) bool {
		times.Add(1)
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("PK\x03\x04"))
		return true
	})
	p.expectFailure(Fetch(context.Background(), p.options), systemUnavailable, `input artifact "src"`, "s3://bucket/pipe/src/k.zip", "the download was interrupted")
	p.g.Expect(times.Load()).To(Equal(int32(transferAttempts)))
}

func TestFetchTellsWhyItFailed(t *testing.T) {
	place := "s3://bucket/pipe/src/k.zip"
	cases := map[string]struct {
		prepare func(*pod)
		kind    string
		says    []string
	}{
		"no such key": {func(*pod) {}, revisionUnavailable, []string{"GetObject: NoSuchKey", "a retry of the action looks for the same one: release the change again, which creates a new revision"}},
		"no such bucket": {func(p *pod) {
			p.answering(func(w http.ResponseWriter, _ *http.Request) bool {
				return s3Error(w, http.StatusNotFound, "NoSuchBucket")
			})
		}, revisionUnavailable, []string{"NoSuchBucket", "must be a bucket that exists"}},
		"an incomplete signature": {func(p *pod) {
			p.answering(func(w http.ResponseWriter, _ *http.Request) bool {
				return s3Error(w, http.StatusBadRequest, "IncompleteSignatureException")
			})
		}, permissionError, []string{"IncompleteSignature"}},
		"denied": {func(p *pod) {
			p.answering(func(w http.ResponseWriter, _ *http.Request) bool {
				return s3Error(w, http.StatusForbidden, "AccessDenied")
			})
		}, permissionError, []string{"AccessDenied", "the pipeline's role"}},
		"hostile archive":   {func(p *pod) { p.put("pipe/src/k.zip", zipped(p.g, "../x", "1")) }, revisionUnavailable, []string{`entry "../x"`, "leads out"}},
		"archive that ends": {func(p *pod) { p.put("pipe/src/k.zip", zipped(p.g, "x", "1")[:20]) }, revisionUnavailable, []string{"not a readable zip archive"}},
		"nobody listens":    {func(p *pod) { p.t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1") }, systemUnavailable, []string{"connection refused"}},
		"too many entries": {func(p *pod) {
			p.options.Limits.Entries = 0
			p.put("pipe/src/k.zip", zipped(p.g, "x", "1"))
		}, revisionUnavailable, []string{`entry "x"`, "the archive has more than 0 entries", "the operator's --artifact-max-entries"}},
		"too many bytes": {func(p *pod) {
			p.options.Limits.Bytes = 9
			p.put("pipe/src/k.zip", zipped(p.g, "x", "0123456789"))
		}, revisionUnavailable, []string{`entry "x"`, "more than 9 bytes", "the operator's --artifact-max-size"}},
		"too good a compression": {func(p *pod) {
			p.options.Limits.Ratio = 2
			p.put("pipe/src/k.zip", zipped(p.g, "x", strings.Repeat("0", 10_000)))
		}, revisionUnavailable, []string{`entry "x"`, "more than 2 times as many bytes", "the operator's --artifact-max-ratio"}},
		"too long a list of entries": {func(p *pod) {
			p.options.Limits.IndexBytes = 9
			p.put("pipe/src/k.zip", zipped(p.g, "x", "1"))
		}, revisionUnavailable, []string{"list of entries has more than 9 bytes", "a tar or tar.gz archive"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			p.hand("KEY", inputs("src"), nil)
			c.prepare(p)
			p.expectFailure(Fetch(context.Background(), p.options), c.kind, append(c.says, `input artifact "src"`, place)...)
		})
	}
}

func TestAFailureFitsASmallTerminationLog(t *testing.T) {
	p := newPod(t)
	p.options.EnvelopeLimit = 200
	p.hand("KEY", inputs("src"), nil)
	p.expectFailure(Fetch(context.Background(), p.options), revisionUnavailable, `input artifact "src"`, "…")
}
