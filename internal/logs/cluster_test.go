package logs

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// TestALogThatStandsStillIsLeft: nodes that do not respond, or stop in the middle of a log.
func TestALogThatStandsStillIsLeft(t *testing.T) {
	for name, begin := range map[string]string{"at once": "", "halfway": "codepipeline-result "} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if begin != "" {
					_, _ = io.WriteString(w, begin)
					w.(http.Flusher).Flush()
				}
				<-r.Context().Done()
			}))
			defer server.Close()
			client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
			g.Expect(err).NotTo(HaveOccurred())
			stream, err := Cluster{client, 200 * time.Millisecond}.Open(t.Context(), "n", "p", "c", 0)
			if err == nil {
				_, err = io.ReadAll(stream)
				g.Expect(stream.Close()).To(Succeed())
			}
			g.Expect(err).To(MatchError(context.DeadlineExceeded))
		})
	}
}
