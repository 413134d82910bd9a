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
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	. "github.com/onsi/gomega"
)

// addArgument gives a deployment one more argument, until the test ends.
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
		installed = false                    // the emulator forgets all when it is restarted
		s.ctx = context.WithoutCancel(s.ctx) // that of the test has ended
		patch(fmt.Sprintf(`[{"op": "replace", "path": %q, "value": %s}]`, path, before))
	})
}

// TestCredentialsThatExpireWhileStepsRun has credentials that are good for a
// fraction of the work's time: the upload at its end gets new ones.
func TestCredentialsThatExpireWhileStepsRun(t *testing.T) {
	s := newSuite(t)
	s.install()
	lifetime, err := time.ParseDuration(cmp.Or(os.Getenv("CREDENTIALS_TTL"), "20s"))
	s.Expect(err).NotTo(HaveOccurred())
	s.addArgument("codepipeline-emulator", "--credentials-ttl="+lifetime.String())
	s.addArgument("pipelinejob-operator", "--credentials-renewal=5s")
	s.connect() // to an emulator that has forgotten all

	w := work{Name: "expiring", Script: fmt.Sprintf("sleep %d; echo made > /codepipeline/output/made/file", int((3 * lifetime).Seconds()))}
	_, err = s.objs.CreateBucket(s.ctx, &s3.CreateBucketInput{Bucket: aws.String("demo-artifacts")})
	s.Expect(err).NotTo(HaveOccurred())
	_, err = s.objs.PutObject(s.ctx, &s3.PutObjectInput{Bucket: aws.String("demo-artifacts"), Key: aws.String("e2e.zip"), Body: bytes.NewReader(zipped(s, "file", "text"))})
	s.Expect(err).NotTo(HaveOccurred())
	var text bytes.Buffer
	s.Expect(workYAML.Execute(&text, w)).To(Succeed())
	manifest := bytes.Replace(text.Bytes(), []byte("outputArtifactDetails: {minimumCount: 0, maximumCount: 0}"),
		[]byte("outputArtifactDetails: {minimumCount: 0, maximumCount: 1}"), 1)
	s.kubectl("-n", namespace, "delete", "ca/"+w.Name, "--ignore-not-found") // an earlier run's is ready, but its type was forgotten
	out, err := s.tryKubectl(string(manifest), "apply", "--server-side", "-f", "-")
	s.Expect(err).NotTo(HaveOccurred(), out)
	s.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=1m", "ca/"+w.Name)

	execution := s.startWithArtifacts("expiring", w.Name)
	s.Expect(s.ended("expiring", execution)).To(Equal(types.PipelineExecutionStatusSucceeded))
	log := s.kubectl("-n", namespace, "logs", "job/"+s.pipelineJobs(s, execution)[w.Name].Status.Run.JobName, "-c", "codepipeline-report")
	t.Log("codepipeline-report:", log)
	s.Expect(log).To(ContainSubstring("Uploaded an output artifact"))
}

// startWithArtifacts starts a pipeline whose action takes an artifact and makes one.
func (s *suite) startWithArtifacts(pipeline, action string) (execution string) {
	source := aws.String("source")
	_, err := s.aws.CreatePipeline(s.ctx, &codepipeline.CreatePipelineInput{Pipeline: &types.PipelineDeclaration{
		Name: &pipeline, RoleArn: aws.String("arn:aws:iam::111122223333:role/p"),
		ArtifactStore: &types.ArtifactStore{Type: types.ArtifactStoreTypeS3, Location: aws.String("demo-artifacts")},
		Stages: []types.StageDeclaration{
			{Name: aws.String("Source"), Actions: []types.ActionDeclaration{{
				Name: source, OutputArtifacts: []types.OutputArtifact{{Name: source}},
				ActionTypeId:  &types.ActionTypeId{Category: "Source", Owner: "AWS", Provider: aws.String("S3"), Version: aws.String("1")},
				Configuration: map[string]string{"S3Bucket": "demo-artifacts", "S3ObjectKey": "e2e.zip"},
			}}},
			{Name: aws.String("Work"), Actions: []types.ActionDeclaration{{
				Name: &action, InputArtifacts: []types.InputArtifact{{Name: source}}, OutputArtifacts: []types.OutputArtifact{{Name: aws.String("made")}},
				ActionTypeId: &types.ActionTypeId{Category: "Test", Owner: "Custom", Provider: aws.String("E2E-" + action), Version: aws.String("1")},
			}}},
		},
	}})
	s.Expect(err).NotTo(HaveOccurred())
	return s.start(pipeline)
}
