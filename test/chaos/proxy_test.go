//go:build chaos

package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
)

// faultRate is the probability that a call fails, to the API server and to AWS.
const faultRate = 0.2

// proxy is the operators' proxy to the API server. Requests fail with faultRate, half of them
// before they take effect and half after it. Watches are cut.
type proxy struct {
	server *http.Server
	target string
	way    http.RoundTripper
	dice   *dice
	// calm stops the faults.
	calm atomic.Bool

	// Counts until then: requests, failed requests and cut watches.
	requests, before, after, cuts atomic.Int64
}

// requestTimeout bounds a request that continues after its client is gone.
const requestTimeout = time.Minute

func startProxy(config *rest.Config, random *dice) (*proxy, error) {
	way, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return nil, err
	}
	p := &proxy{target: config.Host, way: way, dice: random}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: requestTimeout, Addr: listener.Addr().String()}
	go func() { _ = p.server.Serve(listener) }() // until stop
	return p, nil
}

func (p *proxy) url() string { return "http://" + p.server.Addr }

func (p *proxy) stop() { _ = p.server.Close() }

// outcome is what the proxy does with a request.
type outcome int

const (
	passes outcome = iota
	failsBefore
	failsAfter
)

func (p *proxy) outcome() outcome {
	if p.calm.Load() {
		return passes
	}
	p.requests.Add(1)
	if !p.dice.happens(faultRate) {
		return passes
	}
	if p.dice.happens(0.5) {
		p.before.Add(1)
		return failsBefore
	}
	p.after.Add(1)
	return failsAfter
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	outcome := p.outcome()
	watches := r.URL.Query().Has("watch") || r.URL.Query().Has("follow")
	if outcome == failsBefore || watches && outcome == failsAfter {
		p.fail(w)
		return
	}
	if watches {
		p.watch(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	// A request that was sent takes effect, even if the client is killed meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), requestTimeout)
	defer cancel()
	response, err := p.send(ctx, r, body)
	if err != nil {
		breakOff(w)
		return
	}
	content, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		breakOff(w)
		return
	}
	if outcome == failsAfter {
		p.fail(w)
		return
	}
	head(w, response)
	_, _ = w.Write(content) // the client may be gone
}

func (p *proxy) send(ctx context.Context, r *http.Request, body []byte) (*http.Response, error) {
	out, err := http.NewRequestWithContext(ctx, r.Method, p.target+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out.Header = r.Header.Clone()
	return p.way.RoundTrip(out)
}

// watch forwards a watch for a while.
func (p *proxy) watch(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := r.Context(), context.CancelFunc(func() {})
	if !p.calm.Load() {
		ctx, cancel = context.WithTimeout(ctx, p.dice.between(2*time.Second, 40*time.Second))
	}
	defer cancel()
	response, err := p.send(ctx, r, nil)
	if err != nil {
		breakOff(w)
		return
	}
	defer func() { _ = response.Body.Close() }() // only opened for reading
	head(w, response)
	flush := http.NewResponseController(w)
	buffer := make([]byte, 64<<10)
	for {
		n, err := response.Body.Read(buffer)
		_, failed := w.Write(buffer[:n])
		_ = flush.Flush() // the next write fails if the client is gone
		if err == io.EOF && failed == nil {
			return
		}
		if err != nil || failed != nil {
			p.cuts.Add(1)
			panic(http.ErrAbortHandler) // breaks the connection
		}
	}
}

func head(w http.ResponseWriter, response *http.Response) {
	for name, values := range response.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(response.StatusCode)
}

// fail responds like a failing API server or load balancer, or not at all.
func (p *proxy) fail(w http.ResponseWriter) {
	if p.dice.happens(0.5) {
		breakOff(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"chaos","reason":"ServiceUnavailable","code":503}`)
}

// breakOff breaks the connection without a response.
func breakOff(http.ResponseWriter) { panic(http.ErrAbortHandler) }
