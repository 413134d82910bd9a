package emulator

import (
	"fmt"
	"net"
	"net/http"
	"strings"
)

// ControlAccess sets who may use the emulator's own API below /_emulator/, which injects faults,
// moves the clock and shows the calls of all accounts. The health endpoint is open to everyone.
type ControlAccess string

// Values of Options.Control.
const (
	// ControlLoopback allows connections from a loopback address of the machine or the pod, such as
	// those of "kubectl port-forward".
	ControlLoopback ControlAccess = "loopback"
	// ControlNone allows nobody.
	ControlNone ControlAccess = "none"
	// ControlAll allows everyone who can reach the port.
	ControlAll ControlAccess = "all"
)

// check refuses unknown values.
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

// isLocal reports whether a request's host is this machine. Web pages in a local browser can send
// requests from a loopback address, but only with the name of their own host.
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost" || net.ParseIP(strings.Trim(host, "[]")).IsLoopback()
}

// healthPath answers readiness probes.
const healthPath = "/_emulator/health"

// guardControl passes permitted requests to the API.
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
