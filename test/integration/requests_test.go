package integration

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// account records the operator's requests to the API server for jobs: all except those about
// CustomActions, and those that fill its cache.
type account struct {
	mu   sync.Mutex
	made []string
}

func (a *account) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if name := requestForJob(r); name != "" {
			a.mu.Lock()
			a.made = append(a.made, name)
			a.mu.Unlock()
		}
		return next.RoundTrip(r)
	})
}

func requestForJob(r *http.Request) string {
	_, path, _ := strings.Cut(r.URL.Path, "/namespaces/")
	parts := strings.Split(path, "/") // namespace, resource, name, subresource
	fills := r.Method == http.MethodGet && len(parts) == 2 && !r.URL.Query().Has("labelSelector") && !r.URL.Query().Has("fieldSelector")
	if len(parts) < 2 || parts[1] == "customactions" || fills || r.URL.Query().Has("watch") || r.URL.Query().Get("labelSelector") == v1alpha1.LabelPipelineJob {
		return ""
	}
	name := r.Method + " " + parts[1]
	if name == "PATCH events" { // a series, of the CustomAction's registration
		return ""
	}
	if len(parts) == 4 {
		name += "/" + parts[3]
	}
	return name
}

func (a *account) requests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.made)
}

// clear drops the requests so far.
func (a *account) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made = nil
}

// TestRequestsOfAJob runs an ordinary job. The write that records a claim also records the run, and
// the write of the result also records its report. The operator does not read back its own writes.
func TestRequestsOfAJob(t *testing.T) {
	w := newWorld(t)
	var of account
	w.wrap = of.wrap
	w.operate()
	w.Expect(w.Kube.Create(w.Ctx, w.Action())).To(Succeed())
	w.awaitRegistration()
	w.Await(func(g Gomega) { // of the registration
		g.Expect(of.requests()).To(ContainElements("POST jobs", "POST events"))
		g.Expect(w.events(g, "work")).To(HaveLen(2))
	})
	of.clear()
	w.StartPipelineWithoutArtifacts()
	w.Succeed(w.RunningJob(1), podcontract.Result{Summary: "done"})
	w.Await(func(g Gomega) {
		g.Expect(w.WorkState(g).Status).To(Equal(types.ActionExecutionStatusSucceeded))
		g.Expect(w.PipelineJob(g).Settled()).To(BeTrue())
		g.Expect(of.requests()).To(ContainElement("POST events"))
	})
	w.Expect(of.requests()).To(HaveExactElements(
		"POST pipelinejobs",
		"PATCH pipelinejobs/status", // AcknowledgeJob is in progress
		"PATCH pipelinejobs/status", // its response, and the planned run
		"POST jobs",
		"PATCH pipelinejobs/status", // the Job was created
		"PATCH pipelinejobs/status", // the result, and PutJobSuccessResult is in progress
		"PATCH pipelinejobs/status", // its response
		"POST events",
	))
}
