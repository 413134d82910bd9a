// Command crdtrim takes the descriptions of Kubernetes' own types out of the
// CustomAction CRD, and bounds numbers that Kubernetes' types can't hold.
//
// The jobTemplate field embeds the whole schema of a Job, and workspace that of a
// claim. With their descriptions the CRD is three times as large, and client-side
// "kubectl apply", which keeps a copy in an annotation, refuses it. The texts are
// those of "kubectl explain job" and "kubectl explain pvc", so nothing is lost.
//
// The schemas that are generated of quantities and ports let values pass that the Go types
// refuse: one object with such a value, and no CustomAction of the cluster could be read.
// Others take minutes and gigabytes to compute with, such as 1e100000000.
//
// Usage: crdtrim FILE
package main

import (
	"fmt"
	"math"
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
		if err := tightenFields(version.(map[string]any)); err != nil {
			return err
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

const (
	// quantity is a pattern of resource.Quantity: ParseQuantity takes whole numbers alone as
	// exponents, and computes with any.
	quantity = `^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$`
	// quantityLength is more than any sensible quantity has.
	quantityLength = 32
)

// tightenFields tightens the fields of the spec that have types of Kubernetes.
func tightenFields(version map[string]any) error {
	for _, field := range []string{"jobTemplate", "workspace", "runner"} {
		path := []string{"schema", "openAPIV3Schema", "properties", "spec", "properties", field}
		schema, found, err := unstructured.NestedMap(version, path...)
		if err != nil {
			return fmt.Errorf("read the schema of spec.%s: %w", field, err)
		}
		if !found {
			return fmt.Errorf("a version's schema has no spec.%s", field)
		}
		tighten(schema)
		if err := unstructured.SetNestedMap(version, schema, path...); err != nil {
			return err
		}
	}
	return nil
}

// tighten bounds quantities, and numbers that may be texts, in a schema and in those below it.
func tighten(schema any) {
	switch schema := schema.(type) {
	case map[string]any:
		if schema["x-kubernetes-int-or-string"] == true {
			bound(schema)
		}
		for _, below := range schema {
			tighten(below)
		}
	case []any:
		for _, below := range schema {
			tighten(below)
		}
	}
}

func bound(schema map[string]any) {
	if schema["pattern"] != nil { // of a quantity: intstr.IntOrString has none
		schema["pattern"], schema["maxLength"] = quantity, int64(quantityLength)
		return
	}
	schema["minimum"], schema["maximum"] = int64(math.MinInt32), int64(math.MaxInt32)
}
