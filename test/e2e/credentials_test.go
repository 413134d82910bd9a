//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	. "github.com/onsi/gomega"
)

// addArgument adds an argument to a deployment until the test ends.
func (s *suite) addArgument(deployment, argument string) {
	s.t.Helper()
	const system = "pipelinejob-system"
	patch := func(operation string) {
		s.kubectl("-n", system, "patch", "deployment", deployment, "--type=json", "-p", operation)
		s.kubectl("-n", system, "rollout", "status", "deployment/"+deployment, "--timeout=2m")
	}
	before := s.kubectl("-n", system, "get", "deployment", deployment, "-o", "jsonpath={.spec.template.spec.containers[0].args}")
	const path = "/spec/template/spec/containers/0/args"
	patch(fmt.Sprintf(`[{"op": "add", "path": "%s/-", "value": %q}]`, path, argument))
	s.t.Cleanup(func() {
		installed = false                    // a restart clears the emulator's state
		s.ctx = context.WithoutCancel(s.ctx) // the test's context has ended
		patch(fmt.Sprintf(`[{"op": "replace", "path": %q, "value": %s}]`, path, before))
	})
}

// TestCredentialsThatExpireWhileStepsRun uses credentials that expire during the work. The upload
// at its end gets new ones.
func TestCredentialsThatExpireWhileStepsRun(t *testing.T) {
	s := newSuite(t)
	s.install()
	lifetime, err := time.ParseDuration(cmp.Or(os.Getenv("CREDENTIALS_TTL"), "20s"))
	s.Expect(err).NotTo(HaveOccurred())
	s.addArgument("codepipeline-emulator", "--credentials-ttl="+lifetime.String())
	s.addArgument("pipelinejob-operator", "--credentials-renewal=5s")
	s.connect() // to the restarted emulator

	w := work{Name: "expiring", Script: fmt.Sprintf("sleep %d; echo made > /codepipeline/output/made/file", int((3 * lifetime).Seconds()))}
	_, err = s.objs.CreateBucket(s.ctx, &s3.CreateBucketInput{Bucket: aws.String("demo-artifacts")})
	s.Expect(err).NotTo(HaveOccurred())
	s.put("e2e.zip", zipped(s, "file", "text"))
	var text bytes.Buffer
	s.Expect(workYAML.Execute(&text, w)).To(Succeed())
	manifest := bytes.Replace(text.Bytes(), []byte("outputArtifactDetails: {minimumCount: 0, maximumCount: 0}"),
		[]byte("outputArtifactDetails: {minimumCount: 0, maximumCount: 1}"), 1)
	s.kubectl("-n", namespace, "delete", "cpaction/"+w.Name, "--ignore-not-found") // an earlier run's is ready, but its type is gone
	out, err := s.tryKubectl(string(manifest), "apply", "--server-side", "-f", "-")
	s.Expect(err).NotTo(HaveOccurred(), out)
	s.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=1m", "cpaction/"+w.Name)

	action := custom(types.ActionCategoryTest, w.Name).Inputs("source").Outputs("made")
	execution := s.startPipeline("expiring", map[string]string{"source": "e2e.zip"}, action)
	s.Expect(s.ended("expiring", execution)).To(Equal(types.PipelineExecutionStatusSucceeded))
	log := s.kubectl("-n", namespace, "logs", "job/"+s.pipelineJobs(s, execution)[w.Name].Status.Run.JobName, "-c", "codepipeline-report")
	t.Log("codepipeline-report:", log)
	s.Expect(log).To(ContainSubstring("Uploaded an output artifact"))
}
