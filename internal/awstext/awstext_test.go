package awstext

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	. "github.com/onsi/gomega"
)

// answered returns an error of an operation, wrapped as by the SDK.
func answered(service, operation string, status int, err error) error {
	return &smithy.OperationError{ServiceID: service, OperationName: operation, Err: &awshttp.ResponseError{
		ResponseError: &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: err},
		RequestID:     "4442587FB7D0A2F9",
	}}
}

func TestOf(t *testing.T) {
	denied := &smithy.GenericAPIError{Code: "AccessDenied", Message: "not allowed (Service: Kms, Status Code: 400, Request ID: 6c2b7a0e-1, Extended Request ID: null)"}
	role := answered("STS", "AssumeRole", 403, &smithy.GenericAPIError{Code: "AccessDenied", Message: "not authorized"})
	cases := map[string]struct {
		err  error
		want string
	}{
		"S3's answer":              {answered("S3", "PutObject", 403, denied), "PutObject: AccessDenied: not allowed (Service: Kms, Status Code: 400)"},
		"an answer without a text": {answered("S3", "GetObject", 404, &types.NoSuchKey{}), "GetObject: NoSuchKey"},
		"an operation within one": {
			&smithy.OperationError{ServiceID: "CodePipeline", OperationName: "PollForJobs", Err: fmt.Errorf("get identity: get credentials: failed to refresh cached credentials, %w", role)},
			"AssumeRole: AccessDenied: not authorized",
		},
		"a proxy's page": {
			answered("S3", "GetObject", 403, &smithy.DeserializationError{Err: errors.New("invalid character '<'")}),
			"GetObject: the response is not from AWS, but perhaps from a proxy or gateway (HTTP status 403 Forbidden)",
		},
		"no such host":     {answered("S3", "GetObject", 0, &net.DNSError{Err: "no such host", Name: "s3.invalid"}), "GetObject: lookup s3.invalid: no such host"},
		"no answer":        {answered("S3", "GetObject", 0, context.DeadlineExceeded), "GetObject: no response in time"},
		"an error of ours": {errors.New("the PipelineJob has no credentials"), "the PipelineJob has no credentials"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(Of(c.err)).To(Equal(c.want))
		})
	}
}

// TestStable uses texts of credential providers and S3, which are unstructured.
func TestStable(t *testing.T) {
	cases := map[string]string{
		"failed to refresh cached credentials, no EC2 IMDS role found, operation error ec2imds: GetMetadata, exceeded maximum number of attempts, 3, request send failed": "no EC2 IMDS role found, GetMetadata: request send failed",
		"operation error STS: AssumeRole, https response error StatusCode: 403, RequestID: a-b, api error AccessDenied: no":                                               "AssumeRole: api error AccessDenied: no",
		"operation error S3: HeadObject, https response error StatusCode: 403, RequestID: A, HostID: b/c+d=, Forbidden":                                                   "HeadObject: Forbidden",
		"operation error S3: GetObject, get identity: get credentials: failed to refresh cached credentials, expired":                                                     "GetObject: expired",
		"x509: certificate has expired or is not yet valid: current time 2026-01-02T03:04:05+01:00 is after 2025-12-31T00:00:00Z":                                         "x509: certificate has expired or is not yet valid: current time … is after …",
		"job 6c2b7a0e-0000-4000-8000-000000000000 is not known":                                                                                                           "job 6c2b7a0e-0000-4000-8000-000000000000 is not known",
	}
	for text, want := range cases {
		NewWithT(t).Expect(Stable(text)).To(Equal(want))
	}
}

// TestStableLeavesOutWhatIsOfTheEnvironment uses texts of the SDK and net/http that quote endpoints
// and proxies with passwords.
func TestStableLeavesOutWhatIsOfTheEnvironment(t *testing.T) {
	for text, want := range map[string]string{
		"resolve endpoint: Custom endpoint `http://u:hun%ter2@gw` was not a valid URI":                      "resolve endpoint: the custom endpoint (AWS_ENDPOINT_URL and the like) was not a valid URI",
		"Failed to parse uri: http://u:hun ter2@gw":                                                         "the custom endpoint (AWS_ENDPOINT_URL and the like) is not a valid URL",
		`invalid proxy address "u:hunter2@proxy:3x": parse "http://u:hunter2@proxy:3x": invalid port ":3x"`: "the URL of the proxy (HTTPS_PROXY and the like) is not valid",
		`parse "http://u:hun\"ter2@gw": net/url: invalid userinfo`:                                          "parse a URL: net/url: invalid userinfo",
		`parse "http://u:hunter2#x@gw": invalid port ":hunter2" after host`:                                 "parse a URL: invalid port after host",
		"dial socks5://u:hun/ter2@proxy:1080: refused":                                                      "dial socks5://…@proxy:1080: refused",
		`proxyconnect "http://u:hunter2@proxy" and "http://u:other@proxy"`:                                  `proxyconnect "http://…@proxy" and "http://…@proxy"`,
		"https://example.com/path and web@prod":                                                             "https://example.com/path and web@prod",
		"invalid AWS_RETRY_MODE value, unknown RetryMode, hunter2":                                          "the environment variable AWS_RETRY_MODE has a value that can't be used",
		"invalid value for environment variable, AWS_USE_FIPS_ENDPOINT=hunter2\nx, need true or false":      "the environment variable AWS_USE_FIPS_ENDPOINT has a value that can't be used",
	} {
		NewWithT(t).Expect(Stable(text)).To(Equal(want))
	}
}
