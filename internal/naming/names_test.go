package naming

import (
	"net/url"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
)

func TestPipelineJobName(t *testing.T) {
	const id = "0c8f1f0e-52a5-4d3b-9d51-8f64cba0e9a7"
	cases := map[string]struct {
		action, executionID, jobID string
		want                       string
	}{
		"an execution":                       {"build", id, "other", "build-" + id},
		"no execution ID: the job's":         {"build", "", id, "build-" + id},
		"a dotted name":                      {"my.build", id, "", "my-build-" + id},
		"a long name is cut":                 {strings.Repeat("a", 60), id, "", strings.Repeat("a", 20) + "-" + id},
		"cut without a hyphen at the end":    {strings.Repeat("a", 19) + "-bcd", id, "", strings.Repeat("a", 19) + "-" + id},
		"an ID of another form is a digest":  {"build", "Not A/UUID", "", "build-" + digest("Not A/UUID")},
		"a digest is as long as a UUID is":   {"build", "x", "", "build-" + digest("x")},
		"the job ID counts only as fallback": {"build", id, "x", "build-" + id},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got := PipelineJobName(c.action, c.executionID, c.jobID)
			g.Expect(got).To(Equal(c.want))
			job := &v1alpha1.PipelineJob{ObjectMeta: metav1.ObjectMeta{Name: got}}
			g.Expect(len(JobName(job, 99999))).To(BeNumerically("<=", 63), "a pod carries the Job's name in a label")
		})
	}
}

// TestExternalExecutionID: the ID names the Job and needs no escaping in a link.
func TestExternalExecutionID(t *testing.T) {
	g := NewWithT(t)
	id := ExternalExecutionID("team-sec", "build-0c8f1f0e-1")
	g.Expect(id).To(Equal("team-sec.build-0c8f1f0e-1"))
	g.Expect(url.PathEscape(id)).To(Equal(id))
	g.Expect(url.QueryEscape(id)).To(Equal(id))
}
