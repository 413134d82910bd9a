// Package awstext makes texts for conditions, events and failure messages from the errors
// of AWS's SDK: what AWS answered, or what happened instead of an answer. It leaves out
// request and host IDs, attempts and addresses, so that two failures for one reason have
// one text, and the operations around the one that failed.
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

// Of returns the text of an error: the innermost operation, and what AWS answered to it
// or what happened instead.
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

// OfCause is Of for an error without a code of AWS whose operation is named elsewhere.
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

// join leaves the colon out if there is nothing after it.
func join(code, message string) string {
	if message = strings.TrimSpace(message); message == "" {
		return code
	}
	return code + ": " + message
}

// Answer returns code and message of an error that AWS answered. The code is empty if
// AWS did not answer: a body that is not in its form is a proxy's, whatever its status.
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

// sdkUnknownCode is what the SDK has for an error that names no code.
const sdkUnknownCode = "UnknownError"

// Status returns the HTTP status of an answer, or zero.
func Status(err error) int {
	var answer interface{ HTTPStatusCode() int }
	if !errors.As(err, &answer) {
		return 0
	}
	return answer.HTTPStatusCode()
}

// Foreign returns the text for an answer that is not AWS's, with its HTTP status.
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

// established are the operations on a connection that is there. It is a matter of chance
// which of them, with which error, notices that the connection is broken.
var established = map[string]bool{"read": true, "write": true, "readfrom": true, "writeto": true, "close": true}

// ofNetwork describes a call without an answer. It reports whether err is such a
// call. Ports and addresses are left out: they differ each time.
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
			cause = failed.Err // it repeats the operation
		}
		return strings.TrimSpace(broken.Op+" "+broken.Net) + ": " + OfCause(cause), true
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time", true
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

// quoted is what the SDK and Go's HTTP client quote of variables of the environment, such as
// endpoints and proxies, with what stands in its place. A user name and password may be in
// it, wherever its writer has put them: whole values are left out.
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

// replacement is what stands in the place of a pattern.
type replacement struct {
	pattern *regexp.Regexp
	instead string
}

// noise is what in the texts of the SDK and AWS differs each time, or tells users nothing,
// and what replaces it.
var noise = []replacement{
	{regexp.MustCompile(`operation error [^:,]+: (\w+), `), "$1: "},
	{regexp.MustCompile(`https? response error StatusCode: \d+, (RequestID: [^,]*, )?(HostID: [^,]*, )?`), ""},
	{regexp.MustCompile(`exceeded maximum number of attempts, \d+, `), ""},
	{regexp.MustCompile(`(get identity: get credentials|failed to refresh cached credentials)[,:] `), ""},
	{regexp.MustCompile(`failed to get rate limit token, retry quota exceeded, \d+ available, \d+ requested`), "retry quota exceeded"},
	{regexp.MustCompile(`(?i)[,;]? ?\b(extended )?(request|host) ?id: [^\s,;)]*`), ""},
	{regexp.MustCompile(` \(\)`), ""}, // where there was nothing but an ID
	{regexp.MustCompile(`\b\d{8}T\d{6}Z\b|\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)`), "…"},
	{regexp.MustCompile(`(?:\[[^\]\s]*\]|[\w.]+):\d+->`), ""}, // the local end of a connection
}

// Stable returns a text without what differs each time or tells users nothing, and without
// what it quotes of the environment, which may be secret.
func Stable(text string) string {
	for _, list := range [][]replacement{quoted, noise} {
		for _, r := range list {
			text = r.pattern.ReplaceAllString(text, r.instead)
		}
	}
	return text
}

// ConfigurationError is an error of loading the SDK's configuration, which may quote
// variables of the environment. Its text does not.
type ConfigurationError struct{ Err error }

func (e *ConfigurationError) Error() string { return Stable(e.Err.Error()) }

// Unwrap returns the error of the SDK.
func (e *ConfigurationError) Unwrap() error { return e.Err }
