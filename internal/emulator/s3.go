package emulator

import (
	"net/http"

	"github.com/pipelinejob/pipelinejob-operator/internal/emulator/objects"
)

// serveS3 answers a request of S3, with the faults of its operation.
func (e *Emulator) serveS3(w http.ResponseWriter, r *http.Request, accessKey string) {
	fault := e.faults.take(objects.Operation(r))
	switch fault.Kind {
	case ServerErrorAfter, ResetAfter:
		e.objects.Serve(&unsent{header: http.Header{}}, r, accessKey)
	case "":
		e.objects.Serve(w, r, accessKey)
		return
	}
	hold(r.Context(), fault.Delay)
	switch fault.Kind {
	case Throttle:
		objects.WriteError(w, "SlowDown", "Please reduce your request rate.")
	case ServerError, ServerErrorAfter:
		objects.WriteError(w, "InternalError", "We encountered an internal error. Please try again.")
	case ResetBefore, ResetAfter:
		reset(w)
	default: // Latency
		e.objects.Serve(w, r, accessKey)
	}
}

// unsent is an answer that is lost.
type unsent struct{ header http.Header }

func (u *unsent) Header() http.Header               { return u.header }
func (u *unsent) Write(content []byte) (int, error) { return len(content), nil }
func (u *unsent) WriteHeader(int)                   {}
