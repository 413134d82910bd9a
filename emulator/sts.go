package emulator

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/engine"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/identity"
)

// The bounds and the default of a session's duration, in seconds (AssumeRole's DurationSeconds).
const (
	minSession     = 15 * time.Minute
	defaultSession = time.Hour
	maxSession     = 12 * time.Hour
)

// stsActions are the supported actions.
var stsActions = []string{"GetCallerIdentity", "AssumeRole", "AssumeRoleWithWebIdentity"}

// roleARN is the model's pattern for a role's ARN.
var roleARN = regexp.MustCompile(`^arn:aws(-[\w]+)*:iam::([0-9]{12}):role/(.+)$`)

// isQuery reports whether the request is a call of the query protocol without a
// signature, such as AssumeRoleWithWebIdentity.
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

// serveSTS serves GetCallerIdentity, AssumeRole and AssumeRoleWithWebIdentity.
func (e *Emulator) serveSTS(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		writeSTSError(w, &engine.Error{Code: "InvalidQueryParameter", Message: "the request can't be read"})
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	digest := sha256.Sum256(body)
	action := r.FormValue("Action")
	who, refusal := e.authenticate(r, ServiceSTS, hex.EncodeToString(digest[:]))
	if action == "AssumeRoleWithWebIdentity" {
		refusal = nil // its web identity token replaces a signature
	}
	fault := e.faults.take(stsTarget(who, r), action)
	if fault.Kind.lostBefore() {
		e.recordSTS(action, r, who, fault.outcome(), fault.Kind)
		e.lose(w, r, fault, nil)
		return
	}
	result, problem := e.callSTS(action, r, who, refusal, fault.Kind)
	outcome := ""
	if problem != nil {
		outcome = problem.Code
	}
	e.recordSTS(action, r, who, outcome, fault.Kind)
	e.answer(w, r, fault, func(w http.ResponseWriter) {
		if problem != nil {
			writeSTSError(w, problem)
			return
		}
		e.writeSTS(w, action, result)
	})
}

// stsTarget returns the account and region by which faults select a call. For AssumeRole it is the
// role's account, so that a test can cut off one account although the caller is the same for all.
func stsTarget(who caller, r *http.Request) regionID {
	at := who.regionID()
	if role := roleARN.FindStringSubmatch(r.FormValue("RoleArn")); role != nil {
		at.account = role[2]
	}
	return at
}

func (e *Emulator) callSTS(action string, r *http.Request, who caller, refusal *identity.Refusal, fault FaultKind) (any, *engine.Error) {
	switch {
	case fault == Throttle:
		return nil, &engine.Error{Code: "Throttling", Message: "Rate exceeded"}
	case fault == ServerError || fault == ServerErrorAfter:
		return nil, &engine.Error{Code: "InternalFailure", Message: "The request processing has failed because of an unknown error"}
	case fault == AccessDenied:
		return nil, &engine.Error{Code: "AccessDenied", Message: fmt.Sprintf("User: %s is not authorized to perform: sts:%s", who.ARN, action)}
	case refusal != nil:
		return nil, &engine.Error{Code: codes[ServiceSTS][refusal.Reason], Message: refusal.Message}
	}
	switch action {
	case "GetCallerIdentity":
		return callerIdentity{who.ARN, who.UserID, who.Account}, nil
	case "AssumeRole", "AssumeRoleWithWebIdentity":
		return e.assume(r, who)
	default:
		return nil, &engine.Error{Code: "InvalidAction", Message: "The emulator does not have the STS action " + action}
	}
}

// recordSTS records the role, the session and its policy, but no token.
func (e *Emulator) recordSTS(action string, r *http.Request, who caller, outcome string, fault FaultKind) {
	shown := map[string]string{}
	for _, name := range []string{"RoleArn", "RoleSessionName", "ExternalId", "Policy"} {
		if value := r.FormValue(name); value != "" {
			shown[name] = value
		}
	}
	request, _ := json.Marshal(shown) // a map of strings can always be encoded
	e.record(ServiceSTS, action, who, request, outcome, fault)
}

// assume returns a session of a role, which may be in another account.
func (e *Emulator) assume(r *http.Request, who caller) (any, *engine.Error) {
	name, session := r.FormValue("RoleArn"), r.FormValue("RoleSessionName")
	role := roleARN.FindStringSubmatch(name)
	length, err := sessionLength(r.FormValue("DurationSeconds"))
	if role == nil || !sessionName.MatchString(session) || err != nil {
		return nil, &engine.Error{Code: "ValidationError", Message: "RoleArn must be a role's ARN, RoleSessionName have 2 to 64 of the characters A-Za-z0-9_=,.@-, and DurationSeconds be from 900 to 43200"}
	}
	demanded, known := e.options.Roles[name]
	if e.options.Roles != nil && (!known || demanded != r.FormValue("ExternalId")) {
		return nil, &engine.Error{Code: "AccessDenied", Message: fmt.Sprintf("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", who.ARN, name)}
	}
	if refused := refusedByPolicy(who, "AccessDenied", permission{"sts:AssumeRole", name}); refused != nil && r.FormValue("Action") == "AssumeRole" {
		return nil, refused
	}
	policy, problem := sessionPolicy(r)
	if problem != nil {
		return nil, problem
	}
	now := e.clock.Now()
	assumed := identity.Caller{
		Account: role[2], UserID: "AROAEMULATOR:" + session, Policy: policy,
		ARN: fmt.Sprintf("arn:aws%s:sts::%s:assumed-role/%s/%s", role[1], role[2], role[3][strings.LastIndex(role[3], "/")+1:], session),
	}
	id, key := e.keys.Issue(assumed, now, now.Add(length))
	var made assumedRole
	made.Credentials.AccessKeyID, made.Credentials.SecretAccessKey, made.Credentials.SessionToken = id, key.Secret, key.SessionToken
	made.Credentials.Expiration = key.Expires.UTC().Format(time.RFC3339)
	made.User.ID, made.User.ARN = assumed.UserID, assumed.ARN
	return made, nil
}

var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

func sessionLength(seconds string) (time.Duration, error) {
	if seconds == "" {
		return defaultSession, nil
	}
	count, err := strconv.Atoi(seconds)
	length := time.Duration(count) * time.Second
	if err != nil || length < minSession || length > maxSession {
		return 0, errors.New("out of range")
	}
	return length, nil
}

// writeSTS writes a response in the query protocol, where the element of the result is named after
// the action.
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

// writeSTSError writes an error in the query protocol's form.
func writeSTSError(w http.ResponseWriter, problem *engine.Error) {
	status, kind := http.StatusBadRequest, "Sender"
	switch problem.Code {
	case "InternalFailure":
		status, kind = http.StatusInternalServerError, "Receiver"
	case "AccessDenied", "InvalidClientTokenId", "SignatureDoesNotMatch", "MissingAuthenticationToken", "ExpiredToken":
		status = http.StatusForbidden
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(struct { // fails only if the client is gone
		XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
		Type    string   `xml:"Error>Type"`
		Code    string   `xml:"Error>Code"`
		Message string   `xml:"Error>Message"`
	}{Type: kind, Code: problem.Code, Message: problem.Message})
}
