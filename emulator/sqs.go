package emulator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/engine"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/identity"
	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/queues"
)

const (
	sqsTarget      = "AmazonSQS."
	sqsContentType = "application/x-amz-json-1.0"
)

// Limits of SQS.
const (
	maxBatch      = 10
	maxWait       = 20
	maxVisibility = 43200 // seconds: 12 hours
	maxBody       = 1 << 20
)

// sqsActions are the supported actions.
var sqsActions = []string{
	"CreateQueue", "GetQueueUrl", "GetQueueAttributes", "SendMessage", "ReceiveMessage",
	"DeleteMessage", "DeleteMessageBatch", "ChangeMessageVisibility", "PurgeQueue",
}

// queueName matches names of standard queues.
var queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// sqsRequest has the members of all SQS requests.
type sqsRequest struct {
	QueueName           string
	QueueURL            string `json:"QueueUrl"`
	MessageBody         string
	MaxNumberOfMessages *int
	VisibilityTimeout   *int
	WaitTimeSeconds     int
	ReceiptHandle       string
	Entries             []struct{ ID, ReceiptHandle string }
}

// sqsMessage is a received message.
type sqsMessage struct {
	MessageID     string `json:"MessageId"`
	ReceiptHandle string
	MD5OfBody     string
	Body          string
	Attributes    map[string]string
}

// serveSQS serves a call of SQS's JSON protocol.
func (e *Emulator) serveSQS(w http.ResponseWriter, r *http.Request, action string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		writeSQSError(w, &engine.Error{Code: "InvalidRequest", Message: "the request can't be read"})
		return
	}
	digest := sha256.Sum256(body)
	who, refusal := e.authenticate(r, ServiceSQS, hex.EncodeToString(digest[:]))
	fault := e.faults.take(who.regionID(), action)
	if fault.Kind.lostBefore() {
		e.record(ServiceSQS, action, who, nil, fault.outcome(), fault.Kind)
		e.lose(w, r, fault, nil)
		return
	}
	var request sqsRequest
	problem := allowSQS(r, who, refusal, action, fault.Kind)
	if problem == nil && json.Unmarshal(body, &request) != nil {
		problem = &engine.Error{Code: "SerializationException", Message: "the request is not valid JSON"}
	}
	var response any
	if problem == nil {
		problem = refusedByPolicy(who, "AccessDeniedException", queuePermission(who, action, request))
	}
	if problem == nil {
		response, problem = e.callSQS(r.Context(), who, r.Host, action, request)
	}
	if problem == nil && fault.Kind == ServerErrorAfter {
		problem = &engine.Error{Code: "InternalFailure", Message: "The answer was lost"}
	}
	e.recordSQS(action, who, request, problem, fault.Kind)
	e.answer(w, r, fault, func(w http.ResponseWriter) {
		if problem != nil {
			writeSQSError(w, problem)
			return
		}
		writeSQS(w, http.StatusOK, response)
	})
}

// recordSQS records the queue, but no message.
func (e *Emulator) recordSQS(action string, who caller, request sqsRequest, problem *engine.Error, fault FaultKind) {
	shown, _ := json.Marshal(map[string]string{"QueueUrl": request.QueueURL + request.QueueName}) // strings can always be encoded
	code := ""
	if problem != nil {
		code = problem.Code
	}
	e.record(ServiceSQS, action, who, shown, code, fault)
}

func allowSQS(r *http.Request, who caller, refusal *identity.Refusal, action string, fault FaultKind) *engine.Error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Method != http.MethodPost || err != nil || kind != sqsContentType:
		return &engine.Error{Code: "UnsupportedOperation", Message: "Calls are POST requests of " + sqsContentType}
	case refusal != nil:
		return &engine.Error{Code: codes[ServiceSQS][refusal.Reason], Message: refusal.Message}
	case who.grant != nil || fault == AccessDenied:
		return &engine.Error{Code: "AccessDeniedException", Message: fmt.Sprintf("User: %s is not authorized to perform: sqs:%s", who.ARN, strings.ToLower(action))}
	case fault == Throttle:
		return &engine.Error{Code: "ThrottlingException", Message: "Rate exceeded"}
	case fault == ServerError:
		return &engine.Error{Code: "InternalFailure", Message: "The request processing has failed because of an unknown error"}
	}
	return nil
}

func (e *Emulator) callSQS(ctx context.Context, who caller, host, action string, request sqsRequest) (any, *engine.Error) {
	name := queues.Name{Account: who.Account, Region: who.region, Queue: request.QueueName}
	switch action {
	case "CreateQueue":
		if !queueName.MatchString(name.Queue) {
			return nil, invalidSQS("QueueName must have 1 to 80 letters, digits, hyphens and underscores")
		}
		e.queues.Create(name)
		return queueURL(host, name), nil
	case "GetQueueUrl":
		if !e.queues.Exists(name) {
			return nil, errNoQueue
		}
		return queueURL(host, name), nil
	}
	name, ok := queueOf(request.QueueURL, who)
	if !ok || !e.queues.Exists(name) {
		return nil, errNoQueue
	}
	switch action {
	case "GetQueueAttributes":
		return e.queueAttributes(name), nil
	case "SendMessage":
		return e.sendMessage(name, request)
	case "ReceiveMessage":
		return e.receiveMessage(ctx, name, request)
	case "DeleteMessage":
		return nil, badReceipt(e.queues.Delete(name, request.ReceiptHandle))
	case "DeleteMessageBatch":
		return e.deleteMessages(name, request)
	case "ChangeMessageVisibility":
		if bad := outOfRange("VisibilityTimeout", request.VisibilityTimeout, 0, maxVisibility); bad != nil || request.VisibilityTimeout == nil {
			return nil, invalidSQS("VisibilityTimeout must be from 0 to 43200")
		}
		return nil, badReceipt(e.queues.Hide(name, request.ReceiptHandle, time.Duration(*request.VisibilityTimeout)*time.Second))
	case "PurgeQueue":
		e.queues.Purge(name)
		return nil, nil
	default:
		return nil, &engine.Error{Code: "UnknownOperationException", Message: "The emulator does not have the SQS action " + action}
	}
}

var errNoQueue = &engine.Error{Code: "QueueDoesNotExist", Message: "The specified queue does not exist."}

func invalidSQS(message string) *engine.Error {
	return &engine.Error{Code: "InvalidParameterValue", Message: message}
}

func badReceipt(err error) *engine.Error {
	if err == nil {
		return nil
	}
	return &engine.Error{Code: "ReceiptHandleIsInvalid", Message: err.Error()}
}

func outOfRange(member string, value *int, least, most int) *engine.Error {
	if value != nil && (*value < least || *value > most) {
		return invalidSQS(fmt.Sprintf("Value %d for parameter %s is invalid. Reason: Must be between %d and %d, if provided.", *value, member, least, most))
	}
	return nil
}

func queueURL(host string, name queues.Name) any {
	return map[string]string{"QueueUrl": "http://" + host + "/" + name.Account + "/" + name.Queue}
}

// queueOf returns the queue of a URL. It ignores the host.
func queueOf(text string, who caller) (queues.Name, bool) {
	parsed, err := url.Parse(text)
	if err != nil {
		return queues.Name{}, false
	}
	account, queue, ok := strings.Cut(strings.Trim(parsed.Path, "/"), "/")
	return queues.Name{Account: account, Region: who.region, Queue: queue}, ok && account == who.Account
}

func (e *Emulator) queueAttributes(name queues.Name) any {
	visible, hidden := e.queues.Count(name)
	return map[string]any{"Attributes": map[string]string{
		"QueueArn":                              fmt.Sprintf("arn:aws:sqs:%s:%s:%s", name.Region, name.Account, name.Queue),
		"VisibilityTimeout":                     strconv.Itoa(int(queues.DefaultVisibility / time.Second)),
		"ApproximateNumberOfMessages":           strconv.Itoa(visible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(hidden),
	}}
}

func (e *Emulator) sendMessage(name queues.Name, request sqsRequest) (any, *engine.Error) {
	if request.MessageBody == "" || len(request.MessageBody) > maxBody {
		return nil, invalidSQS(fmt.Sprintf("MessageBody must have 1 to %d bytes", maxBody))
	}
	sent := e.queues.Send(name, request.MessageBody)
	return map[string]string{"MessageId": sent.ID, "MD5OfMessageBody": sent.MD5}, nil
}

func (e *Emulator) receiveMessage(ctx context.Context, name queues.Name, request sqsRequest) (any, *engine.Error) {
	for _, bad := range []*engine.Error{
		outOfRange("MaxNumberOfMessages", request.MaxNumberOfMessages, 1, maxBatch),
		outOfRange("WaitTimeSeconds", &request.WaitTimeSeconds, 0, maxWait),
		outOfRange("VisibilityTimeout", request.VisibilityTimeout, 0, maxVisibility),
	} {
		if bad != nil {
			return nil, bad
		}
	}
	count, visibility := 1, queues.DefaultVisibility
	if request.MaxNumberOfMessages != nil {
		count = *request.MaxNumberOfMessages
	}
	if request.VisibilityTimeout != nil {
		visibility = time.Duration(*request.VisibilityTimeout) * time.Second
	}
	var given []sqsMessage
	for _, m := range e.queues.Receive(ctx, name, count, visibility, time.Duration(request.WaitTimeSeconds)*time.Second) {
		given = append(given, sqsMessage{m.ID, m.Receipt, m.MD5, m.Body, map[string]string{
			"ApproximateReceiveCount": strconv.Itoa(m.Receives), "SentTimestamp": strconv.FormatInt(m.Sent.UnixMilli(), 10),
		}})
	}
	if given == nil {
		return map[string]any{}, nil
	}
	return map[string]any{"Messages": given}, nil
}

func (e *Emulator) deleteMessages(name queues.Name, request sqsRequest) (any, *engine.Error) {
	switch {
	case len(request.Entries) == 0:
		return nil, &engine.Error{Code: "EmptyBatchRequest", Message: "There should be at least one DeleteMessageBatchRequestEntry in the request."}
	case len(request.Entries) > maxBatch:
		return nil, &engine.Error{Code: "TooManyEntriesInBatchRequest", Message: fmt.Sprintf("Maximum number of entries per request are %d.", maxBatch)}
	}
	done, failed, seen := []map[string]string{}, []map[string]any{}, map[string]bool{}
	for _, entry := range request.Entries {
		if seen[entry.ID] {
			return nil, &engine.Error{Code: "BatchEntryIdsNotDistinct", Message: fmt.Sprintf("Id %s repeated.", entry.ID)}
		}
		seen[entry.ID] = true
	}
	for _, entry := range request.Entries {
		if err := e.queues.Delete(name, entry.ReceiptHandle); err != nil {
			failed = append(failed, map[string]any{"Id": entry.ID, "SenderFault": true, "Code": "ReceiptHandleIsInvalid", "Message": err.Error()})
			continue
		}
		done = append(done, map[string]string{"Id": entry.ID})
	}
	return map[string]any{"Successful": done, "Failed": failed}, nil
}

// writeSQS writes a response in AWS JSON 1.0.
func writeSQS(w http.ResponseWriter, status int, response any) {
	w.Header().Set("Content-Type", sqsContentType)
	w.Header().Set("X-Amzn-RequestId", uuid.NewString())
	w.WriteHeader(status)
	if response == nil {
		return
	}
	_ = json.NewEncoder(w).Encode(response) // fails only if the client is gone
}

// writeSQSError also sets the header with the query protocol's code.
func writeSQSError(w http.ResponseWriter, problem *engine.Error) {
	status, fault := http.StatusBadRequest, "Sender"
	if problem.Code == "InternalFailure" {
		status, fault = http.StatusInternalServerError, "Receiver"
	}
	w.Header().Set("X-Amzn-Query-Error", problem.Code+";"+fault)
	writeSQS(w, status, map[string]string{"__type": "com.amazonaws.sqs#" + problem.Code, "message": problem.Message})
}
