package emulator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipelinejob/pipelinejob-operator/emulator/internal/model"
	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

// world is a listening emulator with AWS clients for it.
type world struct {
	*WithT
	t         *testing.T
	ctx       context.Context
	clock     *clocktesting.FakeClock
	emulator  *Server
	config    aws.Config
	pipelines *codepipeline.Client
	s3        *s3.Client
	sts       *sts.Client
}

func newWorld(t *testing.T, adjust ...func(*Options)) *world {
	t.Helper()
	w := &world{WithT: NewWithT(t), t: t, ctx: t.Context(), clock: clocktesting.NewFakeClock(time.Now())}
	options := Options{Clock: w.clock, Buckets: []string{"sources", "artifacts"}, CreateOnly: true}
	for _, change := range adjust {
		change(&options)
	}
	w.emulator = StartT(t, options)
	w.config = w.emulator.AWSConfig()
	w.config.Credentials = credentials.NewStaticCredentialsProvider("AKIATEST", "secret", "")
	w.config.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	w.config.HTTPClient = &http.Client{Transport: modelled{t, w.emulator.model}}
	w.pipelines = codepipeline.NewFromConfig(w.config)
	w.s3 = w.s3With(w.config.Credentials)
	w.sts = sts.NewFromConfig(w.config)
	return w
}

// modelled checks each response of CodePipeline against the API model.
type modelled struct {
	t     *testing.T
	model *model.Model
}

func (m modelled) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	name, ours := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if err != nil || !ours || response.StatusCode != http.StatusOK {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	m.check(name, body)
	return response, nil
}

func (m modelled) check(name string, body []byte) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var shown map[string]any
	if err := decoder.Decode(&shown); err != nil && len(body) > 0 {
		m.t.Errorf("%s answers no JSON: %v", name, err)
	}
	violations, err := m.model.ValidateResponse(m.model.Operations[name], shown)
	if err != nil || len(violations) > 0 {
		m.t.Errorf("the response of %s does not match the model: %v %s", name, err, violations.Message())
	}
}

func (w *world) s3With(provider aws.CredentialsProvider) *s3.Client {
	return s3.NewFromConfig(w.config, func(o *s3.Options) { o.Credentials, o.UsePathStyle = provider, true })
}

// s3Of returns a client with a job's artifact credentials.
func (w *world) s3Of(data *types.JobData) *s3.Client {
	c := data.ArtifactCredentials
	return w.s3With(credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken))
}

func customType(category types.ActionCategory) *types.ActionTypeId {
	return pipeline.CustomType(category, "worker", "1")
}

func typeInput(category types.ActionCategory, properties ...types.ActionConfigurationProperty) *codepipeline.CreateCustomActionTypeInput {
	return &codepipeline.CreateCustomActionTypeInput{
		Category: category, Provider: aws.String("worker"), Version: aws.String("1"), ConfigurationProperties: properties,
		InputArtifactDetails:  &types.ArtifactDetails{MinimumCount: 0, MaximumCount: 5},
		OutputArtifactDetails: &types.ArtifactDetails{MinimumCount: 0, MaximumCount: 5},
	}
}

func (w *world) createType(category types.ActionCategory, properties ...types.ActionConfigurationProperty) {
	_, err := w.pipelines.CreateCustomActionType(w.ctx, typeInput(category, properties...))
	w.Expect(err).NotTo(HaveOccurred())
}

// threeStages declares a pipeline with an S3 source, a build and a test.
func threeStages() *types.PipelineDeclaration {
	return pipeline.New("p", "artifacts").
		Stage("Source", pipeline.S3Source("fetch", "sources", "app.zip").Outputs("code")).
		Stage("Build", pipeline.NewAction("compile", customType(types.ActionCategoryBuild)).Namespace("built").Inputs("code").Outputs("binary")).
		Stage("Test", pipeline.NewAction("check", customType(types.ActionCategoryTest)).Inputs("binary").
			Configure("Tag", "#{built.tag}").Configure("Token", secretValue)).
		Declaration()
}

// secretValue must only be visible to workers.
const secretValue = "hunter-two"

// begin creates the pipeline and its source object, and starts it.
func (w *world) begin(adjust ...func(*types.PipelineDeclaration)) string {
	w.put(w.s3, "sources", "app.zip", "source bytes")
	w.createType(types.ActionCategoryBuild)
	w.createType(types.ActionCategoryTest,
		types.ActionConfigurationProperty{Name: aws.String("Tag")}, types.ActionConfigurationProperty{Name: aws.String("Token"), Secret: true})
	declared := threeStages()
	for _, change := range adjust {
		change(declared)
	}
	_, err := w.pipelines.CreatePipeline(w.ctx, &codepipeline.CreatePipelineInput{Pipeline: declared})
	w.Expect(err).NotTo(HaveOccurred())
	return w.start()
}

func (w *world) start() string {
	started, err := w.pipelines.StartPipelineExecution(w.ctx, &codepipeline.StartPipelineExecutionInput{Name: aws.String("p")})
	w.Expect(err).NotTo(HaveOccurred())
	return *started.PipelineExecutionId
}

func (w *world) poll(category types.ActionCategory) []types.Job {
	response, err := w.pipelines.PollForJobs(w.ctx, &codepipeline.PollForJobsInput{ActionTypeId: customType(category), MaxBatchSize: aws.Int32(10)})
	w.Expect(err).NotTo(HaveOccurred())
	return response.Jobs
}

// claim polls for a job, of which there must be exactly one, and acknowledges it.
func (w *world) claim(category types.ActionCategory) types.Job {
	jobs := w.poll(category)
	w.Expect(jobs).To(HaveLen(1))
	answer, err := w.pipelines.AcknowledgeJob(w.ctx, &codepipeline.AcknowledgeJobInput{JobId: jobs[0].Id, Nonce: jobs[0].Nonce})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(answer.Status).To(Equal(types.JobStatusInProgress))
	return jobs[0]
}

func (w *world) status(id string) types.PipelineExecutionStatus {
	response, err := w.pipelines.GetPipelineExecution(w.ctx, &codepipeline.GetPipelineExecutionInput{PipelineName: aws.String("p"), PipelineExecutionId: &id})
	w.Expect(err).NotTo(HaveOccurred())
	return response.PipelineExecution.Status
}

// codeOf returns the code of an error response.
func codeOf(err error) string {
	var known smithy.APIError
	if errors.As(err, &known) {
		return known.ErrorCode()
	}
	return ""
}

func (w *world) expectCode(err error, code string) {
	w.t.Helper()
	w.Expect(err).To(HaveOccurred())
	w.Expect(codeOf(err)).To(Equal(code), "%v", err)
}
