package v1alpha1

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

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
	`"2026-01-01t00:00:00z"`, `"2026-01-01T00:00:00ZTx"`, `"2026-01-01T00:00:00x5Z"`, `"2026-01-01T00:00:00+23:59"`, `"2026-01-01T00:00:00+99:99"`, `"2026-02-29T00:00:00Z"`,
	`"2026-01-01T24:00:00Z"`, `"2026-01-01T00:00:60Z"`, `"2026-01-01T00:00:00.5Z"`, `"2026-01-01T00:00:00,5Z"`, `"2026-01-01T00:00:00Z\n"`, `[{}]`, `[1]`, `{"a":1}`, `{"a":"b"}`, `"1\u0000"`,
}

// TestWhatTheAPIServerTakesCanBeRead puts extremes into each field of each kind, whose status
// administrators of a namespace may be able to write too: a list of objects is read as a whole, so
// that one that Go's types can't hold would hide all others.
func TestWhatTheAPIServerTakesCanBeRead(t *testing.T) {
	for plural, kind := range map[string]reflect.Type{
		"customactions":        reflect.TypeFor[CustomAction](),
		"codepipelineaccounts": reflect.TypeFor[CodePipelineAccount](),
		"pipelinejobs":         reflect.TypeFor[PipelineJob](),
	} {
		for _, part := range []string{"spec", "status"} {
			t.Run(plural+"/"+part, func(t *testing.T) {
				f := fields{T: t, WithT: NewWithT(t)}
				in, found := fieldOf(kind, part)
				f.Expect(found).To(BeTrue())
				f.of(part, schemaOf(f.WithT, plural, part), in)
				t.Log(f.checked, "fields")
				f.Expect(f.checked).To(BeNumerically(">", 5), "the CRD was not read as it should be")
			})
		}
	}
}

// TestTimesAreTaken puts times as Go writes them into a field.
func TestTimesAreTaken(t *testing.T) {
	g := NewWithT(t)
	status := schemaOf(g, "customactions", "status").Properties["lastPollTime"]
	validator, _, err := validation.NewSchemaValidator(&status)
	g.Expect(err).NotTo(HaveOccurred())
	ahead, behind := time.FixedZone("ahead", int((14*time.Hour).Seconds())), time.FixedZone("behind", -int((9*time.Hour+30*time.Minute).Seconds()))
	day := time.Date(1999, 12, 31, 23, 59, 59, 123456789, time.UTC)
	for range 366 * 5 { // with the leap day of 2000, and of 2004
		for _, in := range []*time.Location{time.UTC, ahead, behind} {
			for _, text := range []string{day.In(in).Format(time.RFC3339), day.In(in).Format(time.RFC3339Nano)} {
				g.Expect(validation.ValidateCustomResource(nil, text, validator)).To(BeEmpty(), text)
			}
		}
		day = day.AddDate(0, 0, 1)
	}
	for _, text := range []string{"1900-02-29", "2001-02-29", "2004-02-30", "2026-04-31", "2026-00-01", "2026-01-00", "2026-01-32", "0000-01-01", "10000-01-01"} {
		g.Expect(validation.ValidateCustomResource(nil, text+"T00:00:00Z", validator)).NotTo(BeEmpty(), text)
	}
}

// schemaOf reads the schema of spec or status.
func schemaOf(g *WithT, plural, part string) *apiextensions.JSONSchemaProps {
	text, err := os.ReadFile(filepath.Join("..", "..", "config", "crd", "bases", "codepipeline.pipelinejob.dev_"+plural+".yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	var crd apiextensionsv1.CustomResourceDefinition
	g.Expect(yaml.Unmarshal(text, &crd)).To(Succeed())
	var schema apiextensions.JSONSchemaProps
	of := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties[part]
	g.Expect(apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&of, &schema, nil)).To(Succeed())
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
