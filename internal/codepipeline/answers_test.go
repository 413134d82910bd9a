package codepipeline

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator"
)

const someJob = "00000000-0000-4000-8000-000000000000"

// answer is an HTTP response.
type answer struct {
	status  int
	headers map[string]string
	body    string
}

func (a answer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	for name, value := range a.headers {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body) // fails only if the client is gone
}

// ofAWS returns a handler that responds with an AWS error and a new request ID each time.
func ofAWS(status int, code, message string) http.Handler {
	requests := 0
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		answer{status, map[string]string{
			"Content-Type": "application/x-amz-json-1.1", "X-Amzn-RequestId": fmt.Sprintf("6c2b7a0e-0000-0000-0000-%012d", requests),
		}, fmt.Sprintf(`{"__type": %q, "message": %q}`, code, message)}.ServeHTTP(w, r)
	})
}

// calledBy returns a client of a server that tries each call once.
func calledBy(t *testing.T, handler http.Handler) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return onceClient(t, server.URL)
}

func onceClient(t *testing.T, url string) *Client {
	t.Helper()
	client, err := NewClients(ClientsOptions{}, config.WithBaseEndpoint(url), config.WithRetryMaxAttempts(1),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("any", "any", ""))).For(t.Context(), Identity{Region: "us-east-1"})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return client
}

// calls has a call of each operation.
var calls = map[string]func(context.Context, *Client) error{
	"PollForJobs": func(ctx context.Context, c *Client) error {
		_, err := c.PollForJobs(ctx, ActionTypeID{"Test", "p", "1"}, nil, 1)
		return err
	},
	"AcknowledgeJob": func(ctx context.Context, c *Client) error {
		_, err := c.AcknowledgeJob(ctx, someJob, "1")
		return err
	},
	"GetJobDetails": func(ctx context.Context, c *Client) error {
		_, err := c.GetJobDetails(ctx, someJob)
		return err
	},
	"PutJobSuccessResult": func(ctx context.Context, c *Client) error {
		return c.PutJobSuccessResult(ctx, Success{JobID: someJob})
	},
	"PutJobFailureResult": func(ctx context.Context, c *Client) error {
		return c.PutJobFailureResult(ctx, Failure{JobID: someJob, Type: "JobFailed", Message: "because"})
	},
	"CreateCustomActionType": func(ctx context.Context, c *Client) error {
		return c.CreateActionType(ctx, ActionType{ID: ActionTypeID{"Test", "p", "1"}}, nil)
	},
	"DeleteCustomActionType": func(ctx context.Context, c *Client) error {
		return c.DeleteActionType(ctx, ActionTypeID{"Test", "p", "1"})
	},
	"ListActionTypes": func(ctx context.Context, c *Client) error {
		_, err := c.FindActionType(ctx, ActionTypeID{"Test", "p", "1"})
		return err
	},
	"ListActionExecutions": func(ctx context.Context, c *Client) error {
		_, err := c.ListActionExecutions(ctx, "p", someJob)
		return err
	},
	"TagResource": func(ctx context.Context, c *Client) error {
		return c.UpdateTags(ctx, someARN, TagChanges{Set: map[string]string{"a": "b"}})
	},
	"UntagResource": func(ctx context.Context, c *Client) error {
		return c.UpdateTags(ctx, someARN, TagChanges{Remove: []string{"a"}})
	},
	"ListTagsForResource": func(ctx context.Context, c *Client) error {
		_, err := c.Tags(ctx, someARN)
		return err
	},
}

const someARN = "arn:aws:codepipeline:us-east-1:111122223333:actiontype:Custom/Test/p/1"

// TestModelledErrorsAreThoseOfTheModel compares the errors of each operation with the API model in
// the emulator.
func TestModelledErrorsAreThoseOfTheModel(t *testing.T) {
	g := NewWithT(t)
	server := emulator.StartT(t, emulator.Options{})
	name := regexp.MustCompile(`\w+Exception`)
	for operation, kinds := range modelled {
		g.Expect(calls).To(HaveKey(operation))
		err := server.Inject(emulator.Fault{Operation: operation, Kind: emulator.ModelledError, Code: "None"})
		g.Expect(err).To(HaveOccurred())
		var mine []string
		for code := range kinds {
			mine = append(mine, code)
		}
		g.Expect(mine).To(ConsistOf(name.FindAllString(err.Error(), -1)), operation)
	}
	g.Expect(modelled).To(HaveLen(len(calls)))
}

// TestOnlyModelledErrorsSayNo answers each operation with each error code of the model.
func TestOnlyModelledErrorsSayNo(t *testing.T) {
	codes := map[string]bool{}
	for _, kinds := range modelled {
		for code := range kinds {
			codes[code] = true
		}
	}
	for code := range codes {
		client := calledBy(t, ofAWS(http.StatusBadRequest, code, "because"))
		for operation, call := range calls {
			err := call(t.Context(), client)
			NewWithT(t).Expect(KindOf(err)).To(Equal(modelled[operation][code]), "%s: %s: %v", operation, code, err)
		}
	}
}

// TestAnswersOfAProxyAreUnclear: something between client and AWS answers. Its page with status 404
// is no JobNotFoundException, one with 403 no denied access, one with 429 no throttling, and one
// with 200 no success.
func TestAnswersOfAProxyAreUnclear(t *testing.T) {
	page := map[string]string{"Content-Type": "text/html"}
	answers := map[string]answer{
		"a captive portal":         {http.StatusOK, page, "<html>Welcome! Log in</html>"},
		"an empty answer":          {http.StatusOK, nil, ""},
		"a redirection":            {http.StatusTemporaryRedirect, map[string]string{"Location": "https://portal.example/"}, ""},
		"an API gateway":           {http.StatusForbidden, map[string]string{"Content-Type": "application/json"}, `{"message":"Forbidden"}`},
		"a code without AWS":       {http.StatusBadRequest, map[string]string{"Content-Type": "application/json"}, `{"code":"JobNotFoundException"}`},
		"JSON of AWS without code": {http.StatusBadRequest, map[string]string{"Content-Type": "application/x-amz-json-1.1"}, `{}`},
		"half an error":            {http.StatusBadRequest, map[string]string{"Content-Type": "application/x-amz-json-1.1"}, `{"__type":"JobNotFound`},
	}
	for _, status := range []int{400, 401, 403, 404, 405, 407, 408, 413, 421, 429, 500, 502, 503, 504} {
		answers[fmt.Sprint(status)] = answer{status, page, "<html><h1>" + http.StatusText(status) + "</h1></html>"}
	}
	for name, shown := range answers {
		client := calledBy(t, shown)
		for operation, call := range calls {
			g := NewWithT(t)
			err := call(t.Context(), client)
			g.Expect(err).To(HaveOccurred(), "%s: %s", name, operation)
			g.Expect(KindOf(err)).To(Equal(Unclear), "%s: %s: %v", name, operation, err)
		}
	}
}

// TestProxysAnswerAfterTheEffect: a claim takes effect, and a proxy replaces the response.
func TestProxysAnswerAfterTheEffect(t *testing.T) {
	g := NewWithT(t)
	server := emulator.StartT(t, emulator.Options{})
	client := onceClient(t, server.URL())
	create := func() error {
		return client.CreateActionType(t.Context(), ActionType{ID: ActionTypeID{"Test", "p", "1"}}, nil)
	}
	g.Expect(server.Inject(emulator.Fault{Operation: "CreateCustomActionType", Kind: emulator.ProxyErrorAfter, Status: http.StatusNotFound})).To(Succeed())
	g.Expect(KindOf(create())).To(Equal(Unclear))
	g.Expect(KindOf(create())).To(Equal(Refused), "it exists")
}

// TestCommonErrorsInAllSpellings has the codes with which AWS services throttle or refuse
// credentials, in the forms of the JSON and query protocols.
func TestCommonErrorsInAllSpellings(t *testing.T) {
	want := map[Kind][]string{
		Throttled: {"Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
			"TooManyRequestsException", "RequestLimitExceeded", "SlowDown", "BandwidthLimitExceeded", "PriorRequestNotComplete", "EC2ThrottledException"},
		AccessDenied: {"AccessDenied", "AccessDeniedException", "NotAuthorized", "OptInRequired", "AuthFailure",
			"ExpiredToken", "ExpiredTokenException", "RequestExpired", "IncompleteSignature", "IncompleteSignatureException",
			"SignatureDoesNotMatch", "InvalidSignatureException", "UnrecognizedClientException", "InvalidClientTokenId",
			"MissingAuthenticationToken", "MissingAuthenticationTokenException", "InvalidAccessKeyId", "RequestTimeTooSkewed"},
		Unclear: {"InternalFailure", "ServiceUnavailable", "RequestTimeoutException", "SerializationException",
			"UnknownOperationException", "MalformedHttpRequestException", "LimitExceededException", "SomethingNew"},
	}
	for kind, codes := range want {
		for _, code := range codes {
			err := calls["AcknowledgeJob"](t.Context(), calledBy(t, ofAWS(http.StatusBadRequest, code, "because")))
			NewWithT(t).Expect(KindOf(err)).To(Equal(kind), "%v", err)
		}
	}
	g := NewWithT(t)
	g.Expect(KindOf(calls["AcknowledgeJob"](t.Context(), calledBy(t, ofAWS(http.StatusServiceUnavailable, "SlowDown", ""))))).To(Equal(Throttled))
	g.Expect(KindOf(calls["AcknowledgeJob"](t.Context(), calledBy(t, ofAWS(http.StatusInternalServerError, "JobNotFoundException", ""))))).To(Equal(Unclear))
}

func TestAClaimWithoutAStatusIsUnclear(t *testing.T) {
	g := NewWithT(t)
	client := calledBy(t, answer{http.StatusOK, map[string]string{"X-Amzn-RequestId": "1"}, `{}`})
	_, err := client.AcknowledgeJob(t.Context(), someJob, "1")
	g.Expect(err).To(MatchError(ContainSubstring("the response has no status")))
	g.Expect(KindOf(err)).To(Equal(Unclear))
}

// TestErrorTextsAreStable: a call fails twice for the same reason, and a condition with the text is
// written only once.
func TestErrorTextsAreStable(t *testing.T) {
	cut := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { reset(t, w) })
	closed := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	page := answer{http.StatusForbidden, map[string]string{"Content-Type": "text/html"}, "<html></html>"}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(nobody.Close()).To(Succeed())
	poll := func(client *Client) error { return calls["PollForJobs"](t.Context(), client) }
	const doing = "poll for jobs of Test/p/1: PollForJobs: "
	cases := map[string]struct {
		client *Client
		want   string
	}{
		"modelled":         {calledBy(t, ofAWS(400, "ValidationException", "1 validation error detected")), "ValidationException: 1 validation error detected"},
		"throttled":        {calledBy(t, ofAWS(400, "ThrottlingException", "Rate exceeded")), "ThrottlingException: Rate exceeded"},
		"server fault":     {calledBy(t, ofAWS(500, "InternalFailure", "Try again")), "InternalFailure: Try again"},
		"skewed clock":     {calledBy(t, ofAWS(400, "InvalidSignatureException", "Signature expired: 20260101T101010Z is now earlier than 20260101T102010Z (20260101T102510Z - 5 min.)")), "InvalidSignatureException: Signature expired: … is now earlier than … (… - 5 min.)"},
		"without a text":   {calledBy(t, ofAWS(400, "ValidationException", "")), "ValidationException"},
		"cause of another": {calledBy(t, ofAWS(400, "AccessDeniedException", "not allowed (Service: Kms, Status Code: 400, Request ID: 6c2b7a0e-1, Extended Request ID: null)")), "AccessDeniedException: not allowed (Service: Kms, Status Code: 400)"},
		"a proxy":          {calledBy(t, page), "the response is not from AWS, but perhaps from a proxy or gateway (HTTP status 403 Forbidden)"},
		"broken":           {calledBy(t, cut), "the connection broke before there was a response"},
		"closed":           {calledBy(t, closed), "the connection broke before there was a response"},
		"nobody listens":   {onceClient(t, "http://"+nobody.Addr().String()), "dial tcp: connection refused"},
		"no such host":     {onceClient(t, "http://codepipeline.us-nowhere-1.invalid"), "lookup codepipeline.us-nowhere-1.invalid: no such host"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(poll(c.client)).To(MatchError(doing + c.want))
			g.Expect(poll(c.client)).To(MatchError(doing + c.want))
		})
	}
}

// reset breaks the connection with RST, like a firewall.
func reset(t *testing.T, w http.ResponseWriter) {
	g := NewWithT(t)
	connection, _, err := http.NewResponseController(w).Hijack()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(connection.(*net.TCPConn).SetLinger(0)).To(Succeed())
	g.Expect(connection.Close()).To(Succeed())
}

// TestTextOfARoleThatCannotBeAssumed: STS refuses AssumeRole.
func TestTextOfARoleThatCannotBeAssumed(t *testing.T) {
	g := NewWithT(t)
	server := emulator.StartT(t, emulator.Options{Roles: map[string]string{}})
	clients := NewClients(ClientsOptions{}, config.WithBaseEndpoint(server.URL()), config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("any", "any", "")))
	client, err := clients.For(t.Context(), Identity{Region: "us-east-1", RoleARN: someRole, ExternalID: "cluster/team"})
	g.Expect(err).NotTo(HaveOccurred())
	err = calls["PollForJobs"](t.Context(), client)
	g.Expect(KindOf(err)).To(Equal(AccessDenied))
	g.Expect(err).To(MatchError("poll for jobs of Test/p/1: assume the role " + someRole + ` with the external ID "cluster/team": ` +
		"AssumeRole: AccessDenied: User: arn:aws:iam::111122223333:user/emulator is not authorized to perform: sts:AssumeRole on resource: " + someRole))
	g.Expect(strings.Count(err.Error(), "AssumeRole: ")).To(Equal(1))
}

// TestCredentialsThatFailWithinACall: credentials exist when a call begins, but fail when the SDK
// signs it. The SDK's text then nests several operations.
func TestCredentialsThatFailWithinACall(t *testing.T) {
	g := NewWithT(t)
	missing := &NotSentError{Kind: AccessDenied, Err: &CredentialsError{Identity{Region: "us-east-1", RoleARN: someRole, ExternalID: "c/n"}, &smithy.OperationError{
		ServiceID: "STS", OperationName: "AssumeRole", Err: &smithy.GenericAPIError{Code: "AccessDenied", Message: "no"},
	}}}
	err := Classify("PollForJobs", &smithy.OperationError{ServiceID: "CodePipeline", OperationName: "PollForJobs",
		Err: fmt.Errorf("get identity: get credentials: %w", missing)})
	g.Expect(err).To(MatchError("assume the role " + someRole + ` with the external ID "c/n": AssumeRole: AccessDenied: no`))
	g.Expect(KindOf(err)).To(Equal(AccessDenied))
}

const someRole = "arn:aws:iam::444455556666:role/worker"
