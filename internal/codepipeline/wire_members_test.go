package codepipeline

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// TestEachMemberOfASuccessIsSent sets each field to a different value and looks for it in the SDK's
// request.
func TestEachMemberOfASuccessIsSent(t *testing.T) {
	g := NewWithT(t)
	created := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	percent := int32(42)
	given := Success{
		JobID: "JobID", Summary: "Summary", ExternalExecutionID: "ExternalExecutionID", PercentComplete: &percent,
		ContinuationToken: "ContinuationToken", OutputVariables: map[string]string{"KEY": "OutputVariables"},
		CurrentRevision: &Revision{Revision: "Revision", ChangeIdentifier: "ChangeIdentifier", Created: &created, Summary: "RevisionSummary"},
	}
	expectNoZero(g, reflect.ValueOf(given))
	expectNoZero(g, reflect.ValueOf(*given.CurrentRevision))
	sent, err := json.Marshal(successInput(given))
	g.Expect(err).NotTo(HaveOccurred())
	for _, value := range []string{
		"JobID", "Summary", "ExternalExecutionID", "42", "ContinuationToken", "OutputVariables", "Revision", "ChangeIdentifier", "2024-05-06T07:08:09Z", "RevisionSummary",
	} {
		g.Expect(string(sent)).To(MatchRegexp(`:"?%s[",}]`, value))
	}
}

// expectNoZero finds fields that the test does not set.
func expectNoZero(g *WithT, of reflect.Value) {
	for i := range of.NumField() {
		g.Expect(of.Field(i).IsZero()).To(BeFalse(), "%s.%s: give it a value here, and send it in wire.go", of.Type(), of.Type().Field(i).Name)
	}
}
