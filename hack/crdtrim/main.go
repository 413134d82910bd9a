// Command crdtrim takes the descriptions of Kubernetes' own types out of the
// CustomAction CRD.
//
// The jobTemplate field embeds the whole schema of a Job, and workspace that of a
// claim. With their descriptions the CRD is three times as large, and client-side
// "kubectl apply", which keeps a copy in an annotation, refuses it. The texts are
// those of "kubectl explain job" and "kubectl explain pvc", so nothing is lost.
//
// Usage: crdtrim FILE
package main

import (
	"fmt"
	"os"
	"strings"

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

// embedded are the fields of the spec that embed large types of Kubernetes.
var embedded = [][]string{{"jobTemplate"}, {"workspace", "volumeClaimTemplate"}}

func trim(crd map[string]any) error {
	versions, _, err := unstructured.NestedSlice(crd, "spec", "versions")
	if err != nil {
		return err
	}
	for _, version := range versions {
		for _, field := range embedded {
			if err := trimField(version.(map[string]any), field); err != nil {
				return err
			}
		}
	}
	return unstructured.SetNestedSlice(crd, versions, "spec", "versions")
}

// trimField drops the descriptions below a field of the spec.
func trimField(version map[string]any, field []string) error {
	path := []string{"schema", "openAPIV3Schema", "properties", "spec", "properties"}
	for _, name := range field {
		path = append(path, name, "properties")
	}
	properties, found, err := unstructured.NestedMap(version, path...)
	if err != nil {
		return fmt.Errorf("read the schema of a version: %w", err)
	}
	if !found {
		return fmt.Errorf("a version's schema has no spec.%s", strings.Join(field, "."))
	}
	for _, property := range properties {
		dropDescriptions(property)
	}
	return unstructured.SetNestedMap(version, properties, path...)
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
