package rights

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Operator is the operator's user, and Program is the user agent of its requests. Tests that use
// the operator's token have another user agent.
const (
	Operator = "system:serviceaccount:pipelinejob-system:pipelinejob-operator"
	Program  = "manager/"
)

// Request is a request to the API server.
type Request struct {
	Right
	// URI is the URI of the request, with namespace and name.
	URI string
	// Refused reports whether authorization forbade it. Requests that admission refuses have been
	// authorized.
	Refused bool
}

// Annotations of audit events, and the value of one
// (https://kubernetes.io/docs/reference/labels-annotations-taints/audit-annotations/).
const (
	annotationDecision = "authorization.k8s.io/decision"
	decisionForbid     = "forbid"
)

// auditEvent has the fields of an audit.k8s.io/v1 Event that are read.
type auditEvent struct {
	Verb       string `json:"verb"`
	RequestURI string `json:"requestURI"`
	UserAgent  string `json:"userAgent"`
	User       struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef *struct {
		APIGroup    string `json:"apiGroup"`
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
	} `json:"objectRef"`
	Received    time.Time         `json:"requestReceivedTimestamp"`
	Annotations map[string]string `json:"annotations"`
}

// Requests returns the operator's requests for resources since a time, from an audit log with a
// JSON event per line. The last line may be incomplete, because the API server may be writing it.
func Requests(log io.Reader, from time.Time) ([]Request, error) {
	var found []Request
	lines := bufio.NewReader(log)
	for number := 1; ; number++ {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		var event auditEvent
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			return nil, fmt.Errorf("line %d of the audit log: %w", number, err)
		}
		if request, ok := event.request(from); ok {
			found = append(found, request)
		}
	}
}

// request returns false if the event is not of the operator, too old or not about a resource.
func (e auditEvent) request(from time.Time) (Request, bool) {
	if e.ObjectRef == nil || e.User.Username != Operator || !strings.HasPrefix(e.UserAgent, Program) || e.Received.Before(from) {
		return Request{}, false
	}
	resource := e.ObjectRef.Resource
	if e.ObjectRef.Subresource != "" {
		resource += "/" + e.ObjectRef.Subresource
	}
	return Request{
		Right: Right{e.ObjectRef.APIGroup, resource, e.Verb}, URI: e.RequestURI,
		Refused: e.Annotations[annotationDecision] == decisionForbid,
	}, true
}
