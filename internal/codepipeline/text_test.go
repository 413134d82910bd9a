package codepipeline

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
)

func TestStableTextHasNoRequestIDs(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"the SDK's error": {
			"operation error CodePipeline: PollForJobs, https response error StatusCode: 400, RequestID: 9f1c0f0e-5a0b-4d4e-8a70-0b1f6a1f2e3d, api error ThrottlingException: Rate exceeded",
			"PollForJobs: api error ThrottlingException: Rate exceeded",
		},
		"S3's error": {
			"https response error StatusCode: 403, RequestID: 4442587FB7D0A2F9, HostID: vZ/Fh+0=, api error AccessDenied: no",
			"api error AccessDenied: no",
		},
		"in the message": {
			"api error InternalFailure: try again (Request ID: 9f1c0f0e)",
			"api error InternalFailure: try again",
		},
		"an empty one":                {"https response error StatusCode: 0, RequestID: , request send failed", "request send failed"},
		"a broken connection":         {"read tcp 10.1.2.3:40122->3.4.5.6:443: read: connection reset by peer", "read tcp 3.4.5.6:443: read: connection reset by peer"},
		"a broken IPv6 connection":    {"read tcp [::1]:40122->[::1]:443: read: connection reset by peer", "read tcp [::1]:443: read: connection reset by peer"},
		"an error that is always one": {"dial tcp: lookup example.com: no such host", "dial tcp: lookup example.com: no such host"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(StableText(errors.New(c.text))).To(Equal(c.want))
		})
	}
	NewWithT(t).Expect(StableText(nil)).To(BeEmpty())
}
