package customaction

import (
	"errors"
	"net/http"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

// answered returns the error of a Client for a response of CreateCustomActionType.
func answered(status int, cause error) error {
	return codepipeline.Classify("CreateCustomActionType", &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: cause,
	}})
}

// TestOnlyRefusalsOfTheModelStall has the responses to a registration. A proxy's page must not fail
// a rollout: Flux and others stop at Stalled.
func TestOnlyRefusalsOfTheModelStall(t *testing.T) {
	page := &smithy.DeserializationError{Err: errors.New("invalid character '<' looking for beginning of value")}
	aws := func(code, message string) error { return &smithy.GenericAPIError{Code: code, Message: message} }
	cases := map[string]struct {
		err    error
		reason string
		stalls bool
	}{
		"a refusal":              {answered(400, aws("ValidationException", "no")), v1alpha1.ReasonRegistrationFailed, true},
		"tags that are refused":  {answered(400, aws("InvalidTagsException", "no")), v1alpha1.ReasonRegistrationFailed, true},
		"a retired version":      {answered(400, aws("ValidationException", "the version was deleted")), v1alpha1.ReasonVersionRetired, true},
		"a quota":                {answered(400, aws("LimitExceededException", "50 are there")), v1alpha1.ReasonLimitExceeded, false},
		"throttling":             {answered(400, aws("ThrottlingException", "slow")), v1alpha1.ReasonAWSUnavailable, false},
		"a concurrent change":    {answered(400, aws("ConcurrentModificationException", "again")), v1alpha1.ReasonAWSUnavailable, false},
		"an unknown code":        {answered(400, aws("SomethingNewException", "what")), v1alpha1.ReasonAWSUnavailable, false},
		"another operation's":    {answered(400, aws("InvalidNonceException", "what")), v1alpha1.ReasonAWSUnavailable, false},
		"a page with 403":        {answered(403, page), v1alpha1.ReasonAWSUnavailable, false},
		"a page with 404":        {answered(404, page), v1alpha1.ReasonAWSUnavailable, false},
		"a page with 407":        {answered(407, page), v1alpha1.ReasonAWSUnavailable, false},
		"a page with 413":        {answered(413, page), v1alpha1.ReasonAWSUnavailable, false},
		"a server fault":         {answered(500, aws("InternalFailure", "")), v1alpha1.ReasonAWSUnavailable, false},
		"no permission":          {answered(403, aws("AccessDenied", "no")), v1alpha1.ReasonAccessDenied, false},
		"another call's refusal": {&codepipeline.CallError{Kind: codepipeline.JobNotFound}, v1alpha1.ReasonRegistrationFailed, false},
		"an internal error":      {errors.New("get the account: the ARN can't be read"), v1alpha1.ReasonAWSUnavailable, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			failed := registrationFailed(&v1alpha1.CustomAction{}, c.err)
			g.Expect(failed.reason).To(Equal(c.reason))
			g.Expect(failed.retry).To(Equal(!c.stalls))
			seen := observation{examined: examined{registration: failed}}
			abnormal := abnormalOf(metav1.Condition{Status: metav1.ConditionFalse, Reason: failed.reason}, seen)
			g.Expect(abnormal.Type == v1alpha1.ConditionStalled).To(Equal(c.stalls), abnormal.Type)
		})
	}
}
