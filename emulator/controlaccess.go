package emulator

import (
	"fmt"
	"net"
	"net/http"
	"strings"
)

// ControlAccess is who may use the emulator's own API below /_emulator/, which injects
// faults, moves the clock and shows the calls of all accounts. Everybody may ask for its
// health.
type ControlAccess string

// Values of Options.Control.
const (
	// ControlLoopback lets in who connects from a loopback address of the machine, or of the
	// pod: "kubectl port-forward" does.
	ControlLoopback ControlAccess = "loopback"
	// ControlNone lets nobody in.
	ControlNone ControlAccess = "none"
	// ControlAll lets in everybody who reaches the port.
	ControlAll ControlAccess = "all"
)

// check refuses words that are no ControlAccess.
func (a ControlAccess) check() error {
	switch a {
	case ControlLoopback, ControlNone, ControlAll:
		return nil
	default:
		return fmt.Errorf("the option Control must be %s, %s or %s, not %q", ControlLoopback, ControlNone, ControlAll, string(a))
	}
}

// permits reports whether a request may use the API.
func (a ControlAccess) permits(r *http.Request) bool {
	if a == ControlAll || r.URL.Path == healthPath {
		return true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return a == ControlLoopback && err == nil && net.ParseIP(host).IsLoopback() && isLocal(r.Host)
}

// isLocal reports whether a request names this machine. A page in a browser of the machine
// can send requests from a loopback address, but by the name of its own host.
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost" || net.ParseIP(strings.Trim(host, "[]")).IsLoopback()
}

// healthPath answers readiness probes.
const healthPath = "/_emulator/health"

// guardControl lets through what may use the API.
func guardControl(access ControlAccess, api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !access.permits(r) {
			writeControl(w, http.StatusForbidden, map[string]string{"message": fmt.Sprintf(
				"the emulator's own API is not for this caller: it was started with --control=%s (Options.Control)", access)})
			return
		}
		api.ServeHTTP(w, r)
	})
}
