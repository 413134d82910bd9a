package emulator

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/codepipeline"
	"github.com/aws/aws-sdk-go-v2/service/codepipeline/types"
	. "github.com/onsi/gomega"

	"github.com/pipelinejob/pipelinejob-operator/emulator/pipeline"
)

// raw makes a call that must succeed, and returns the response as sent: clients don't distinguish
// absent members from null or empty ones. The world must be unsigned.
func (w *world) raw(operation, format string, values ...any) map[string]any {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.ctx, http.MethodPost, w.emulator.URL(), strings.NewReader(fmt.Sprintf(format, values...)))
	w.Expect(err).NotTo(HaveOccurred())
	request.Header.Set("X-Amz-Target", targetPrefix+operation)
	request.Header.Set("Content-Type", contentType)
	response, err := http.DefaultClient.Do(request)
	w.Expect(err).NotTo(HaveOccurred())
	defer func() { w.Expect(response.Body.Close()).To(Succeed()) }()
	body, err := io.ReadAll(response.Body)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(response.StatusCode).To(Equal(http.StatusOK), string(body))
	var answer map[string]any
	w.Expect(json.Unmarshal(body, &answer)).To(Succeed(), string(body))
	return answer
}

// within returns the value at a path of member names and indexes.
func (w *world) within(answer any, path ...any) any {
	w.t.Helper()
	for _, step := range path {
		switch at := step.(type) {
		case string:
			w.Expect(answer).To(HaveKey(at))
			answer = answer.(map[string]any)[at]
		case int:
			w.Expect(len(answer.([]any))).To(BeNumerically(">", at))
			answer = answer.([]any)[at]
		}
	}
	return answer
}

const typedProperties = `{"category": "Build", "provider": "worker", "version": "1", "configurationProperties": [
	{"name": "Level", "required": true, "key": true, "secret": false, "type": "Number"},
	{"name": "Fast", "required": false, "key": false, "secret": false, "type": "Boolean"}], ` + noDetails + `}`

func TestPropertyTypesAreLeftOut(t *testing.T) {
	for name, c := range map[string]struct {
		options func(*Options)
		types   []any // of the properties; nil if absent
	}{
		"by default":                       {func(*Options) {}, []any{nil, nil}},
		"with Options.ReturnPropertyTypes": {func(o *Options) { o.ReturnPropertyTypes = true }, []any{"Number", "Boolean"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, unsigned, c.options)
			created := w.within(w.raw("CreateCustomActionType", typedProperties), "actionType")
			listed := w.within(w.raw("ListActionTypes", `{"actionOwnerFilter": "Custom"}`), "actionTypes", 0)
			for _, shown := range []any{created, listed} {
				for i, want := range c.types {
					property := w.within(shown, "actionConfigurationProperties", i)
					if want == nil {
						w.Expect(property).NotTo(HaveKey("type"))
					} else {
						w.Expect(property).To(HaveKeyWithValue("type", want))
					}
				}
			}
		})
	}
}

// TestLeftOutTypesAreStillDefined restores a deleted type, which requires the identical definition.
func TestLeftOutTypesAreStillDefined(t *testing.T) {
	w := newWorld(t, unsigned)
	w.raw("CreateCustomActionType", typedProperties)
	_, err := w.pipelines.DeleteCustomActionType(w.ctx, &codepipeline.DeleteCustomActionTypeInput{
		Category: types.ActionCategoryBuild, Provider: customType("").Provider, Version: customType("").Version,
	})
	w.Expect(err).NotTo(HaveOccurred())
	_, code, _ := w.send(w.WithT, rawRequest{http.MethodPost, "/", targetPrefix + "CreateCustomActionType", contentType, strings.Replace(typedProperties, "Number", "String", 1)})
	w.Expect(code).To(Equal("ValidationException"))
	w.raw("CreateCustomActionType", typedProperties)
}

func TestSettingsAreAnObject(t *testing.T) {
	for name, given := range map[string]string{"absent": "", "empty": `"settings": {}, `} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, unsigned)
			created := w.raw("CreateCustomActionType", `{"category": "Build", "provider": "worker", "version": "1", %s}`, given+noDetails)
			listed := w.raw("ListActionTypes", `{"actionOwnerFilter": "Custom"}`)
			w.Expect(w.within(created, "actionType", "settings")).To(Equal(map[string]any{}))
			w.Expect(w.within(listed, "actionTypes", 0, "settings")).To(Equal(map[string]any{}))
		})
	}
}

func TestPipelinesLeaveNothingOutOfActions(t *testing.T) {
	w := newWorld(t, unsigned)
	w.createType(types.ActionCategoryBuild)
	bare := `{"name": "Build", "actions": [{"name": "compile", "actionTypeId": ` + buildType + `}]}`
	answers := map[string]map[string]any{
		"CreatePipeline": w.raw("CreatePipeline", `{"pipeline": %s}`, declared("p", sourceStage, bare)),
		"UpdatePipeline": w.raw("UpdatePipeline", `{"pipeline": %s}`, declared("p", sourceStage, bare)),
		"GetPipeline":    w.raw("GetPipeline", `{"name": "p"}`),
	}
	for operation, answer := range answers {
		action := w.within(answer, "pipeline", "stages", 1, "actions", 0)
		w.Expect(action).To(And(
			HaveKeyWithValue("configuration", map[string]any{}), HaveKeyWithValue("inputArtifacts", []any{}),
			HaveKeyWithValue("outputArtifacts", []any{}), HaveKeyWithValue("runOrder", 1.0)), operation)
		source := w.within(answer, "pipeline", "stages", 0, "actions", 0)
		w.Expect(source).To(And(HaveKeyWithValue("inputArtifacts", []any{}), HaveKeyWithValue("runOrder", 1.0)), operation)
	}
}

func TestJobsHaveEmptyListsOfArtifacts(t *testing.T) {
	w := newWorld(t, unsigned)
	w.begin(func(d *types.PipelineDeclaration) {
		d.Stages = d.Stages[:2]
		d.Stages[1].Actions = []types.ActionDeclaration{pipeline.NewAction("compile", customType(types.ActionCategoryBuild)).Declaration()}
	})
	polled := w.within(w.raw("PollForJobs", `{"actionTypeId": %s}`, buildType), "jobs", 0)
	details := w.within(w.raw("GetJobDetails", `{"jobId": %q}`, w.within(polled, "id")), "jobDetails")
	for _, job := range []any{polled, details} {
		data := w.within(job, "data")
		w.Expect(data).To(And(HaveKeyWithValue("inputArtifacts", []any{}), HaveKeyWithValue("outputArtifacts", []any{})))
		w.Expect(w.within(data, "actionConfiguration", "configuration")).To(Equal(map[string]any{}))
	}
}

func TestArtifactKeysEndInLettersAndDigits(t *testing.T) {
	const executions = 20
	w := newWorld(t)
	w.begin(parallel, func(d *types.PipelineDeclaration) { d.Stages = d.Stages[:2] })
	for range executions - 1 {
		w.start()
	}
	var ends strings.Builder
	for jobs := w.poll(types.ActionCategoryBuild); len(jobs) > 0; jobs = w.poll(types.ActionCategoryBuild) {
		for _, job := range jobs {
			key := *job.Data.OutputArtifacts[0].Location.S3Location.ObjectKey
			w.Expect(key).To(MatchRegexp(`^p/binary/[A-Za-z0-9]{7}$`))
			ends.WriteString(strings.TrimPrefix(key, "p/binary/"))
		}
	}
	w.Expect(ends.Len()).To(Equal(7 * executions))
	w.Expect(ends.String()).To(And(MatchRegexp("[A-Z]"), MatchRegexp("[a-z]"), MatchRegexp("[0-9]")))
}
