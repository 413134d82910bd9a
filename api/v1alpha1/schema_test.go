package v1alpha1

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubejson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// extremes are values, in JSON, that some Go types can't hold, or compute with for minutes.
var extremes = []string{
	`null`, `true`, `{}`, `[]`, `""`, `" "`, `"x"`, `"."`, `"-"`, `"1"`, `"-1.5"`, `".5"`, `"1."`, `"0x1"`, `"Inf"`, `"NaN"`,
	`0`, `-1`, `1.5`, `2147483647`, `2147483648`, `-2147483649`, `99999999999`, `9223372036854775807`, `9223372036854775808`, `1e30`, `1e400`, `-0.0`,
	`"1Ki"`, `"1Ei"`, `"1e5"`, `"1e+99"`, `"1e-99"`, `"1e100"`, `"1E5"`, `"1e5.5"`, `"1e100000000"`, `"1e-100000000"`, `"1e9223372036854775808"`,
	`"99999999999999999999999999999999Ei"`, `"` + strings.Repeat("9", 100000) + `"`,
	`"1s"`, `"1h1m"`, `"1d"`, `"9999999999999h"`, `"2026-01-01T00:00:00Z"`, `"2026-01-01"`, `"2026-13-01T00:00:00Z"`,
}

// TestWhatTheAPIServerTakesCanBeRead puts extremes into each field of the kinds that tenants and
// platform teams write: a list of objects is read as a whole, so that one that Go's types can't hold
// would hide all others.
func TestWhatTheAPIServerTakesCanBeRead(t *testing.T) {
	for plural, spec := range map[string]reflect.Type{
		"customactions":        reflect.TypeFor[CustomActionSpec](),
		"codepipelineaccounts": reflect.TypeFor[CodePipelineAccountSpec](),
	} {
		t.Run(plural, func(t *testing.T) {
			f := fields{T: t, WithT: NewWithT(t)}
			f.of("spec", schemaOfSpec(f.WithT, plural), spec)
			t.Log(f.checked, "fields")
			f.Expect(f.checked).To(BeNumerically(">", 5), "the CRD was not read as it should be")
		})
	}
}

func schemaOfSpec(g *WithT, plural string) *apiextensions.JSONSchemaProps {
	text, err := os.ReadFile(filepath.Join("..", "..", "config", "crd", "bases", "codepipeline.pipelinejob.dev_"+plural+".yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	var crd apiextensionsv1.CustomResourceDefinition
	g.Expect(yaml.Unmarshal(text, &crd)).To(Succeed())
	var schema apiextensions.JSONSchemaProps
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	g.Expect(apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&spec, &schema, nil)).To(Succeed())
	return &schema
}

// fields walks a schema beside the type that it is of.
type fields struct {
	*testing.T
	*WithT
	checked int
}

func (f *fields) of(path string, schema *apiextensions.JSONSchemaProps, in reflect.Type) {
	for in.Kind() == reflect.Pointer {
		in = in.Elem()
	}
	switch {
	case len(schema.Properties) > 0:
		for name, property := range schema.Properties {
			if field, found := fieldOf(in, name); found { // what is not in the type is skipped when it is read
				f.of(path+"."+name, &property, field)
			}
		}
	case schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil:
		f.of(path+"{}", schema.AdditionalProperties.Schema, in.Elem())
	case schema.Items != nil && schema.Items.Schema != nil:
		f.of(path+"[]", schema.Items.Schema, in.Elem())
	default:
		f.check(path, schema, in)
	}
}

// fieldOf finds a field by its name in JSON, in embedded structures too.
func fieldOf(in reflect.Type, name string) (reflect.Type, bool) {
	for _, field := range reflect.VisibleFields(in) {
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if tag == name {
			return field.Type, true
		}
	}
	return nil, false
}

// check puts the extremes that the schema takes into a field, by themselves.
func (f *fields) check(path string, schema *apiextensions.JSONSchemaProps, in reflect.Type) {
	f.checked++
	if in == reflect.TypeFor[metav1.Duration]() { // CEL's function parses as Go's does, and refuses what it can't
		f.Expect(schema.XValidations).To(ContainElement(HaveField("Rule", ContainSubstring("duration(self)"))), path)
		return
	}
	validator, _, err := validation.NewSchemaValidator(schema)
	f.Expect(err).NotTo(HaveOccurred())
	for _, text := range extremes {
		var value any
		// As the API server decodes: null is dropped from what is not nullable.
		if kubejson.Unmarshal([]byte(text), &value) != nil || value == nil || len(validation.ValidateCustomResource(nil, value, validator)) > 0 {
			continue
		}
		stored, err := json.Marshal(value)
		f.Expect(err).NotTo(HaveOccurred())
		held := reflect.New(in)
		if err := kubejson.Unmarshal(stored, held.Interface()); err != nil {
			f.Errorf("%s: the API server takes %.40s, which %s can't hold: %v", path, text, in, err)
			continue
		}
		if quantity, is := held.Interface().(*resource.Quantity); is {
			f.Expect(quantity.AsDec().Scale()).To(BeNumerically("~", 0, 128), "%s: it takes long to compute with %.40s", path, text)
		}
	}
}
