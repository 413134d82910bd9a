package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/emulator"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
	"github.com/pipelinejob/pipelinejob-operator/test/harness"
)

// moment is when something goes wrong, relative to an external effect.
type moment string

const (
	// crashBefore: the operator crashes before the effect.
	crashBefore moment = "crash before"
	// crashAfter: the operator crashes after the effect, before it has the response.
	crashAfter moment = "crash after"
	// answerLost: the call takes effect, its response is lost, and the operator continues.
	answerLost moment = "answer lost after"
)

// tampering is between an operator and everything that it changes. It counts the effects by name
// and number, and lets one go wrong.
type tampering struct {
	// target is the effect that goes wrong, at a moment. Empty means none.
	target string
	at     moment

	mu      sync.Mutex
	numbers map[string]int
	seen    []string
	dead    bool
	died    chan struct{}
}

func newTampering(target string, at moment) *tampering {
	return &tampering{target: target, at: at, numbers: map[string]int{}, died: make(chan struct{})}
}

var errCut = errors.New("the connection was cut")

// effect calls do, which has an external effect.
func (t *tampering) effect(name string, do func() (*http.Response, error)) (*http.Response, error) {
	label, alive := t.number(name)
	switch {
	case !alive:
		return nil, errCut
	case label != t.target:
		return do()
	case t.at == crashBefore:
		t.die()
		return nil, errCut
	}
	response, err := do()
	if err == nil {
		err = response.Body.Close()
	}
	if t.at == crashAfter {
		t.die()
	}
	return nil, errors.Join(err, errCut)
}

func (t *tampering) number(name string) (label string, alive bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead {
		return "", false
	}
	t.numbers[name]++
	label = fmt.Sprintf("%s %d", name, t.numbers[name])
	t.seen = append(t.seen, label)
	return label, true
}

func (t *tampering) die() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dead = true
	close(t.died)
}

func (t *tampering) isDead() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dead
}

// kubernetes returns the transport to the API server.
func (t *tampering) kubernetes(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		name := kubernetesEffect(r)
		if name == "" {
			if t.isDead() {
				return nil, errCut
			}
			return next.RoundTrip(r)
		}
		return t.effect(name, func() (*http.Response, error) { return next.RoundTrip(r) })
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// kubernetesEffect names a write of an object that belongs to a job. It is empty for all other
// requests.
func kubernetesEffect(r *http.Request) string {
	if r.Method == http.MethodGet {
		return ""
	}
	_, path, _ := strings.Cut(r.URL.Path, "/namespaces/")
	parts := strings.Split(path, "/") // namespace, resource, name, subresource
	if len(parts) < 2 {
		return ""
	}
	switch parts[1] {
	case "pipelinejobs", "jobs", "secrets":
	default:
		return ""
	}
	name := r.Method + " " + parts[1]
	if len(parts) == 4 {
		name += "/" + parts[3]
	}
	return name
}

// codePipeline starts a proxy to AWS and returns its address.
func (t *tampering) codePipeline(w *world) string {
	url := w.AWS.URL()
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		response, err := t.call(in, url)
		if err != nil {
			panic(http.ErrAbortHandler) // breaks the connection
		}
		defer func() { _ = response.Body.Close() }() // only opened for reading
		for name, values := range response.Header {
			out.Header()[name] = values
		}
		out.WriteHeader(response.StatusCode)
		_, _ = io.Copy(out, response.Body) // the operator may be gone
	}))
	w.T.Cleanup(server.Close)
	return server.URL
}

func (t *tampering) call(in *http.Request, url string) (*http.Response, error) {
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	pass := func() (*http.Response, error) {
		out, err := http.NewRequest(in.Method, url+in.URL.Path, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		out.Header, out.Host = in.Header.Clone(), in.Host // as signed
		return http.DefaultTransport.RoundTrip(out)
	}
	_, operation, _ := strings.Cut(in.Header.Get("X-Amz-Target"), ".")
	switch operation {
	case "PollForJobs": // only a poll that hands out a job has an effect
		return t.poll(pass)
	case "AcknowledgeJob", "GetJobDetails", "PutJobSuccessResult", "PutJobFailureResult":
		return t.effect(operation, pass)
	default:
		return pass()
	}
}

func (t *tampering) poll(pass func() (*http.Response, error)) (*http.Response, error) {
	if t.isDead() {
		return nil, errCut
	}
	response, err := pass()
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	if !bytes.Contains(body, []byte(`"nonce"`)) {
		return response, nil
	}
	return t.effect("PollForJobs", func() (*http.Response, error) { return response, nil })
}

// crashStory is the story of a job apart from crashes: what its runs do, and how the action must
// end.
type crashStory struct {
	name   string
	adjust func(*v1alpha1.CustomAction)
	runs   []func(w *world, run int)
	// jobs is the number of jobs that CodePipeline creates for the action.
	jobs int
	ends types.ActionExecutionStatus
}

func crashStories() []crashStory {
	handOff := func(w *world, run int) {
		w.Succeed(w.RunningJob(run), podcontract.Result{ContinuationToken: "later"})
	}
	failure := func(w *world, run int) { w.FailStep(w.RunningJob(run), "broken") }
	progress := func(w *world, run int) {
		job := w.RunningJob(run)
		w.follow(job)
		w.tell(job, 40, "half way")
		w.Await(func(g Gomega) {
			told := w.PipelineJob(g).Status.Protocol.Progress
			g.Expect(told).NotTo(BeNil())
			g.Expect(told.ContinuationToken).To(BeEmpty())
		})
		w.endPod(job, corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{
			harness.Terminated(podcontract.ContainerReport, 0, `{"result":{"summary":"done"}}`),
		}})
		w.EndJob(job, batchv1.JobSuccessCriteriaMet, batchv1.JobComplete)
	}
	return []crashStory{
		{"hand-off and failure", func(*v1alpha1.CustomAction) {}, []func(*world, int){handOff, failure}, 2, types.ActionExecutionStatusFailed},
		{"progress and success", progressing, []func(*world, int){progress}, 2, types.ActionExecutionStatusSucceeded},
	}
}

// live runs a story to its end, with an operator subject to the tampering and, if that one crashes,
// another one.
func (s crashStory) live(t *testing.T, meets *tampering) {
	w := newWorld(t, func(o *emulator.Options) { o.RedispatchAfter = harness.Redispatch })
	w.wrap, w.Endpoint = meets.kubernetes, meets.codePipeline(w)
	done := make(chan struct{})
	var next sync.WaitGroup
	next.Go(func() {
		stop := w.operate()
		select {
		case <-meets.died:
			stop()
			w.wrap, w.Endpoint = nil, w.AWS.URL()
			w.operate()
		case <-done:
		}
	})
	w.Expect(w.Kube.Create(w.Ctx, w.Action(s.adjust))).To(Succeed())
	w.awaitRegistration()
	w.StartPipeline(map[string]string{"Target": "all"})
	for i, end := range s.runs {
		end(w, i+1)
	}
	w.expectOneEnd(s)
	close(done)
	next.Wait()
}

// expectOneEnd expects one Job per run, and one accepted result per CodePipeline job.
func (w *world) expectOneEnd(s crashStory) {
	w.T.Helper()
	w.Await(func(g Gomega) {
		g.Expect(w.WorkState(g).Status).To(Equal(s.ends))
		pj := w.PipelineJob(g)
		g.Expect(pj.Settled()).To(BeTrue())
		g.Expect(pj.Status.Protocol.Secret).To(BeNil())
		g.Expect(pj.Status.Phase).To(Equal(v1alpha1.Phase(s.ends)))
		g.Expect(pj.Status.Run.Number).To(BeEquivalentTo(len(s.runs)))
	})
	w.Expect(w.Jobs(w)).To(HaveLen(len(s.runs)))
	w.Expect(w.Calls("AcknowledgeJob")).To(Equal(s.jobs))
	w.Expect(w.Calls("PutJobSuccessResult") + w.Calls("PutJobFailureResult")).To(Equal(s.jobs))
	for _, job := range w.Jobs(w) {
		w.Expect(metav1.IsControlledBy(&job, w.PipelineJob(w))).To(BeTrue())
	}
}

// TestCrashAtEveryEffect finds the effects that an operator has during a story, and repeats the
// story for each effect and each moment.
func TestCrashAtEveryEffect(t *testing.T) {
	for _, story := range crashStories() {
		untouched := newTampering("", "")
		story.live(t, untouched)
		NewWithT(t).Expect(len(untouched.seen)).To(BeNumerically(">=", 25), "effects were not found")
		for _, effect := range untouched.seen {
			for _, at := range []moment{crashBefore, crashAfter, answerLost} {
				t.Run(story.name+": "+string(at)+" "+effect, func(t *testing.T) {
					t.Parallel()
					story.live(t, newTampering(effect, at))
				})
			}
		}
	}
}
