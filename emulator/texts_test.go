package emulator

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

// TestTextsOfErrors compares messages with published ones, of AWS or its users. Messages without a
// known example are not included.
func TestTextsOfErrors(t *testing.T) {
	const (
		declaration = "InvalidActionDeclarationException"
		byOwner     = `{"actionTypeId": {"category": "Build", "owner": "%s", "provider": "CodeBuild", "version": "1"}}`
		poll        = `{"actionTypeId": {"category": "Build", "owner": "Custom", "provider": "X", "version": "1"}}`
	)
	build := func(action string) string {
		return `{"pipeline": ` + declared("r", sourceStage, `{"name": "Build", "actions": [{"name": "A", `+action+`}]}`) + `}`
	}
	action := func(provider, members string) string {
		return build(`"actionTypeId": {"category": "Build", "owner": "Custom", "provider": "` + provider + `", "version": "1"}` + members)
	}
	cases := map[string]struct{ operation, request, code, message string }{
		"poll of AWS's types":       {"PollForJobs", strings.Replace(byOwner, "%s", "AWS", 1), "ValidationException", "ActionType with owner 'AWS' is not supported"},
		"poll of third parties'":    {"PollForJobs", strings.Replace(byOwner, "%s", "ThirdParty", 1), "ValidationException", "ActionType with owner 'ThirdParty' is not supported"},
		"poll of an unknown type":   {"PollForJobs", poll, "ActionTypeNotFoundException", "ActionType (Category: 'Build', Owner: 'Custom', Provider: 'X', Version: '1') is not available"},
		"action of an unknown type": {"CreatePipeline", action("X", ""), declaration, "ActionType (Category: 'Build', Provider: 'X', Owner: 'Custom', Version: '1') in action 'A' is not available in region 'US_EAST_1'"},
		"no required configuration": {"CreatePipeline", action("strict", `, "inputArtifacts": [{"name": "code"}]`), declaration, "Action configuration for action 'A' is missing required configuration 'K'"},
		"too few inputs":            {"CreatePipeline", action("strict", ""), declaration, "Action A declares 0 input artifacts which is less than the minimum count (1)"},
		"no sources":                {"CreatePipeline", `{"pipeline": ` + declared("r", strings.Replace(buildStage, "Build", "First", 1), buildStage) + `}`, "InvalidStructureException", "Pipeline should start with a stage that only contains source actions."},
		"sources and others":        {"CreatePipeline", `{"pipeline": ` + declared("r", strings.Replace(sourceStage, `"actions": [`, `"actions": [{"name": "A", "actionTypeId": `+buildType+`}, `, 1), buildStage) + `}`, "InvalidStructureException", "Pipeline should start with a stage that only contains source actions."},
		"tags of no pipeline":       {"ListTagsForResource", `{"resourceArn": "` + absentARN + `"}`, "ResourceNotFoundException", "The account with id '111122223333' does not include a pipeline with the name 'none'"},
		"tagging of no pipeline":    {"TagResource", `{"resourceArn": "` + absentARN + `", "tags": []}`, "ResourceNotFoundException", "The account with id '111122223333' does not include a pipeline with the name 'none'"},
		"untagging of no pipeline":  {"UntagResource", `{"resourceArn": "` + absentARN + `", "tagKeys": []}`, "ResourceNotFoundException", "The account with id '111122223333' does not include a pipeline with the name 'none'"},
		"reading of no pipeline":    {"GetPipeline", `{"name": "none"}`, "PipelineNotFoundException", "Account '111122223333' does not have a pipeline with name 'none'"},
	}
	w := newWorld(t, unsigned)
	w.createType(types.ActionCategoryBuild)
	w.raw("CreateCustomActionType", `{"category": "Build", "provider": "strict", "version": "1",
		"configurationProperties": [{"name": "K", "required": true, "key": true, "secret": false}],
		"inputArtifactDetails": {"minimumCount": 1, "maximumCount": 1}, "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 0}}`)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			_, code, message := w.send(g, rawRequest{http.MethodPost, "/", targetPrefix + c.operation, contentType, c.request})
			g.Expect(code).To(Equal(c.code), message)
			g.Expect(message).To(Equal(c.message))
		})
	}
}

// createQueryable creates the action type for beginQueryable.
func (w *world) createQueryable() {
	w.createType(types.ActionCategoryBuild, types.ActionConfigurationProperty{Name: aws.String("Project"), Required: true, Key: true, Queryable: true})
}

func queryablePipeline(value string) pipeline.Pipeline {
	return pipeline.New("p", "artifacts").Variable("project", "none").
		Stage("Source", pipeline.S3Source("fetch", "sources", "app.zip").Outputs("code")).
		Stage("Build", pipeline.NewAction("compile", customType(types.ActionCategoryBuild)).Configure("Project", value))
}

// TestQueryableValuesCanBePolledFor: CreatePipeline and PollForJobs accept the same values.
func TestQueryableValuesCanBePolledFor(t *testing.T) {
	for value, good := range map[string]bool{
		"a": true, "My_project-1": true, strings.Repeat("x", 50): true,
		"": false, "team a": false, "team/a": false, "v1.2": false, "ä": false, "a\n": false, strings.Repeat("x", 51): false,
	} {
		t.Run(value, func(t *testing.T) {
			w := newWorld(t)
			w.createQueryable()
			create := errorOf(w.pipelines.CreatePipeline(w.ctx, queryablePipeline(value).CreateInput()))
			poll := errorOf(w.pipelines.PollForJobs(w.ctx, &codepipeline.PollForJobsInput{
				ActionTypeId: customType(types.ActionCategoryBuild), QueryParam: map[string]string{"Project": value},
			}))
			if good {
				w.Expect(create).NotTo(HaveOccurred())
				w.Expect(poll).NotTo(HaveOccurred())
				w.Expect(w.update(queryablePipeline("a b").Declaration())).To(MatchError(ContainSubstring("InvalidActionDeclarationException")))
				return
			}
			w.Expect(codeOf(create)).To(Or(Equal("InvalidActionDeclarationException"), Equal("ValidationException")))
			w.expectCode(poll, "ValidationException")
		})
	}
}

func TestQueryableValueIsNamed(t *testing.T) {
	w := newWorld(t)
	w.createQueryable()
	err := errorOf(w.pipelines.CreatePipeline(w.ctx, queryablePipeline("team/a").CreateInput()))
	w.expectCode(err, "InvalidActionDeclarationException")
	w.Expect(messageOf(err)).To(Equal("Action configuration for action 'compile' has an invalid value for the queryable configuration 'Project': " +
		"it must have 1 to 50 letters, digits, underscores and hyphens"))
}

// TestQueryableValuesOfVariables: values of variables are checked when the action starts.
func TestQueryableValuesOfVariables(t *testing.T) {
	w := newWorld(t)
	w.createQueryable()
	w.put(w.s3, "sources", "app.zip", "source bytes")
	w.Expect(errorOf(w.pipelines.CreatePipeline(w.ctx, queryablePipeline("#{variables.project}").CreateInput()))).To(Succeed())
	start := func(value string) *types.ActionExecution {
		_, err := w.pipelines.StartPipelineExecution(w.ctx, &codepipeline.StartPipelineExecutionInput{
			Name: aws.String("p"), Variables: []types.PipelineVariable{{Name: aws.String("project"), Value: &value}},
		})
		w.Expect(err).NotTo(HaveOccurred())
		return w.buildState().LatestExecution
	}
	failed := start("team/a")
	w.Expect(failed.Status).To(Equal(types.ActionExecutionStatusFailed))
	w.Expect(*failed.ErrorDetails.Code).To(Equal("ConfigurationError"))
	w.Expect(*failed.ErrorDetails.Message).To(ContainSubstring(`"team/a" of the queryable configuration Project`))
	w.Expect(start("team-a").Status).To(Equal(types.ActionExecutionStatusInProgress))
	polled, err := w.pipelines.PollForJobs(w.ctx, &codepipeline.PollForJobsInput{
		ActionTypeId: customType(types.ActionCategoryBuild), QueryParam: map[string]string{"Project": "team-a"},
	})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(polled.Jobs).To(HaveLen(1))
}
