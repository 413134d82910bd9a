package main

import (
	"encoding/json"
	"fmt"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

var metadataReference = reference(metav1.ObjectMeta{}.OpenAPIModelName())

func reference(name string) string { return "#/definitions/" + name }

// metadataDefinitions returns the schema of metadata and the schemas that it refers to, as
// published by the API server. In a CRD, metadata is just an object.
func metadataDefinitions() (apiextensions.JSONSchemaDefinitions, error) {
	all := openapi.GetOpenAPIDefinitions(func(name string) spec.Ref { return spec.MustCreateRef(reference(name)) })
	definitions := apiextensions.JSONSchemaDefinitions{}
	missing := []string{metav1.ObjectMeta{}.OpenAPIModelName()}
	for len(missing) > 0 {
		name := missing[0]
		missing = missing[1:]
		if _, done := definitions[name]; done {
			continue
		}
		definition, known := all[name]
		if !known {
			return nil, fmt.Errorf("the API server has no schema of %s", name)
		}
		schema, err := ofCRDs(definition.Schema)
		if err != nil {
			return nil, fmt.Errorf("schema of %s: %w", name, err)
		}
		definitions[name] = schema
		missing = append(missing, definition.Dependencies...)
	}
	return definitions, nil
}

// ofCRDs converts a schema to the type for CRDs. Both have the same JSON.
func ofCRDs(schema spec.Schema) (apiextensions.JSONSchemaProps, error) {
	var converted apiextensions.JSONSchemaProps
	text, err := json.Marshal(schema)
	if err != nil {
		return converted, err
	}
	return converted, json.Unmarshal(text, &converted)
}
