package runner

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/archive"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/internal/s3store"
)

func TestCredentialsAreThoseOfTheHandoverWhileItExists(t *testing.T) {
	p := newPod(t)
	p.hand("NEW", nil, nil)
	first := podcontract.Credentials{AccessKeyID: "OLD", SecretAccessKey: "s", SessionToken: "t"}
	credentials := p.options.credentials(first)
	p.g.Expect(credentials().AccessKeyID).To(Equal("NEW"))
	p.g.Expect(os.Remove(p.options.Handover)).To(Succeed())
	p.g.Expect(credentials()).To(Equal(s3store.Credentials{AccessKeyID: "OLD", SecretAccessKey: "s", SessionToken: "t"}))
}

// TestAClosedConnectionIsNotTheEndOfAnArtifact closes the connection on each read after the first
// range.
func TestAClosedConnectionIsNotTheEndOfAnArtifact(t *testing.T) {
	noise := noiseOf(archive.ReadAheadPartSize + 1000)
	for name, content := range map[string][]byte{"zip": zipped(NewWithT(t), "f", string(noise)), "a file": noise} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			p.options.Limits.Bytes = 1 << 30
			p.put("pipe/src/k.zip", content)
			p.hand("KEY", inputs("src"), nil)
			p.answering(func(_ http.ResponseWriter, r *http.Request) bool {
				if strings.HasPrefix(r.Header.Get("Range"), "bytes=0-") {
					return false
				}
				panic(http.ErrAbortHandler)
			})
			p.expectFailure(Fetch(context.Background(), p.options), systemUnavailable, `input artifact "src"`, "s3://bucket/pipe/src/k.zip", "the download was interrupted", "every attempt failed")
		})
	}
}
