package codepipeline

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

// describe returns the text of an error of the SDK: what AWS answered, or what
// happened instead. Two failures for the same reason have the same text.
func describe(err error) string {
	var operation *smithy.OperationError
	cause, name := err, ""
	for errors.As(cause, &operation) { // the innermost: a credential provider calls within a call
		cause, name = operation.Err, operation.OperationName
	}
	if code, message := answerOf(cause); code != "" {
		return name + ": " + code + ": " + stable(message)
	}
	if text, is := describeNetwork(cause); is && name != "" {
		return name + ": " + text
	}
	return describeCause(err)
}

// describeCause is describe for an error without a code of AWS. Its operation is
// named elsewhere.
func describeCause(err error) string {
	if text, is := describeNetwork(err); is {
		return text
	}
	var unreadable *smithy.DeserializationError
	if status := statusOf(err); status >= http.StatusMultipleChoices || errors.As(err, &unreadable) {
		return foreignAnswer(status)
	}
	return stable(err.Error())
}

func foreignAnswer(status int) string {
	return fmt.Sprintf("the answer is not that of AWS, but perhaps of a proxy or gateway (HTTP status %d %s)", status, http.StatusText(status))
}

// established are the operations on a connection that is there. It is a matter of chance
// which of them, with which error, notices that the connection is broken.
var established = map[string]bool{"read": true, "write": true, "readfrom": true, "writeto": true, "close": true}

// describeNetwork describes a call without an answer. It reports whether err is such a
// call. Ports and addresses are left out: they differ each time.
func describeNetwork(err error) (text string, is bool) {
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
		return strings.TrimSpace(broken.Op+" "+broken.Net) + ": " + describeCause(cause), true
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time", true
	case errors.Is(err, context.Canceled):
		return "cancelled before an answer came", true
	case broken != nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection broke before the answer came", true
	}
	var sent *url.Error
	if errors.As(err, &sent) {
		return stable(sent.Err.Error()), true
	}
	return "", false
}

// noise is what the SDK and AWS put into texts that differs each time, or tells users
// nothing, with what stands in its place.
var noise = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`operation error [^:,]+: (\w+), `), "$1: "},
	{regexp.MustCompile(`https? response error StatusCode: \d+, (RequestID: [^,]*, )?(HostID: [^,]*, )?`), ""},
	{regexp.MustCompile(`exceeded maximum number of attempts, \d+, `), ""},
	{regexp.MustCompile(`failed to refresh cached credentials, `), ""},
	{regexp.MustCompile(`failed to get rate limit token, retry quota exceeded, \d+ available, \d+ requested`), "retry quota exceeded"},
	{regexp.MustCompile(`(?i)[,;]? ?\b(extended )?(request|host) ?id: [^\s,;)]*`), ""},
	{regexp.MustCompile(`\b\d{8}T\d{6}Z\b|\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)`), "…"},
}

// stable takes the noise out of a text.
func stable(text string) string {
	for _, n := range noise {
		text = n.pattern.ReplaceAllString(text, n.instead)
	}
	return text
}
