package pipelinejob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

// answered returns an error answer from AWS to an operation, as a Client returns it.
func answered(operation string, status int, code string) error {
	return codepipeline.Classify(operation, &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}},
		Err:      &smithy.GenericAPIError{Code: code, Message: "because"},
	}})
}

// TestAnswersOfEachOperation covers each error that CodePipeline's model defines for an
// operation, and the errors that all operations share.
func TestAnswersOfEachOperation(t *testing.T) {
	all := map[string]answer{
		"400 ThrottlingException":          always(verdictAgain),
		"429 TooManyRequestsException":     always(verdictAgain),
		"503 SlowDown":                     always(verdictAgain),
		"400 AccessDeniedException":        always(verdictAgain),
		"400 ExpiredTokenException":        always(verdictAgain),
		"403 ExpiredToken":                 always(verdictAgain),
		"400 UnrecognizedClientException":  always(verdictAgain),
		"400 IncompleteSignature":          always(verdictAgain),
		"400 IncompleteSignatureException": always(verdictAgain),
		"500 InternalFailure":              always(verdictUnclear),
		"503 ServiceUnavailable":           always(verdictUnclear),
		"502 ":                             always(verdictUnclear),
		"400 ":                             always(verdictUnclear),
		"403 UnknownError":                 always(verdictUnclear),
		"403 SomethingForbidden":           always(verdictUnclear),
		"400 UnknownException":             always(verdictUnclear),
		"400 SerializationException":       always(verdictUnclear),
		"400 RequestTimeoutException":      always(verdictUnclear),
		"500 JobNotFoundException":         always(verdictUnclear),
		"500 ValidationException":          always(verdictUnclear),
	}
	modelled := map[string]map[string]answer{
		operationAcknowledge: {
			"400 ValidationException":   always(verdictRefused),
			"400 InvalidNonceException": {verdictLost, verdictTaken},
			"400 JobNotFoundException":  always(verdictGone),
		},
		operationDetails: {
			"400 ValidationException":  always(verdictAgain),
			"400 JobNotFoundException": always(verdictGone),
		},
		operationSuccess: {
			"400 ValidationException":                  always(verdictRefused),
			"400 JobNotFoundException":                 {verdictGone, verdictTaken},
			"400 InvalidJobStateException":             {verdictGone, verdictTaken},
			"400 OutputVariablesSizeExceededException": always(verdictRefused),
		},
		operationFailure: {
			"400 ValidationException":      always(verdictRefused),
			"400 JobNotFoundException":     {verdictGone, verdictTaken},
			"400 InvalidJobStateException": {verdictGone, verdictTaken},
		},
	}
	for operation, own := range modelled {
		for _, others := range modelled { // another operation's errors are unclear
			for shown := range others {
				if _, has := own[shown]; !has {
					expectAnswer(t, operation, shown, always(verdictUnclear))
				}
			}
		}
		for _, table := range []map[string]answer{all, own} {
			for shown, want := range table {
				expectAnswer(t, operation, shown, want)
			}
		}
	}
}

func expectAnswer(t *testing.T, operation, shown string, want answer) {
	t.Helper()
	g := NewWithT(t)
	var status int
	var code string
	_, _ = fmt.Sscanf(shown, "%d %s", &status, &code) // some have no code
	err := answered(operation, status, code)
	g.Expect(verdictOf(operation, err, false)).To(Equal(want.first), "%s: %s", operation, shown)
	g.Expect(verdictOf(operation, err, true)).To(Equal(want.later), "%s: %s, after an earlier try", operation, shown)
}

func TestMissingAnswers(t *testing.T) {
	g := NewWithT(t)
	for operation := range answers {
		g.Expect(verdictOf(operation, nil, false)).To(Equal(verdictTaken))
		for _, err := range []error{context.DeadlineExceeded, os.ErrDeadlineExceeded, errors.New("connection reset by peer")} {
			g.Expect(verdictOf(operation, fmt.Errorf("call: %w", err), false)).To(Equal(verdictUnclear), "%s: %v", operation, err)
		}
		none := &codepipeline.NotSentError{Kind: codepipeline.AccessDenied, Err: errors.New("no credentials")}
		g.Expect(verdictOf(operation, none, false)).To(Equal(verdictAgain))
	}
}
