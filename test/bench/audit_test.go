//go:build bench

package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// auditPolicy makes the API server log each request of the measured users once, when it is
// complete.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
  users: [` + userOperator + `, ` + userKueue + `, ` + userClient + `]
- level: None
`

// auditLog is the API server's audit log.
type auditLog struct{ policy, file string }

func newAuditLog(t *testing.T) auditLog {
	folder := t.TempDir()
	log := auditLog{filepath.Join(folder, "policy.yaml"), filepath.Join(folder, "audit.log")}
	NewWithT(t).Expect(os.WriteFile(log.policy, []byte(auditPolicy), 0o600)).To(Succeed())
	return log
}

// request is an entry of the log.
type request struct {
	Verb       string `json:"verb"`
	RequestURI string `json:"requestURI"`
	User       struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	// Answered is when the response was complete.
	Answered time.Time `json:"stageTimestamp"`
}

// kind returns the verb, the resource and, for an error, the status code.
func (r request) kind() string {
	kind := r.Verb + " " + r.ObjectRef.Resource
	if r.ObjectRef.Subresource != "" {
		kind += "/" + r.ObjectRef.Subresource
	}
	if strings.Contains(r.RequestURI, "dryRun=") {
		kind += ", dry run"
	}
	if r.ResponseStatus.Code >= http.StatusBadRequest {
		kind += fmt.Sprintf(": %d", r.ResponseStatus.Code)
	}
	return kind
}

// requests returns a user's requests that were completed between two times.
func (l auditLog) requests(g *WithT, user string, from, to time.Time) []request {
	file, err := os.Open(l.file)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = file.Close() }()
	var found []request
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r request
		g.Expect(json.Unmarshal(lines.Bytes(), &r)).To(Succeed())
		if r.User.Username == user && !r.Answered.Before(from) && r.Answered.Before(to) {
			found = append(found, r)
		}
	}
	g.Expect(lines.Err()).NotTo(HaveOccurred())
	return found
}

// answered returns when the requests of a kind were completed.
func answered(requests []request, kind string) []time.Time {
	var times []time.Time
	for _, r := range requests {
		if r.kind() == kind {
			times = append(times, r.Answered)
		}
	}
	return times
}
