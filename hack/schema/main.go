// Command schema generates JSON schemas for editors from CRDs: a file for each kind and version,
// such as customaction_v1alpha1.json, which is the name that kubeconform expects.
//
// Usage: schema FOLDER-WITH-CRDS FOLDER-FOR-SCHEMAS
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: schema FOLDER-WITH-CRDS FOLDER-FOR-SCHEMAS")
		os.Exit(2)
	}
	if err := generate(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}

func generate(crds, schemas string) error {
	files, err := filepath.Glob(filepath.Join(crds, "*.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s has no *.yaml", crds)
	}
	for _, file := range files {
		if err := generateFrom(file, schemas); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

func generateFrom(file, schemas string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var crd apiextensions.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(content, &crd); err != nil {
		return err
	}
	for _, version := range crd.Spec.Versions {
		schema, err := schemaOf(crd.Spec.Group, crd.Spec.Names.Kind, version)
		if err != nil {
			return fmt.Errorf("version %s: %w", version.Name, err)
		}
		name := strings.ToLower(crd.Spec.Names.Kind) + "_" + version.Name + ".json"
		if err := write(filepath.Join(schemas, name), schema); err != nil {
			return err
		}
	}
	return nil
}

func write(file string, schema *apiextensions.JSONSchemaProps) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // for readability
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}
