package emulator

import (
	"net/http"
	"net/http/httptest"
	"testing"

	. "github.com/onsi/gomega"
)

func TestWhoMayUseTheControlAPI(t *testing.T) {
	const loopback, pod = "127.0.0.1:50000", "10.0.0.7:50000"
	for name, c := range map[string]struct {
		access       ControlAccess
		method, path string
		from, host   string
		status       int
	}{
		"the machine":                        {"", "GET", "/_emulator/faults", loopback, "127.0.0.1:4566", http.StatusOK},
		"the machine, by name":               {"", "GET", "/_emulator/journal", loopback, "localhost:4566", http.StatusOK},
		"the machine, by IPv6":               {"", "GET", "/_emulator/faults", "[::1]:50000", "[::1]:4566", http.StatusOK},
		"a pod":                              {"", "POST", "/_emulator/faults", pod, "emulator:4566", http.StatusForbidden},
		"a pod that names the machine":       {"", "GET", "/_emulator/journal", pod, "127.0.0.1:4566", http.StatusForbidden},
		"a page in a browser of the machine": {"", "GET", "/_emulator/journal", loopback, "rebound.example:4566", http.StatusForbidden},
		"the machine, if it is off":          {ControlNone, "POST", "/_emulator/clock", loopback, "127.0.0.1:4566", http.StatusForbidden},
		"a pod, if it is on for all":         {ControlAll, "GET", "/_emulator/clock", pod, "emulator:4566", http.StatusOK},
		"a probe":                            {ControlNone, "GET", "/_emulator/health", pod, "10.0.0.9:4566", http.StatusOK},
		"what begins as a probe does":        {ControlNone, "GET", "/_emulator/health/../faults", pod, "10.0.0.9:4566", http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			e, err := New(Options{Control: c.access})
			g.Expect(err).NotTo(HaveOccurred())
			request := httptest.NewRequestWithContext(t.Context(), c.method, "http://"+c.host+c.path, nil)
			request.RemoteAddr = c.from
			answer := httptest.NewRecorder()
			e.ServeHTTP(answer, request)
			g.Expect(answer.Code).To(Equal(c.status), answer.Body.String())
			if c.status == http.StatusForbidden {
				g.Expect(answer.Body.String()).To(ContainSubstring("--control="))
			}
		})
	}
}
