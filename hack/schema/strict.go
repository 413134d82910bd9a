package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// draft is the version of JSON Schema that editors support best.
const draft = "http://json-schema.org/draft-07/schema#"

// schemaOf returns the JSON schema of a kind. Like the CRD's schema in the API server, it refuses
// unknown fields (fieldValidation=Strict). Of the CRD's rules, it covers those that require or
// refuse a field. JSON Schema can't express the others.
func schemaOf(group, kind string, version apiextensions.CustomResourceDefinitionVersion) (*apiextensions.JSONSchemaProps, error) {
	if version.Schema == nil || version.Schema.OpenAPIV3Schema == nil {
		return nil, errors.New("has no schema")
	}
	schema := version.Schema.OpenAPIV3Schema.DeepCopy()
	definitions, err := metadataDefinitions()
	if err != nil {
		return nil, err
	}
	schema.Schema = draft
	schema.Title = kind
	schema.Definitions = definitions
	schema.Properties["apiVersion"] = only(schema.Properties["apiVersion"], group+"/"+version.Name)
	schema.Properties["kind"] = only(schema.Properties["kind"], kind)
	schema.Properties["metadata"] = apiextensions.JSONSchemaProps{Ref: &metadataReference}
	schema.Required = append([]string{"apiVersion", "kind", "metadata"}, schema.Required...)
	if err := makeStrict(schema, ""); err != nil {
		return nil, err
	}
	return schema, nil
}

// only restricts a string to one value.
func only(schema apiextensions.JSONSchemaProps, value string) apiextensions.JSONSchemaProps {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // a string can always be encoded
	}
	schema.Enum = []apiextensions.JSON{{Raw: text}}
	return schema
}

// makeStrict converts the structural schema of a CRD, including its subschemas, to JSON Schema.
func makeStrict(schema *apiextensions.JSONSchemaProps, path string) error {
	if schema.Nullable || schema.ExclusiveMinimum || schema.ExclusiveMaximum {
		return fmt.Errorf("%s: nullable, exclusiveMinimum and exclusiveMaximum are other keywords in JSON Schema: translate them in hack/schema", path)
	}
	applyRules(schema)
	for _, below := range []map[string]apiextensions.JSONSchemaProps{schema.Properties, schema.Definitions} {
		for name, property := range below {
			if err := makeStrict(&property, path+"."+name); err != nil {
				return err
			}
			below[name] = property
		}
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		if err := makeStrict(schema.Items.Schema, path+"[]"); err != nil {
			return err
		}
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		if err := makeStrict(schema.AdditionalProperties.Schema, path+"{}"); err != nil {
			return err
		}
	}
	if len(schema.Properties) > 0 && schema.AdditionalProperties == nil && schema.XPreserveUnknownFields == nil {
		schema.AdditionalProperties = &apiextensions.JSONSchemaPropsOrBool{Allows: false}
	}
	schema.UniqueItems = schema.XListType != nil && *schema.XListType == "set"
	dropExtensions(schema)
	return nil
}

// dropExtensions removes Kubernetes' extensions of JSON Schema.
func dropExtensions(schema *apiextensions.JSONSchemaProps) {
	schema.XPreserveUnknownFields = nil
	schema.XEmbeddedResource = false
	schema.XIntOrString = false
	schema.XListMapKeys = nil
	schema.XListType = nil
	schema.XMapType = nil
	schema.XValidations = nil
}

// refusesFields matches a rule that fields must be absent: !(has(self.a) || has(self.b)).
var (
	refusesFields = regexp.MustCompile(`^!\(has\(self\.\w+\)( \|\| has\(self\.\w+\))*\)$`)
	namedField    = regexp.MustCompile(`self\.(\w+)`)
)

// applyRules applies the rules that require or refuse fields. It removes a field that is always
// refused, which editors would offer otherwise.
func applyRules(schema *apiextensions.JSONSchemaProps) {
	for _, rule := range schema.XValidations {
		if rule.Reason != nil && *rule.Reason == apiextensions.FieldValueRequired {
			schema.Required = append(schema.Required, strings.TrimPrefix(rule.FieldPath, "."))
		}
		if refusesFields.MatchString(rule.Rule) {
			for _, field := range namedField.FindAllStringSubmatch(rule.Rule, -1) {
				delete(schema.Properties, field[1])
			}
		}
	}
}
