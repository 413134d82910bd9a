package emulator

import (
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pipelinejob/pipelinejob-operator/internal/emulator/engine"
)

// sessionTTL is how long credentials of STS say they are good. They are an
// ordinary caller's and work for ever.
const sessionTTL = time.Hour

// roleARN is the model's pattern of a role's ARN.
var roleARN = regexp.MustCompile(`^arn:aws(-[\w]+)*:iam::([0-9]{12}):role/(.+)$`)

// isQuery tells a call of the query protocol without a signature, as
// AssumeRoleWithWebIdentity is made.
func isQuery(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && r.Method == http.MethodPost && r.URL.Path == "/" && kind == "application/x-www-form-urlencoded"
}

type callerIdentity struct {
	ARN     string `xml:"Arn"`
	UserID  string `xml:"UserId"`
	Account string `xml:"Account"`
}

type assumedRole struct {
	Credentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      string
	}
	User struct {
		ID  string `xml:"AssumedRoleId"`
		ARN string `xml:"Arn"`
	} `xml:"AssumedRoleUser"`
}

// serveSTS answers GetCallerIdentity, by which clients find out who they are,
// and AssumeRole and AssumeRoleWithWebIdentity, which trust everybody.
func (e *Emulator) serveSTS(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	action := r.FormValue("Action")
	fault := e.faults.take(action)
	result, err := e.callSTS(action, r, fault.Kind)
	e.recordSTS(action, r, err)
	hold(r.Context(), fault.Delay)
	switch {
	case fault.Kind == ResetBefore || fault.Kind == ResetAfter: // no call has an effect
		reset(w)
	case err != nil:
		writeSTSError(w, err)
	default:
		e.writeSTS(w, action, result)
	}
}

func (e *Emulator) callSTS(action string, r *http.Request, fault FaultKind) (any, *engine.Error) {
	switch fault {
	case Throttle:
		return nil, &engine.Error{Code: "Throttling", Message: "Rate exceeded"}
	case ServerError, ServerErrorAfter:
		return nil, &engine.Error{Code: "InternalFailure", Message: "The request processing has failed because of an unknown error"}
	}
	switch action {
	case "GetCallerIdentity":
		return callerIdentity{fmt.Sprintf("arn:aws:iam::%s:user/emulator", e.account), "EMULATOR", e.account}, nil
	case "AssumeRole", "AssumeRoleWithWebIdentity":
		role, session := roleARN.FindStringSubmatch(r.FormValue("RoleArn")), r.FormValue("RoleSessionName")
		if role == nil || session == "" {
			return nil, &engine.Error{Code: "ValidationError", Message: "RoleArn must be a role's ARN, and RoleSessionName must be given"}
		}
		return e.assume(role, session), nil
	default:
		return nil, &engine.Error{Code: "InvalidAction", Message: "The emulator does not have the STS action " + action}
	}
}

// recordSTS keeps who was to be assumed, and no token.
func (e *Emulator) recordSTS(action string, r *http.Request, problem *engine.Error) {
	shown := map[string]string{}
	for _, name := range []string{"RoleArn", "RoleSessionName", "ExternalId"} {
		if value := r.FormValue(name); value != "" {
			shown[name] = value
		}
	}
	call := Call{Time: e.clock.Now(), Service: ServiceSTS, Operation: action}
	if request, err := json.Marshal(shown); err == nil {
		call.Request = request
	}
	if problem != nil {
		call.Error = problem.Code
	}
	e.journal.add(call)
}

func (e *Emulator) assume(role []string, session string) assumedRole {
	var made assumedRole
	made.Credentials.AccessKeyID = "ASIAROLE" + rand.Text()[:12]
	made.Credentials.SecretAccessKey = rand.Text() + rand.Text()[:14]
	made.Credentials.SessionToken = rand.Text() + rand.Text()
	made.Credentials.Expiration = e.clock.Now().Add(sessionTTL).UTC().Format(time.RFC3339)
	made.User.ID = "AROAEMULATOR:" + session
	name := role[3][strings.LastIndex(role[3], "/")+1:]
	made.User.ARN = fmt.Sprintf("arn:aws%s:sts::%s:assumed-role/%s/%s", role[1], role[2], name, session)
	return made
}

// writeSTS answers in the query protocol, where the result's element is named
// for the action.
func (e *Emulator) writeSTS(w http.ResponseWriter, action string, result any) {
	w.Header().Set("Content-Type", "text/xml")
	encoder := xml.NewEncoder(w)
	outer := xml.StartElement{Name: xml.Name{Space: "https://sts.amazonaws.com/doc/2011-06-15/", Local: action + "Response"}}
	inner := xml.StartElement{Name: xml.Name{Local: action + "Result"}}
	err := encoder.EncodeToken(outer)
	if err == nil {
		err = encoder.EncodeElement(result, inner)
	}
	if err == nil {
		err = encoder.EncodeElement(struct{ RequestId string }{uuid.NewString()}, xml.StartElement{Name: xml.Name{Local: "ResponseMetadata"}})
	}
	if err == nil {
		err = encoder.EncodeToken(outer.End())
	}
	if err == nil {
		err = encoder.Flush()
	}
	if err != nil {
		e.log.Info("An answer of STS was not sent", "error", err)
	}
}

// writeSTSError answers in the query protocol's form.
func writeSTSError(w http.ResponseWriter, problem *engine.Error) {
	status, kind := http.StatusBadRequest, "Sender"
	if problem.Code == "InternalFailure" {
		status, kind = http.StatusInternalServerError, "Receiver"
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(struct { // the client is gone when this fails
		XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
		Type    string   `xml:"Error>Type"`
		Code    string   `xml:"Error>Code"`
		Message string   `xml:"Error>Message"`
	}{Type: kind, Code: problem.Code, Message: problem.Message})
}
