// Command crdtrim removes the descriptions of Kubernetes' own types from the CustomAction CRD and,
// in all CRDs, refuses values that Kubernetes' Go types can't represent.
//
// The field jobTemplate embeds the whole schema of a Job, and workspace that of a
// PersistentVolumeClaim. With their descriptions, the CRD would be three times as large and too
// large for client-side "kubectl apply", which keeps a copy in an annotation. "kubectl explain job"
// and "kubectl explain pvc" show the descriptions.
//
// The generated schemas of quantities, ports and times accept values that the Go types refuse. With
// a single such object, no object of its kind in the cluster could be read. Other values, such as
// 1e100000000, take minutes and gigabytes to compute with.
//
// Usage: crdtrim FILE...
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
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: crdtrim FILE...")
		os.Exit(2)
	}
	for _, path := range os.Args[1:] {
		if err := trimFile(path); err != nil {
			fmt.Fprintln(os.Stderr, "crdtrim:", err)
			os.Exit(1)
		}
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

// embedded are the fields of a kind's spec that embed large types of Kubernetes.
var embedded = map[string][][]string{"CustomAction": {{"jobTemplate"}, {"workspace", "volumeClaimTemplate"}}}

func trim(crd map[string]any) error {
	versions, _, err := unstructured.NestedSlice(crd, "spec", "versions")
	if err != nil {
		return err
	}
	kind, _, err := unstructured.NestedString(crd, "spec", "names", "kind")
	if err != nil {
		return err
	}
	for _, version := range versions {
		for _, field := range embedded[kind] {
			if err := trimField(version.(map[string]any), field); err != nil {
				return err
			}
		}
		tighten(version.(map[string]any)["schema"])
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

// dropDescriptions removes the descriptions of a schema and its subschemas. A property with the
// name "description" is a map and is kept.
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
	// quantity is a pattern for resource.Quantity. ParseQuantity accepts any whole number as
	// exponent, and computes with it.
	quantity = `^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$`
	// quantityLength is longer than any sensible quantity.
	quantityLength = 32

	// days is a pattern for existing dates. Go's time refuses others.
	days = `([12][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|` +
		`([12][0-9](0[48]|[2468][048]|[13579][26])|(1[26]|2[048])00)-02-29)`
	// dateTime is a pattern for metav1.Time, which is parsed as RFC 3339 with upper-case letters.
	dateTime = `^` + days + `T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
	// dateTimeLength is the length of the longest time, with nanoseconds and an offset.
	dateTimeLength = 35
)

// tighten restricts times, quantities, and numbers that may be strings, in a schema and its
// subschemas.
func tighten(schema any) {
	switch schema := schema.(type) {
	case map[string]any:
		if schema["x-kubernetes-int-or-string"] == true {
			bound(schema)
		}
		if schema["format"] == "date-time" { // the format alone accepts arrays and lower-case letters
			delete(schema, "format")
			schema["pattern"], schema["maxLength"] = dateTime, int64(dateTimeLength)
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
	if schema["pattern"] != nil { // a quantity: intstr.IntOrString has no pattern
		schema["pattern"], schema["maxLength"] = quantity, int64(quantityLength)
		return
	}
	schema["minimum"], schema["maximum"] = int64(math.MinInt32), int64(math.MaxInt32)
}
