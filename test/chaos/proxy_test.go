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

// proxy is the way of the operators to the API server. Requests fail with faultRate:
// half of them before their effect, half of them after it. Watches are cut.
type proxy struct {
	server *http.Server
	target string
	way    http.RoundTripper
	dice   *dice
	// calm lets all requests through.
	calm atomic.Bool

	// Until then are counted: requests, those that failed, and watches that were cut.
	requests, before, after, cuts atomic.Int64
}

// requestTimeout bounds a request that goes on after its client is gone.
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

// It is what the proxy does with a request.
type fate int

const (
	passes fate = iota
	failsBefore
	failsAfter
)

func (p *proxy) fate() fate {
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
	fate := p.fate()
	watches := r.URL.Query().Has("watch") || r.URL.Query().Has("follow")
	if fate == failsBefore || watches && fate == failsAfter {
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
	// What was sent has its effect, also if the client is killed meanwhile.
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
	if fate == failsAfter {
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

// watch passes on a watch, for a while.
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
	defer func() { _ = response.Body.Close() }() // it was only read from
	head(w, response)
	flush := http.NewResponseController(w)
	buffer := make([]byte, 64<<10)
	for {
		n, err := response.Body.Read(buffer)
		_, failed := w.Write(buffer[:n])
		_ = flush.Flush() // a client that is gone shows at the next write
		if err == io.EOF && failed == nil {
			return
		}
		if err != nil || failed != nil {
			p.cuts.Add(1)
			panic(http.ErrAbortHandler) // which breaks the connection
		}
	}
}

func head(w http.ResponseWriter, response *http.Response) {
	for name, values := range response.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(response.StatusCode)
}

// fail answers as an API server or a load balancer does that fails, or not at all.
func (p *proxy) fail(w http.ResponseWriter) {
	if p.dice.happens(0.5) {
		breakOff(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"chaos","reason":"ServiceUnavailable","code":503}`)
}

// breakOff breaks the connection without an answer.
func breakOff(http.ResponseWriter) { panic(http.ErrAbortHandler) }
