package poller

import (
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipelinejob/pipelinejob-operator/api/v1alpha1"
	"github.com/pipelinejob/pipelinejob-operator/internal/codepipeline"
)

func TestRecordOfAPolledJob(t *testing.T) {
	g := NewWithT(t)
	action := &v1alpha1.CustomAction{ObjectMeta: metav1.ObjectMeta{Name: "build", Namespace: "team"}}
	action.Spec.ActionType.ConfigurationProperties = []v1alpha1.ConfigurationProperty{{Name: "Target"}, {Name: "Token", Secret: true}}
	target := Target{Account: "shared", Identity: codepipeline.Identity{Region: "eu-central-1"}}
	record := newPipelineJob(action, target, codepipeline.Job{
		ID: "11111111-1111-1111-1111-111111111111", Nonce: "7", AccountID: "111122223333", ContinuationToken: "again",
		Configuration: map[string]string{"Target": "all", "Token": "hunter2"},
		Credentials:   codepipeline.Credentials{AccessKeyID: "hunter3", SecretAccessKey: "hunter4", SessionToken: "hunter5"},
		Pipeline: codepipeline.PipelineContext{
			Name: "web", ExecutionID: "e", Stage: "Build", Action: "compile", ActionExecutionID: "22222222-2222-2222-2222-222222222222",
		},
		InputArtifacts: []codepipeline.Artifact{{Name: "source", Revision: "r", Bucket: "b", ObjectKey: "k"}},
		EncryptionKey:  codepipeline.EncryptionKey{ID: "key", Type: "KMS"},
	}, metav1.Now())

	g.Expect(record.Name).To(Equal("build-22222222-2222-2222-2222-222222222222"))
	g.Expect(record.Finalizers).To(ConsistOf(v1alpha1.FinalizerPipelineJob))
	g.Expect(record.Spec.AccountRef.Name).To(Equal("shared"))
	g.Expect(record.Spec.Region).To(BeEquivalentTo("eu-central-1"))
	g.Expect(record.Spec.Configuration).To(Equal(map[string]string{"Target": "all"}))
	g.Expect(record.Spec.SecretConfiguration).To(Equal([]string{"Token"}))
	g.Expect(record.Spec.InputArtifacts).To(Equal([]v1alpha1.Artifact{
		{Name: "source", Revision: "r", S3Location: v1alpha1.S3Location{BucketName: "b", ObjectKey: "k"}},
	}))
	g.Expect(record.Spec.EncryptionKey).To(Equal(&v1alpha1.EncryptionKey{ID: "key", Type: "KMS"}))
	g.Expect(record.Spec.CodePipelineJob.ContinuationToken).To(Equal("again"))
	content, err := json.Marshal(record)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(content)).NotTo(ContainSubstring("hunter"), "no secrets and no credentials")
}
