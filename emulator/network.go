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

// lostBefore reports whether a fault keeps the call from the service: it has no
// effect, and the service does not answer.
func (k FaultKind) lostBefore() bool {
	return k == ResetBefore || k == BlackHole || k == ProxyError
}

// lostAfter reports whether the service does the call, but its answer does not
// arrive, or not as a whole.
func (k FaultKind) lostAfter() bool {
	return k == ResetAfter || k == BlackHoleAfter || k == HalfAnswer || k == ProxyErrorAfter
}

// outcome is what the journal has in place of an error code for a call that a fault
// kept from the service.
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

// lose ends a call whose answer does not arrive. answer writes what the service
// answers; it may be nil for a fault that keeps the call from the service.
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

// swallow answers nothing until the client gives up or the emulator is closed. It
// reads from the connection itself: net/http notices the client's end only after the
// request's body, and reading the body would answer 100 Continue.
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
		_, _ = io.Copy(io.Discard, connection) // an error is the end, too
	}()
	e.untilGone(gone)
	_ = connection.Close() // breaking it is the purpose
	<-gone.Done()
}

// untilGone waits until ctx ends, as it does when a client gives up, or the emulator
// is closed.
func (e *Emulator) untilGone(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-e.closing:
	}
}

// sendHalf sends the headers and half of the body. Of an answer without a body it
// sends nothing, since its headers would be all of it.
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
	_, _ = w.Write(whole.body.Bytes()[:whole.body.Len()/2]) // the client is gone when this fails
	_ = http.NewResponseController(w).Flush()
	e.untilGone(r.Context())
	// net/http closes the connection, since the body is incomplete.
}

// heldResponse is a response that is not sent yet.
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

// proxyPage is like what proxies and load balancers answer by themselves.
const proxyPage = `<!DOCTYPE html>
<html><head><title>%[1]d %[2]s</title></head>
<body><center><h1>%[1]d %[2]s</h1></center><hr><center>proxy</center></body></html>
`

// writeProxyError answers as a proxy does: in HTML, without any header of AWS's.
func writeProxyError(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Server", "proxy")
	if status == http.StatusProxyAuthRequired {
		w.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, proxyPage, status, http.StatusText(status)) // the client is gone when this fails
}
