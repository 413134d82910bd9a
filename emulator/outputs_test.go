package emulator

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"
)

// TestMissingOutputs reports success of an action without its output artifact.
func TestMissingOutputs(t *testing.T) {
	t.Run("by default the action fails", func(t *testing.T) {
		w := newWorld(t)
		id := w.begin()
		w.Expect(w.succeed(*w.claim(types.ActionCategoryBuild).Id)).To(Succeed())
		w.Expect(w.status(id)).To(Equal(types.PipelineExecutionStatusFailed))
		failure := w.buildState().LatestExecution.ErrorDetails
		w.Expect(*failure.Code).To(Equal("RevisionUnavailable"))
		w.Expect(*failure.Message).To(ContainSubstring("The output artifact binary was not uploaded"))
	})
	t.Run("with Options.AllowMissingOutputs the next one fails", func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.AllowMissingOutputs = true })
		id := w.begin()
		w.Expect(w.succeed(*w.claim(types.ActionCategoryBuild).Id, func(in *codepipeline.PutJobSuccessResultInput) {
			in.OutputVariables = map[string]string{"tag": "v7"}
		})).To(Succeed())
		w.Expect(w.buildState().LatestExecution.Status).To(Equal(types.ActionExecutionStatusSucceeded))
		next := w.claim(types.ActionCategoryTest)
		_, code := w.readPlace(w.s3Of(next.Data), next.Data.InputArtifacts[0])
		w.Expect(code).To(Equal("NoSuchKey"))
		w.Expect(w.fail(*next.Id, "there is no input")).To(Succeed())
		w.Expect(w.status(id)).To(Equal(types.PipelineExecutionStatusFailed))
	})
}
