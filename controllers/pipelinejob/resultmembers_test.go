package pipelinejob

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

// TestEachMemberOfAResultIsReported gives each member of a step's result a distinct value, and
// looks for it in the status and in the report.
func TestEachMemberOfAResultIsReported(t *testing.T) {
	g := NewWithT(t)
	given := podcontract.Result{
		Summary: "Summary", PercentComplete: ptr.To[int32](42), ExternalExecutionID: "ExternalExecutionID", ContinuationToken: "ContinuationToken",
		OutputVariables: map[string]string{"KEY": "OutputVariables"},
		CurrentRevision: &podcontract.Revision{
			Revision: "Revision", ChangeIdentifier: "ChangeIdentifier",
			Created: ptr.To(time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)), RevisionSummary: "RevisionSummary",
		},
	}
	expectNoZero(g, reflect.ValueOf(given))
	expectNoZero(g, reflect.ValueOf(*given.CurrentRevision))

	job := &v1alpha1.PipelineJob{Status: v1alpha1.PipelineJobStatus{Run: &v1alpha1.Run{}}}
	(&Reconciler{Options: Options{Clock: clock.RealClock{}}}).endRun(job, &podcontract.RunResult{Result: given})
	// A result has only one of the two: recordSuccess and recordContinuation copy them.
	job.Status.OutputVariables, job.Status.ContinuationToken = given.OutputVariables, given.ContinuationToken

	status, err := json.Marshal(job.Status)
	g.Expect(err).NotTo(HaveOccurred())
	report, err := json.Marshal(successOf(job))
	g.Expect(err).NotTo(HaveOccurred())
	for _, value := range []string{
		"Summary", "42", "ExternalExecutionID", "ContinuationToken", "OutputVariables",
		"Revision", "ChangeIdentifier", "2024-05-06T07:08:09Z", "RevisionSummary",
	} {
		g.Expect(string(status)).To(MatchRegexp(`:"?%s[",}]`, value), "the status: see endRun in result.go")
		g.Expect(string(report)).To(MatchRegexp(`:"?%s[",}]`, value), "the report: see successOf in report.go")
	}
}

// expectNoZero fails for members that this test does not set.
func expectNoZero(g *WithT, of reflect.Value) {
	for i := range of.NumField() {
		g.Expect(of.Field(i).IsZero()).To(BeFalse(), "%s.%s: set it in this test, and look for its value", of.Type(), of.Type().Field(i).Name)
	}
}
