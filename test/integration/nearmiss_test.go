package integration

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// Messages for definitions in another form.
const (
	cloudFormationHint = "spec.actionType: keys that begin with a capital letter are CloudFormation's: write them as CodePipeline's API does, also those within them, " +
		"such as category, configurationProperties with name, required, key and secret, and inputArtifactDetails with minimumCount and maximumCount"
	listHint = "spec.actionType: id and actionConfigurationProperties are what list-action-types prints: write what create-custom-action-type takes, " +
		"which is category, provider and version in place of id (without owner), and configurationProperties in place of actionConfigurationProperties"
)

// foreignCases adds keys of other forms to a complete definition.
func foreignCases() []ruleCase {
	list := []any{map[string]any{"Name": "a"}}
	cloudFormation := ruleCase{covers: "spec.actionType rule: keys that begin with a capital letter are CloudFormation's", passes: []edit{and()}, says: cloudFormationHint}
	for key, value := range map[string]any{
		"Category": "Build", "Provider": "p", "Version": 1, "Settings": map[string]any{"EntityUrlTemplate": "https://a"},
		"ConfigurationProperties": list, "InputArtifactDetails": map[string]any{"MinimumCount": 1},
		"OutputArtifactDetails": map[string]any{"MaximumCount": 1}, "Tags": list,
	} {
		cloudFormation.fails = append(cloudFormation.fails, set("actionType."+key, value))
	}
	return []ruleCase{cloudFormation, {
		covers: "spec.actionType rule: id and actionConfigurationProperties are what list-action-types prints",
		passes: []edit{and()},
		fails: []edit{
			set("actionType.id", map[string]any{"category": "Build"}), set("actionType.actionConfigurationProperties", []any{}),
		},
		says: listHint,
	}}
}

// nearMisses are definitions that users may have from other tools.
var nearMisses = map[string]struct {
	definition string
	told       []string
}{
	"CloudFormation's form": {`
Category: Build
Provider: My-Build-Provider-Name
Version: 1
ConfigurationProperties:
- {Name: MyJenkinsExampleBuildProject, Description: The name of the build project, Key: true, Queryable: false, Required: true, Secret: false, Type: String}
InputArtifactDetails: {MaximumCount: 1, MinimumCount: 1}
OutputArtifactDetails: {MaximumCount: 1, MinimumCount: 1}
Settings:
  EntityUrlTemplate: https://my-build-instance/job/{Config:ProjectName}/
  ExecutionUrlTemplate: https://my-build-instance/job/{Config:ProjectName}/lastSuccessfulBuild/{ExternalExecutionId}/
Tags: [{Key: team, Value: web}]
`, []string{cloudFormationHint}},
	"the output of list-action-types": {`
inputArtifactDetails: {maximumCount: 5, minimumCount: 0}
actionConfigurationProperties:
- {secret: false, required: true, name: MyJenkinsExampleBuildProject, key: true, queryable: true}
outputArtifactDetails: {maximumCount: 5, minimumCount: 0}
id: {category: Build, owner: Custom, version: "1", provider: MyJenkinsProviderName}
settings:
  entityUrlTemplate: http://192.0.2.4/job/{Config:ProjectName}
`, []string{listHint}},
	"a version with dots": {`
category: Test
provider: DeviceFarm
version: 1.0.0
inputArtifactDetails: {minimumCount: 0, maximumCount: 1}
outputArtifactDetails: {minimumCount: 0, maximumCount: 1}
`, []string{"spec.actionType.version: version may have letters, digits, underscores and hyphens only, 1 to 9 of them: write 1 or 1-0-0 for 1.0.0"}},
	"a placeholder that names no property": {`
category: Test
provider: DeviceFarm
version: "1"
inputArtifactDetails: {minimumCount: 0, maximumCount: 1}
outputArtifactDetails: {minimumCount: 0, maximumCount: 1}
configurationProperties: [{name: Project, required: true, key: true, secret: false}]
settings: {executionUrlTemplate: "https://ci.example.com/{Config:Project}/{Config:X}/{ExternalExecutionId}"}
`, []string{"spec.actionType.settings.executionUrlTemplate: the only placeholders of executionUrlTemplate are {ExternalExecutionId} and {Config:NAME}, " +
		"where NAME is one of configurationProperties that is required and not secret. {Config:X} is none of these: declare its property so, or remove it"}},
	"nothing": {"{}", []string{
		"spec.actionType.category: Required value: set it to the kind of stage that the action is for, such as Build or Test",
		"spec.actionType.provider: Required value: set it to the name under which pipelines know the action, such as PipelineJob-Build",
		`spec.actionType.version: Required value: set it to the version of the definition, such as "1"`,
		"spec.actionType.inputArtifactDetails: Required value: set it to how many input artifacts an action takes, such as {minimumCount: 0, maximumCount: 1}",
		"spec.actionType.outputArtifactDetails: Required value: set it to how many output artifacts an action gives, such as {minimumCount: 0, maximumCount: 1}",
	}},
}

// TestNearMissesAreToldTheRightForm creates each definition like kubectl, which requests that
// unknown fields are refused, and like clients that let them be dropped. There are no other
// messages.
func TestNearMissesAreToldTheRightForm(t *testing.T) {
	w := newWorld(t)
	for name, c := range nearMisses {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var definition map[string]any
			g.Expect(yaml.Unmarshal([]byte(c.definition), &definition)).To(Succeed())
			for _, validation := range []string{metav1.FieldValidationStrict, metav1.FieldValidationWarn, metav1.FieldValidationIgnore} {
				object := w.edited("made")
				g.Expect(unstructured.SetNestedMap(object.Object, normal(g, definition), "spec", "actionType")).To(Succeed())
				err := w.Kube.Create(w.Ctx, object, client.DryRunAll, client.FieldValidation(validation))
				g.Expect(refusals(err)).To(ConsistOf(c.told), "%s: %v", validation, err)
			}
		})
	}
}

// normal converts numbers to the types of the API's JSON.
func normal(g Gomega, definition map[string]any) map[string]any {
	object := &unstructured.Unstructured{}
	text, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "Any", "definition": definition})
	g.Expect(err).NotTo(HaveOccurred())
	text, err = yaml.YAMLToJSON(text)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(object.UnmarshalJSON(text)).To(Succeed())
	return object.Object["definition"].(map[string]any)
}
