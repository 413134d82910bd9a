// Command crdtrim takes the descriptions of Kubernetes' own types out of the
// CustomAction CRD.
//
// The jobTemplate field embeds the whole schema of a Job. With its
// descriptions the CRD is three times as large, and client-side "kubectl
// apply", which keeps a copy in an annotation, refuses it. The texts are those
// of "kubectl explain job", so nothing is lost.
//
// Usage: crdtrim FILE
package main

import (
	"errors"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: crdtrim FILE")
		os.Exit(2)
	}
	if err := trimFile(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "crdtrim:", err)
		os.Exit(1)
	}
}

func trimFile(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var crd map[string]any
	if err := yaml.Unmarshal(content, &crd); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if err := trim(crd); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	content, err = yaml.Marshal(crd)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.WriteFile(path, append([]byte("---\n"), content...), 0o644)
}

func trim(crd map[string]any) error {
	versions, _, err := unstructured.NestedSlice(crd, "spec", "versions")
	if err != nil {
		return err
	}
	for _, version := range versions {
		properties, found, err := unstructured.NestedMap(version.(map[string]any), "schema", "openAPIV3Schema",
			"properties", "spec", "properties", "jobTemplate", "properties")
		if err != nil {
			return fmt.Errorf("read the schema of a version: %w", err)
		}
		if !found {
			return errors.New("a version's schema has no spec.jobTemplate")
		}
		for _, property := range properties {
			dropDescriptions(property)
		}
		if err := unstructured.SetNestedMap(version.(map[string]any), properties, "schema", "openAPIV3Schema",
			"properties", "spec", "properties", "jobTemplate", "properties"); err != nil {
			return err
		}
	}
	return unstructured.SetNestedSlice(crd, versions, "spec", "versions")
}

// dropDescriptions drops the descriptions of a schema and of those below it. A
// property that is itself named "description" is a map and stays.
func dropDescriptions(schema any) {
	switch schema := schema.(type) {
	case map[string]any:
		if _, text := schema["description"].(string); text {
			delete(schema, "description")
		}
		for _, below := range schema {
			dropDescriptions(below)
		}
	case []any:
		for _, below := range schema {
			dropDescriptions(below)
		}
	}
}
