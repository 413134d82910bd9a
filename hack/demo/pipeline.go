package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

const (
	region         = "us-east-1"
	sourceBucket   = "demo-source"
	sourceKey      = "source.zip"
	artifactBucket = "demo-artifacts"
)

// clients are AWS clients for the emulator.
type clients struct {
	pipelines *codepipeline.Client
	s3        *s3.Client
	endpoint  string
}

func newAWS(ctx context.Context, endpoint string) (*clients, error) {
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(region),
		config.WithBaseEndpoint(endpoint),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("emulator", "emulator", "")))
	if err != nil {
		return nil, fmt.Errorf("prepare the AWS clients: %w", err)
	}
	return &clients{pipelines: codepipeline.NewFromConfig(cfg), s3: s3.NewFromConfig(cfg), endpoint: endpoint}, nil
}

// putSource creates the buckets and uploads the project's Go files as the pipeline's source.
func (c *clients) putSource(ctx context.Context, root string) error {
	for _, bucket := range []string{sourceBucket, artifactBucket} {
		_, err := c.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)})
		var owned *s3types.BucketAlreadyOwnedByYou
		var exists *s3types.BucketAlreadyExists
		if err != nil && !errors.As(err, &owned) && !errors.As(err, &exists) {
			return fmt.Errorf("create bucket %s: %w", bucket, err)
		}
	}
	content, err := zipSource(root)
	if err != nil {
		return err
	}
	_, err = c.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(sourceBucket), Key: aws.String(sourceKey), Body: bytes.NewReader(content),
	})
	if err != nil {
		return fmt.Errorf("upload the source: %w", err)
	}
	return nil
}

// zipSource zips the project's Go files.
func zipSource(root string) ([]byte, error) {
	var content bytes.Buffer
	archive := zip.NewWriter(&content)
	for _, folder := range []string{"api", "cmd", "controllers", "emulator", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			return addFile(archive, root, path)
		})
		if err != nil {
			return nil, fmt.Errorf("zip the folder %s: %w", folder, err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("zip the source: %w", err)
	}
	return content.Bytes(), nil
}

func addFile(archive *zip.Writer, root, path string) error {
	name, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	entry, err := archive.Create(filepath.ToSlash(name))
	if err != nil {
		return err
	}
	_, err = entry.Write(content)
	return err
}

// registerTimeout is how long the operator may take to register the action types again after a
// restart of the emulator, which loses them.
const registerTimeout = 90 * time.Second

// startPipeline creates or updates the pipeline, and starts it.
func (c *clients) startPipeline(ctx context.Context, name string, breakIt bool) (string, error) {
	declaration := declare(name, breakIt)
	var unknown *types.InvalidActionDeclarationException
	err := wait.PollUntilContextTimeout(ctx, time.Second, registerTimeout, true, func(ctx context.Context) (bool, error) {
		if err := c.makePipeline(ctx, declaration); !errors.As(err, &unknown) {
			return true, err
		}
		return false, nil
	})
	if wait.Interrupted(err) && unknown != nil {
		err = unknown
	}
	if err != nil {
		return "", fmt.Errorf("create the pipeline: %w", err)
	}
	started, err := c.pipelines.StartPipelineExecution(ctx, &codepipeline.StartPipelineExecutionInput{Name: &name})
	if err != nil {
		return "", fmt.Errorf("start the pipeline: %w", err)
	}
	return aws.ToString(started.PipelineExecutionId), nil
}

func (c *clients) makePipeline(ctx context.Context, declaration *types.PipelineDeclaration) error {
	_, err := c.pipelines.CreatePipeline(ctx, &codepipeline.CreatePipelineInput{Pipeline: declaration})
	var inUse *types.PipelineNameInUseException
	if errors.As(err, &inUse) {
		_, err = c.pipelines.UpdatePipeline(ctx, &codepipeline.UpdatePipelineInput{Pipeline: declaration})
	}
	return err
}

// declare returns the pipeline source → build → test. The configuration of the test refers to an
// output variable of the build.
func declare(name string, breakIt bool) *types.PipelineDeclaration {
	expected := "#{build.LINES}"
	if breakIt {
		expected = "1"
	}
	build := pipeline.CustomType(types.ActionCategoryBuild, "PipelineJob-Build", "1")
	test := pipeline.CustomType(types.ActionCategoryTest, "PipelineJob-Test", "1")
	return pipeline.New(name, artifactBucket).
		Stage("Source", pipeline.S3Source("source", sourceBucket, sourceKey).Configure("PollForSourceChanges", "false").Outputs("source")).
		Stage("Build", pipeline.NewAction("build", build).Namespace("build").Configure("Pattern", "*.go").Inputs("source").Outputs("package")).
		Stage("Test", pipeline.NewAction("test", test).Configure("ExpectedLines", expected).Inputs("package")).
		Declaration()
}
