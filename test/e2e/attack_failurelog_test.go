//go:build e2e

package e2e

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
)

// TestFailureLogStaysInTheCluster: a step prints a text that must not leave the cluster's logs, and
// fails. Neither AWS nor an object of the cluster has the text.
func TestFailureLogStaysInTheCluster(t *testing.T) {
	s := newSuite(t)
	s.install()
	s.connect()
	quiet := work{Name: "quiet", Spec: "failureLog: Never", Script: `echo "customer-$((4000 + 711)) is unknown"; exit 3`}
	s.apply(quiet)
	execution := s.startWorks("quiet", quiet)
	s.Expect(s.ended("quiet", execution)).To(Equal(types.PipelineExecutionStatusFailed))
	message := aws.ToString(s.actionState(s, "quiet", quiet.Name).ErrorDetails.Message)
	s.Expect(message).To(MatchRegexp(`(?s)^step "work" failed: exit code 3\..*\n\(The last log lines are left out: .* is Never\. To read them: kubectl logs -n pipelines \S+ -c work\)$`))
	for _, kind := range []string{"cpjob", "jobs", "pods", "events"} {
		s.Expect(s.kubectl("-n", namespace, "get", kind, "-o", "json")).NotTo(ContainSubstring("customer-4711"), kind)
	}
	job := s.pipelineJobs(s, execution)[quiet.Name]
	s.Expect(s.kubectl("-n", namespace, "logs", "job/"+job.Status.Run.JobName, "-c", "work")).To(ContainSubstring("customer-4711"))
}
