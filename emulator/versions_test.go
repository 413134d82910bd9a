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
)

// TestSourceRevisionIsTheObjectsVersion reads an older version by the ID that
// the source action told, after a newer one has taken its place.
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
	build := &types.ActionTypeId{Category: types.ActionCategoryBuild, Owner: types.ActionOwnerCustom, Provider: aws.String("worker"), Version: aws.String("1")}
	source := &types.ActionTypeId{Category: types.ActionCategorySource, Owner: types.ActionOwnerAws, Provider: aws.String("S3"), Version: aws.String("1")}
	_, err = pipelines.CreatePipeline(t.Context(), &codepipeline.CreatePipelineInput{Pipeline: &types.PipelineDeclaration{
		Name: aws.String("p"), RoleArn: aws.String("arn:aws:iam::111122223333:role/r"),
		ArtifactStore: &types.ArtifactStore{Type: types.ArtifactStoreTypeS3, Location: bucket},
		Stages: []types.StageDeclaration{
			{Name: aws.String("Source"), Actions: []types.ActionDeclaration{{Name: aws.String("fetch"), ActionTypeId: source, Namespace: aws.String("S"),
				Configuration: map[string]string{"S3Bucket": *bucket, "S3ObjectKey": *key}, OutputArtifacts: []types.OutputArtifact{{Name: aws.String("code")}}}}},
			{Name: aws.String("Build"), Actions: []types.ActionDeclaration{{Name: aws.String("compile"), ActionTypeId: build,
				Configuration: map[string]string{"Of": "#{S.VersionId} #{S.ETag}"}, InputArtifacts: []types.InputArtifact{{Name: aws.String("code")}}}}},
		},
	}})
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
