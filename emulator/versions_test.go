package emulator_test

import (
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

// TestSourceRevisionIsTheObjectsVersion reads an older version of the object by the source action's
// revision ID, after the object was replaced.
func TestSourceRevisionIsTheObjectsVersion(t *testing.T) {
	g := NewWithT(t)
	_, config := listening(t)
	store := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
	pipelines := codepipeline.NewFromConfig(config)
	bucket, key := aws.String("sources"), aws.String("app.zip")
	put := func(content string) *string {
		made, err := store.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader(content)})
		g.Expect(err).NotTo(HaveOccurred())
		return made.VersionId
	}
	g.Expect(put("unversioned")).To(BeNil())
	_, err := store.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: bucket,
		VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled}})
	g.Expect(err).NotTo(HaveOccurred())
	first := put("first")

	_, err = pipelines.CreateCustomActionType(t.Context(), &codepipeline.CreateCustomActionTypeInput{
		Category: types.ActionCategoryBuild, Provider: aws.String("worker"), Version: aws.String("1"),
		InputArtifactDetails: &types.ArtifactDetails{MaximumCount: 1}, OutputArtifactDetails: &types.ArtifactDetails{},
		ConfigurationProperties: []types.ActionConfigurationProperty{{Name: aws.String("Of")}},
	})
	g.Expect(err).NotTo(HaveOccurred())
	build := pipeline.CustomType(types.ActionCategoryBuild, "worker", "1")
	_, err = pipelines.CreatePipeline(t.Context(), pipeline.New("p", *bucket).
		Stage("Source", pipeline.S3Source("fetch", *bucket, *key).Namespace("S").Outputs("code")).
		Stage("Build", pipeline.NewAction("compile", build).Inputs("code").Configure("Of", "#{S.VersionId} #{S.ETag}")).
		CreateInput())
	g.Expect(err).NotTo(HaveOccurred())
	_, err = pipelines.StartPipelineExecution(t.Context(), &codepipeline.StartPipelineExecutionInput{Name: aws.String("p")})
	g.Expect(err).NotTo(HaveOccurred())
	polled, err := pipelines.PollForJobs(t.Context(), &codepipeline.PollForJobsInput{ActionTypeId: build})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(polled.Jobs).To(HaveLen(1))
	version, _, _ := strings.Cut(polled.Jobs[0].Data.ActionConfiguration.Configuration["Of"], " ")
	g.Expect(version).To(Equal(*first))
	g.Expect(*polled.Jobs[0].Data.InputArtifacts[0].Revision).To(Equal(*first))

	put("second")
	older, err := store.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key, VersionId: &version})
	g.Expect(err).NotTo(HaveOccurred())
	content, err := io.ReadAll(older.Body)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(older.Body.Close()).To(Succeed())
	g.Expect(string(content)).To(Equal("first"))
}
