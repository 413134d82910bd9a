package codepipeline

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"testing"

	. "github.com/onsi/gomega"
)

// defined is a definition in which every member has a value other than its zero value.
var defined = ActionType{
	ID: ActionTypeID{"Test", "Field-Number", "1"},
	Settings: Settings{
		ThirdPartyConfigurationURL: "https://a", EntityURLTemplate: "https://b", ExecutionURLTemplate: "https://c", RevisionURLTemplate: "https://d",
	},
	Properties: []Property{
		{Name: "Retries", Required: true, Key: true, Secret: true, Queryable: true, Description: "How often", Type: "Number"},
		{Name: "Note"},
	},
	Inputs:  ArtifactBounds{1, 2},
	Outputs: ArtifactBounds{3, 4},
}

// returned is the complete response of ListActionTypes for it.
const returned = `{
	"id": {"category": "Test", "owner": "Custom", "provider": "Field-Number", "version": "1"},
	"settings": {"thirdPartyConfigurationUrl": "https://a", "entityUrlTemplate": "https://b", "executionUrlTemplate": "https://c", "revisionUrlTemplate": "https://d"},
	"actionConfigurationProperties": [
		{"name": "Retries", "required": true, "key": true, "secret": true, "queryable": true, "description": "How often", "type": "Number"},
		{"name": "Note", "required": false, "key": false, "secret": false, "queryable": false, "type": "String"}
	],
	"inputArtifactDetails": {"minimumCount": 1, "maximumCount": 2},
	"outputArtifactDetails": {"minimumCount": 3, "maximumCount": 4}
}`

// object is a JSON object.
type object = map[string]any

// listed returns what FindActionType reads from a changed response of ListActionTypes.
func listed(t *testing.T, change func(object)) ListedActionType {
	t.Helper()
	g := NewWithT(t)
	var answer object
	g.Expect(json.Unmarshal([]byte(returned), &answer)).To(Succeed())
	change(answer)
	text, err := json.Marshal(object{"actionTypes": []any{answer}})
	g.Expect(err).NotTo(HaveOccurred())
	found, err := calledBy(t, ofJSON(string(text))).FindActionType(t.Context(), defined.ID)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found).NotTo(BeNil())
	return *found
}

func ofJSON(body string) http.Handler {
	return answer{http.StatusOK, map[string]string{"Content-Type": "application/x-amz-json-1.1"}, body}
}

func property(answer object, at int) object {
	return answer["actionConfigurationProperties"].([]any)[at].(object)
}

// members are the fields that CodePipeline may leave out, with their location in a response, a
// value that differs from the definition, and their name in Differences.
var members = []struct {
	name  string
	of    func(object) object
	key   string
	other any
}{
	{"settings.thirdPartyConfigurationUrl", within("settings"), "thirdPartyConfigurationUrl", "https://x"},
	{"settings.entityUrlTemplate", within("settings"), "entityUrlTemplate", "https://x"},
	{"settings.executionUrlTemplate", within("settings"), "executionUrlTemplate", "https://x"},
	{"settings.revisionUrlTemplate", within("settings"), "revisionUrlTemplate", "https://x"},
	{"inputArtifactDetails.minimumCount", within("inputArtifactDetails"), "minimumCount", 0},
	{"inputArtifactDetails.maximumCount", within("inputArtifactDetails"), "maximumCount", 5},
	{"outputArtifactDetails.minimumCount", within("outputArtifactDetails"), "minimumCount", 0},
	{"outputArtifactDetails.maximumCount", within("outputArtifactDetails"), "maximumCount", 5},
	{"configurationProperties[Retries].required", within(""), "required", false},
	{"configurationProperties[Retries].key", within(""), "key", false},
	{"configurationProperties[Retries].secret", within(""), "secret", false},
	{"configurationProperties[Retries].queryable", within(""), "queryable", false},
	{"configurationProperties[Retries].description", within(""), "description", "Other"},
	{"configurationProperties[Retries].type", within(""), "type", "String"},
}

// within returns an object of the response, or the first property.
func within(name string) func(object) object {
	return func(answer object) object {
		if name == "" {
			return property(answer, 0)
		}
		return answer[name].(object)
	}
}

// TestWhatIsNotReturnedMatchesAnything leaves out each field, and sets it to another value. False
// and zero, which the SDK returns for missing fields, count as other values.
func TestWhatIsNotReturnedMatchesAnything(t *testing.T) {
	for _, m := range members {
		t.Run(m.name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(Differences(defined, listed(t, func(a object) { delete(m.of(a), m.key) }))).To(BeEmpty(), "left out")
			g.Expect(Differences(defined, listed(t, func(a object) { m.of(a)[m.key] = nil }))).To(BeEmpty(), "null")
			g.Expect(Differences(defined, listed(t, func(a object) { m.of(a)[m.key] = m.other }))).To(ConsistOf(m.name), "%v", m.other)
		})
	}
	for name, change := range map[string]func(object){
		"nothing":                    func(object) {},
		"settings":                   func(a object) { delete(a, "settings") },
		"every setting":              func(a object) { a["settings"] = object{} },
		"the properties":             func(a object) { delete(a, "actionConfigurationProperties") },
		"artifacts":                  func(a object) { delete(a, "inputArtifactDetails"); delete(a, "outputArtifactDetails") },
		"everything but an identity": func(a object) { maps.DeleteFunc(a, func(key string, _ any) bool { return key != "id" }) },
	} {
		t.Run(name+" left out", func(t *testing.T) {
			NewWithT(t).Expect(Differences(defined, listed(t, change))).To(BeEmpty())
		})
	}
}

func TestDifferencesOfProperties(t *testing.T) {
	cases := map[string]struct {
		change func(object)
		want   []string
	}{
		"in another order": {func(a object) {
			list := a["actionConfigurationProperties"].([]any)
			list[0], list[1] = list[1], list[0]
		}, nil},
		"no type is defined: String":  {func(a object) { property(a, 1)["type"] = "Boolean" }, []string{"configurationProperties[Note].type"}},
		"a description is added":      {func(a object) { property(a, 1)["description"] = "x" }, []string{"configurationProperties[Note].description"}},
		"a queryable one is not ours": {func(a object) { property(a, 1)["queryable"] = true }, []string{"configurationProperties[Note].queryable"}},
		"one has another name": {func(a object) { property(a, 1)["name"] = "Other" }, []string{
			"configurationProperties[Note] (missing in CodePipeline)", "configurationProperties[Other] (only in CodePipeline)"}},
		"there are none": {func(a object) { a["actionConfigurationProperties"] = []any{} }, []string{
			"configurationProperties[Note] (missing in CodePipeline)", "configurationProperties[Retries] (missing in CodePipeline)"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(Differences(defined, listed(t, c.change))).To(Equal(c.want))
		})
	}
}

// TestPublishedAnswer uses the output of list-action-types in the AWS CLI's reference.
func TestPublishedAnswer(t *testing.T) {
	g := NewWithT(t)
	const output = `{"actionTypes": [{
		"inputArtifactDetails": {"maximumCount": 5, "minimumCount": 0},
		"actionConfigurationProperties": [{"secret": false, "required": true, "name": "MyJenkinsExampleBuildProject", "key": true, "queryable": true}],
		"outputArtifactDetails": {"maximumCount": 5, "minimumCount": 0},
		"id": {"category": "Build", "owner": "Custom", "version": "1", "provider": "MyJenkinsProviderName"},
		"settings": {"entityUrlTemplate": "http://192.0.2.4/job/{Config:ProjectName}"}
	}]}`
	want := ActionType{
		ID:         ActionTypeID{"Build", "MyJenkinsProviderName", "1"},
		Settings:   Settings{EntityURLTemplate: "http://192.0.2.4/job/{Config:ProjectName}"},
		Properties: []Property{{Name: "MyJenkinsExampleBuildProject", Required: true, Key: true, Queryable: true, Type: "Boolean", Description: "d"}},
		Inputs:     ArtifactBounds{0, 5}, Outputs: ArtifactBounds{0, 5},
	}
	found, err := calledBy(t, ofJSON(output)).FindActionType(t.Context(), want.ID)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(Differences(want, *found)).To(BeEmpty())
}

// TestActionTypeOnALaterPage uses one page per type.
func TestActionTypeOnALaterPage(t *testing.T) {
	g := NewWithT(t)
	asked := 0
	client := calledBy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		_, _ = io.Copy(io.Discard, r.Body)
		ofJSON(fmt.Sprintf(`{"actionTypes": [{"id": {"category": "Test", "provider": "p", "version": "%d"}}], "nextToken": "t%d"}`, asked, asked)).ServeHTTP(w, r)
	}))
	found, err := client.FindActionType(t.Context(), ActionTypeID{"Test", "p", "3"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found).To(HaveValue(HaveField("ID.Version", "3")))
	g.Expect(asked).To(Equal(3))
}
