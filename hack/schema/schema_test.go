package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/yannh/kubeconform/pkg/validator"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

const (
	schemas = "../../config/schema"
	ours    = "kind: (CustomAction|CodePipelineAccount|PipelineJob)\n"
)

// kubeconform returns the validator that users run, with only the schemas of this repository.
func kubeconform(t *testing.T, folder string) validator.Validator {
	t.Helper()
	found, err := validator.New([]string{filepath.Join(folder, "{{ .ResourceKind }}_{{ .ResourceAPIVersion }}.json")}, validator.Opts{Strict: true})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return found
}

func validate(t *testing.T, file string) []validator.Result {
	t.Helper()
	content, err := os.Open(file)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return kubeconform(t, schemas).Validate(file, content)
}

func TestSchemasAcceptTheSamples(t *testing.T) {
	g := NewWithT(t)
	var accepted int
	for _, file := range glob(t, "../../config/samples/*.yaml") {
		content, err := os.ReadFile(file)
		g.Expect(err).NotTo(HaveOccurred())
		if matched, _ := MatchRegexp(ours).Match(string(content)); !matched {
			continue // such as the namespace
		}
		for _, result := range validate(t, file) {
			g.Expect(result.Err).NotTo(HaveOccurred(), file)
			g.Expect(result.Status).To(Equal(validator.Valid), file)
			accepted++
		}
	}
	g.Expect(accepted).To(BeNumerically(">=", 3))
}

// TestSchemasRefuse checks that each file of testdata/refused is refused only with the message of
// its first line, which names the field. TestSchemasRefuseWhatTheAPIServerDoes in test/integration
// sends the same files to an API server.
func TestSchemasRefuse(t *testing.T) {
	for _, file := range glob(t, "testdata/refused/*.yaml") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			g := NewWithT(t)
			content, err := os.ReadFile(file)
			g.Expect(err).NotTo(HaveOccurred())
			message, _, _ := strings.Cut(strings.TrimPrefix(string(content), "# "), "\n")
			results := validate(t, file)
			g.Expect(results).To(HaveLen(1))
			g.Expect(results[0].Status).To(Equal(validator.Invalid))
			g.Expect(results[0].Err).To(MatchError(ContainSubstring(message)))
			g.Expect(strings.Count(results[0].Err.Error(), "- at '")).To(Equal(1), results[0].Err.Error())
		})
	}
}

// TestSchemasAreOfOurVersion checks that an unknown version of Kubernetes is reported.
func TestSchemasAreOfOurVersion(t *testing.T) {
	g := NewWithT(t)
	file := filepath.Join(t.TempDir(), "action.yaml")
	g.Expect(os.WriteFile(file, []byte("apiVersion: codepipeline.pipelinejob.dev/v9\nkind: CustomAction\nmetadata: {name: field}\n"), 0o600)).To(Succeed())
	results := validate(t, file)
	g.Expect(results).To(HaveLen(1))
	g.Expect(results[0].Err).To(MatchError("could not find schema for CustomAction"))
}

// TestSchemasAreGenerated generates them again and compares them.
func TestSchemasAreGenerated(t *testing.T) {
	g := NewWithT(t)
	made := t.TempDir()
	g.Expect(generate("../../config/crd/bases", made)).To(Succeed())
	files := glob(t, filepath.Join(made, "*.json"))
	g.Expect(files).To(HaveLen(3))
	g.Expect(glob(t, filepath.Join(schemas, "*.json"))).To(HaveLen(len(files)))
	for _, file := range files {
		want, err := os.ReadFile(file)
		g.Expect(err).NotTo(HaveOccurred())
		found, err := os.ReadFile(filepath.Join(schemas, filepath.Base(file)))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(found)).To(Equal(string(want)), "run make manifests")
	}
}

func TestMakeStrict(t *testing.T) {
	text := apiextensions.JSONSchemaProps{Type: "string"}
	yes, set, required := true, "set", apiextensions.FieldValueRequired
	object := func(change func(*apiextensions.JSONSchemaProps)) *apiextensions.JSONSchemaProps {
		schema := &apiextensions.JSONSchemaProps{Type: "object", Properties: map[string]apiextensions.JSONSchemaProps{"a": text, "b": text}}
		change(schema)
		return schema
	}
	closed := &apiextensions.JSONSchemaPropsOrBool{Allows: false}
	for name, c := range map[string]struct {
		given, want *apiextensions.JSONSchemaProps
	}{
		"unknown fields are refused": {
			object(func(*apiextensions.JSONSchemaProps) {}),
			object(func(s *apiextensions.JSONSchemaProps) { s.AdditionalProperties = closed }),
		},
		"unknown fields that the API server keeps are not": {
			object(func(s *apiextensions.JSONSchemaProps) { s.XPreserveUnknownFields = &yes }),
			object(func(*apiextensions.JSONSchemaProps) {}),
		},
		"a map has any keys": {
			&apiextensions.JSONSchemaProps{Type: "object", AdditionalProperties: &apiextensions.JSONSchemaPropsOrBool{Allows: true, Schema: &text}},
			&apiextensions.JSONSchemaProps{Type: "object", AdditionalProperties: &apiextensions.JSONSchemaPropsOrBool{Allows: true, Schema: &text}},
		},
		"a set has each element once": {
			&apiextensions.JSONSchemaProps{Type: "array", XListType: &set},
			&apiextensions.JSONSchemaProps{Type: "array", UniqueItems: true},
		},
		"a field that a rule requires": {
			object(func(s *apiextensions.JSONSchemaProps) {
				s.XValidations = apiextensions.ValidationRules{{Rule: "has(self.a)", FieldPath: ".a", Reason: &required}}
			}),
			object(func(s *apiextensions.JSONSchemaProps) { s.AdditionalProperties, s.Required = closed, []string{"a"} }),
		},
		"fields that a rule refuses": {
			object(func(s *apiextensions.JSONSchemaProps) {
				s.Properties["c"] = text
				s.XValidations = apiextensions.ValidationRules{{Rule: "!(has(self.b) || has(self.c))"}}
			}),
			object(func(s *apiextensions.JSONSchemaProps) {
				delete(s.Properties, "b")
				s.AdditionalProperties = closed
			}),
		},
		"another rule changes nothing": {
			object(func(s *apiextensions.JSONSchemaProps) {
				s.XValidations = apiextensions.ValidationRules{{Rule: "!(has(self.a) && has(self.b))"}}
			}),
			object(func(s *apiextensions.JSONSchemaProps) { s.AdditionalProperties = closed }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(makeStrict(c.given, "")).To(Succeed())
			g.Expect(c.given).To(Equal(c.want))
		})
	}
}

func TestKeywordsThatDifferAreRefused(t *testing.T) {
	g := NewWithT(t)
	schema := &apiextensions.JSONSchemaProps{Properties: map[string]apiextensions.JSONSchemaProps{"spec": {Type: "string", Nullable: true}}}
	g.Expect(makeStrict(schema, "")).To(MatchError(HavePrefix(".spec: nullable, exclusiveMinimum and exclusiveMaximum are other keywords")))
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(files).NotTo(BeEmpty(), pattern)
	return files
}
