package emulator

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// TestCloseEndsRequestsThatWait makes requests that wait for longer than any test may take.
func TestCloseEndsRequestsThatWait(t *testing.T) {
	cases := map[string]struct {
		fault  *Fault
		header http.Header
		method string
		body   string
	}{
		"a long poll": {
			nil, http.Header{"X-Amz-Target": {sqsTarget + "ReceiveMessage"}, "Content-Type": {sqsContentType}}, http.MethodPost,
			`{"QueueUrl": "http://host/111122223333/events", "WaitTimeSeconds": 20}`,
		},
		"a late answer of CodePipeline": {
			&Fault{Operation: "ListPipelines", Kind: Latency, Delay: time.Hour},
			http.Header{"X-Amz-Target": {targetPrefix + "ListPipelines"}, "Content-Type": {contentType}}, http.MethodPost, "{}",
		},
		"a request that is never answered": {
			&Fault{Operation: "ListPipelines", Kind: BlackHole},
			http.Header{"X-Amz-Target": {targetPrefix + "ListPipelines"}, "Content-Type": {contentType}}, http.MethodPost, "{}",
		},
		"a request of S3 that is never answered": {&Fault{Operation: "ListObjects", Kind: BlackHoleAfter}, http.Header{}, http.MethodGet, ""},
		"half an answer":                         {&Fault{Operation: "ListObjects", Kind: HalfAnswer}, http.Header{}, http.MethodGet, ""},
		"a late answer of a proxy":               {&Fault{Operation: AnyOperation, Kind: ProxyError, Delay: time.Hour}, http.Header{}, http.MethodGet, ""},
		"a late answer of S3":                    {&Fault{Operation: "ListObjects", Kind: Latency, Delay: time.Hour}, http.Header{}, http.MethodGet, ""},
		"a late reset":                           {&Fault{Operation: AnyOperation, Kind: ResetBefore, Delay: time.Hour}, http.Header{}, http.MethodGet, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			e, err := New(Options{NoSignatures: true, Buckets: []string{"artifacts"}, EventQueue: "events"})
			g.Expect(err).NotTo(HaveOccurred())
			if c.fault != nil {
				g.Expect(e.Inject(*c.fault)).To(Succeed())
			}
			started := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(started)
				e.ServeHTTP(w, r)
			}))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel() // so that closing the server does not hang if this fails
			request, err := http.NewRequestWithContext(ctx, c.method, server.URL+"/artifacts", strings.NewReader(c.body))
			g.Expect(err).NotTo(HaveOccurred())
			if c.method == http.MethodPost {
				request.URL.Path = "/"
			}
			request.Header = c.header
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				if response, err := http.DefaultClient.Do(request); err == nil {
					_, _ = io.Copy(io.Discard, response.Body) // half a response ends in an error
					_ = response.Body.Close()
				}
			}()
			g.Eventually(started).Should(BeClosed())
			e.Close()
			e.Close()
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				server.Close()
			}()
			g.Eventually(closed).WithTimeout(10 * time.Second).Should(BeClosed())
			g.Eventually(answered).Should(BeClosed())
		})
	}
}
