package emulator

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
)

// lostBefore reports whether a fault prevents the call from reaching the service: it has no effect,
// and the service does not respond.
func (k FaultKind) lostBefore() bool {
	return k == ResetBefore || k == BlackHole || k == ProxyError
}

// lostAfter reports whether the call takes effect, but the response does not arrive completely.
func (k FaultKind) lostAfter() bool {
	return k == ResetAfter || k == BlackHoleAfter || k == HalfAnswer || k == ProxyErrorAfter
}

// outcome returns the journal's text, instead of an error code, for a call that did not reach the
// service.
func (f Fault) outcome() string {
	switch f.Kind {
	case BlackHole:
		return "no answer, before the effect"
	case ProxyError:
		return fmt.Sprintf("status %d of a proxy, before the effect", f.Status)
	default:
		return "reset before the effect"
	}
}

// lose ends a call whose response does not arrive. answer writes the service's response. It may be
// nil for a fault that prevents the call from reaching the service.
func (e *Emulator) lose(w http.ResponseWriter, r *http.Request, fault Fault, answer func(http.ResponseWriter)) {
	e.delay(r.Context(), fault.Delay)
	switch fault.Kind {
	case BlackHole, BlackHoleAfter:
		e.swallow(w, r)
	case HalfAnswer:
		e.sendHalf(w, r, answer)
	case ProxyError, ProxyErrorAfter:
		writeProxyError(w, fault.Status)
	default:
		reset(w)
	}
}

// swallow sends no response until the client gives up or the emulator is closed. It reads from the
// connection itself: net/http notices that the client is gone only after the request's body, and
// reading the body would send 100 Continue.
func (e *Emulator) swallow(w http.ResponseWriter, r *http.Request) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		e.untilGone(r.Context())
		panic(http.ErrAbortHandler)
	}
	connection, _, err := hijacker.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	gone, leave := context.WithCancel(context.Background())
	go func() {
		defer leave()
		_, _ = io.Copy(io.Discard, connection) // an error ends it as well
	}()
	e.untilGone(gone)
	_ = connection.Close() // breaking the connection is the purpose
	<-gone.Done()
}

// untilGone waits until ctx ends, which it does if a client gives up, or the emulator is closed.
func (e *Emulator) untilGone(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-e.closing:
	}
}

// sendHalf sends the headers and half of the body. If the response has no body it sends nothing,
// because the headers would be complete.
func (e *Emulator) sendHalf(w http.ResponseWriter, r *http.Request, answer func(http.ResponseWriter)) {
	whole := newHeldResponse()
	answer(whole)
	if r.Method == http.MethodHead || whole.body.Len() == 0 {
		e.swallow(w, r)
		return
	}
	maps.Copy(w.Header(), whole.header)
	w.Header().Set("Content-Length", strconv.Itoa(whole.body.Len()))
	w.WriteHeader(whole.status)
	_, _ = w.Write(whole.body.Bytes()[:whole.body.Len()/2]) // fails only if the client is gone
	_ = http.NewResponseController(w).Flush()
	e.untilGone(r.Context())
	// net/http closes the connection, because the body is incomplete.
}

// heldResponse is a response that has not been sent yet.
type heldResponse struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newHeldResponse() *heldResponse {
	return &heldResponse{header: http.Header{}, status: http.StatusOK}
}

func (h *heldResponse) Header() http.Header               { return h.header }
func (h *heldResponse) Write(content []byte) (int, error) { return h.body.Write(content) }
func (h *heldResponse) WriteHeader(status int)            { h.status = status }

// proxyPage resembles error pages of proxies and load balancers.
const proxyPage = `<!DOCTYPE html>
<html><head><title>%[1]d %[2]s</title></head>
<body><center><h1>%[1]d %[2]s</h1></center><hr><center>proxy</center></body></html>
`

// writeProxyError responds like a proxy: in HTML, without AWS headers.
func writeProxyError(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Server", "proxy")
	if status == http.StatusProxyAuthRequired {
		w.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, proxyPage, status, http.StatusText(status)) // fails only if the client is gone
}
