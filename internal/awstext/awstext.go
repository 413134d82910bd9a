// Package awstext turns errors of the AWS SDK into texts for conditions, events and failure
// messages: what AWS answered, or why there was no answer. It leaves out request and host IDs,
// attempts and addresses, so that failures with the same cause have the same text, and the
// operations around the failed one.
package awstext

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/aws/smithy-go"
)

// Of returns the text of an error: the innermost operation, and AWS's answer or why there was none.
func Of(err error) string {
	var operation *smithy.OperationError
	cause, name := err, ""
	for errors.As(cause, &operation) { // the innermost: a credential provider calls within a call
		cause, name = operation.Err, operation.OperationName
	}
	if code, message := Answer(cause); code != "" {
		return prefixed(name, join(code, Stable(message)))
	}
	if text, is := ofNetwork(cause); is {
		return prefixed(name, text)
	}
	if text, is := ofForeign(cause); is {
		return prefixed(name, text)
	}
	return Stable(err.Error())
}

// OfCause is like Of, for an error without an AWS error code whose operation is named elsewhere.
func OfCause(err error) string {
	if text, is := ofNetwork(err); is {
		return text
	}
	if text, is := ofForeign(err); is {
		return text
	}
	return Stable(err.Error())
}

func prefixed(operation, text string) string {
	if operation == "" {
		return text
	}
	return operation + ": " + text
}

// join leaves out the colon if the message is empty.
func join(code, message string) string {
	if message = strings.TrimSpace(message); message == "" {
		return code
	}
	return code + ": " + message
}

// Answer returns the code and message of an error response from AWS. The code is empty if the
// response is not from AWS: a body in another format comes from a proxy, whatever its status.
func Answer(err error) (code, message string) {
	var unreadable *smithy.DeserializationError
	var answer smithy.APIError
	switch {
	case errors.As(err, &unreadable), !errors.As(err, &answer):
		return "", ""
	case answer.ErrorCode() == sdkUnknownCode:
		return "", ""
	default:
		return answer.ErrorCode(), answer.ErrorMessage()
	}
}

// sdkUnknownCode is the SDK's code for an error response without a code.
const sdkUnknownCode = "UnknownError"

// Status returns the HTTP status of the response, or zero.
func Status(err error) int {
	var answer interface{ HTTPStatusCode() int }
	if !errors.As(err, &answer) {
		return 0
	}
	return answer.HTTPStatusCode()
}

// Foreign returns the text for a response that is not from AWS, with its HTTP status.
func Foreign(status int) string {
	return fmt.Sprintf("the response is not from AWS, but perhaps from a proxy or gateway (HTTP status %d %s)", status, http.StatusText(status))
}

func ofForeign(err error) (text string, is bool) {
	var unreadable *smithy.DeserializationError
	if status := Status(err); status >= http.StatusMultipleChoices || errors.As(err, &unreadable) {
		return Foreign(status), true
	}
	return "", false
}

// established are the operations on an established connection. Which of them fails first on a
// broken connection, and with which error, is random.
var established = map[string]bool{"read": true, "write": true, "readfrom": true, "writeto": true, "close": true}

// ofNetwork describes a call that got no response. It reports whether err is of such a call. It
// leaves out ports and addresses, which differ each time.
func ofNetwork(err error) (text string, is bool) {
	var lookup *net.DNSError
	var broken *net.OpError
	var timeout net.Error
	switch {
	case errors.As(err, &lookup):
		return "lookup " + lookup.Name + ": " + lookup.Err, true
	case errors.As(err, &broken) && !established[broken.Op]:
		cause := broken.Err
		if failed := (*os.SyscallError)(nil); errors.As(cause, &failed) {
			cause = failed.Err // SyscallError repeats the operation
		}
		return strings.TrimSpace(broken.Op+" "+broken.Net) + ": " + OfCause(cause), true
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no response in time", true
	case errors.Is(err, context.Canceled):
		return "cancelled before there was a response", true
	case broken != nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection broke before there was a response", true
	}
	var sent *url.Error
	if errors.As(err, &sent) {
		return Stable(sent.Err.Error()), true
	}
	return "", false
}

// quoted matches where the SDK and Go's HTTP client quote environment variables, such as endpoints
// and proxies, with the replacements. A value may contain a user name and password anywhere, so the
// whole value is replaced.
var quoted = []replacement{
	{regexp.MustCompile("(?s)Custom endpoint `.*`"), "the custom endpoint (AWS_ENDPOINT_URL and the like)"},
	{regexp.MustCompile(`(?is)failed to parse uri: .*`), "the custom endpoint (AWS_ENDPOINT_URL and the like) is not a valid URL"},
	{regexp.MustCompile(`(?s)invalid (?:value (?:for (?:environment variable|env var), )?)?(AWS_[A-Z0-9_]+)(?:=| value[:,]).*`),
		"the environment variable $1 has a value that can't be used"},
	{regexp.MustCompile(`(?s)invalid proxy address .*`), "the URL of the proxy (HTTPS_PROXY and the like) is not valid"},
	{regexp.MustCompile(`parse "(?:[^"\\]|\\.)*": `), "parse a URL: "},
	{regexp.MustCompile(`invalid (port|URL escape|userinfo) "(?:[^"\\]|\\.)*"`), "invalid $1"},
	{regexp.MustCompile(`unsupported protocol scheme "(?:[^"\\]|\\.)*"`), "unsupported protocol scheme"},
	{regexp.MustCompile("//[^\\s\"'`]*@"), "//…@"},
}

// replacement replaces a pattern.
type replacement struct {
	pattern *regexp.Regexp
	instead string
}

// noise matches the parts of texts from the SDK and AWS that differ each time or have no use for
// users, with the replacements.
var noise = []replacement{
	{regexp.MustCompile(`operation error [^:,]+: (\w+), `), "$1: "},
	{regexp.MustCompile(`https? response error StatusCode: \d+, (RequestID: [^,]*, )?(HostID: [^,]*, )?`), ""},
	{regexp.MustCompile(`exceeded maximum number of attempts, \d+, `), ""},
	{regexp.MustCompile(`(get identity: get credentials|failed to refresh cached credentials)[,:] `), ""},
	{regexp.MustCompile(`failed to get rate limit token, retry quota exceeded, \d+ available, \d+ requested`), "retry quota exceeded"},
	{regexp.MustCompile(`(?i)[,;]? ?\b(extended )?(request|host) ?id: [^\s,;)]*`), ""},
	{regexp.MustCompile(` \(\)`), ""}, // parentheses that only had an ID
	{regexp.MustCompile(`\b\d{8}T\d{6}Z\b|\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)`), "…"},
	{regexp.MustCompile(`(?:\[[^\]\s]*\]|[\w.]+):\d+->`), ""}, // the local address of a connection
}

// Stable removes what differs each time or has no use for users, and what the text quotes from
// environment variables, which may be secret.
func Stable(text string) string {
	for _, list := range [][]replacement{quoted, noise} {
		for _, r := range list {
			text = r.pattern.ReplaceAllString(text, r.instead)
		}
	}
	return text
}

// ConfigurationError is an error of loading the SDK's configuration. Unlike the SDK's error, its
// text does not quote environment variables.
type ConfigurationError struct{ Err error }

func (e *ConfigurationError) Error() string { return Stable(e.Err.Error()) }

// Unwrap returns the error of the SDK.
func (e *ConfigurationError) Unwrap() error { return e.Err }
