package integration

import (
	"strconv"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// artifactCases returns the cases for the rules of spec.artifacts.
func artifactCases() []ruleCase {
	const field = "artifacts.inputs"
	numbered := func(count int) edit {
		list := []any{}
		for i := range count {
			list = append(list, map[string]any{"name": strconv.Itoa(i), "unpack": "Never"})
		}
		return set(field, list)
	}
	return []ruleCase{
		{
			covers: "spec.artifacts.links enum",
			passes: []edit{set("artifacts.links", "Refuse"), set("artifacts.links", "Skip"), set("artifacts.links", "Keep"), set("artifacts.links", nil)},
			fails:  []edit{set("artifacts.links", "Follow"), set("artifacts.links", "")},
			says:   `spec.artifacts.links: supported values: "Refuse", "Skip", "Keep"`,
		},
		{
			covers: "spec.artifacts.unpack enum",
			passes: []edit{set("artifacts.unpack", "Auto"), set("artifacts.unpack", "Never"), set("artifacts.unpack", nil), set("artifacts", nil)},
			fails:  []edit{set("artifacts.unpack", "Always"), set("artifacts.unpack", "")},
			says:   `spec.artifacts.unpack: supported values: "Auto", "Never"`,
		},
		{
			covers: "spec.artifacts.inputs maxItems",
			passes: []edit{numbered(100), numbered(0), set(field, nil)},
			fails:  []edit{numbered(101)},
			says:   "spec.artifacts.inputs: Too many: 101: must have at most 100 items",
		},
		{
			covers: "spec.artifacts.inputs x-kubernetes-list-map-keys",
			passes: []edit{set(field, []any{map[string]any{"name": "a", "unpack": "Auto"}, map[string]any{"name": "b", "unpack": "Never"}})},
			fails:  []edit{set(field, []any{map[string]any{"name": "a", "unpack": "Auto"}, map[string]any{"name": "a", "unpack": "Never"}})},
			says:   `spec.artifacts.inputs[1]: Duplicate value: {"name":"a"}`,
		},
		lengthAtMost(field+".0.name", 100), lengthAtLeast(field+".0.name", 1),
		{
			covers: "spec.artifacts.inputs[].name pattern",
			passes: []edit{set(field+".0.name", "AZaz09_-")},
			fails:  []edit{set(field+".0.name", "a b"), set(field+".0.name", "a/b"), set(field+".0.name", "ä")},
			says:   "spec.artifacts.inputs[0].name: should match '^[a-zA-Z0-9_-]+$'",
		},
		{
			covers: "spec.artifacts.inputs[].unpack enum",
			passes: []edit{set(field+".0.unpack", "Auto"), set(field+".0.unpack", "Never")},
			fails:  []edit{set(field+".0.unpack", "never"), set(field+".0.unpack", "")},
			says:   `spec.artifacts.inputs[0].unpack: supported values: "Auto", "Never"`,
		},
	}
}

// TestArtifactDefaults checks the defaults that kubectl shows.
func TestArtifactDefaults(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		given, want any
	}{
		"absent": {nil, nil},
		"empty":  {map[string]any{}, map[string]any{"links": "Refuse", "unpack": "Auto"}},
		"some":   {map[string]any{"unpack": "Never"}, map[string]any{"links": "Refuse", "unpack": "Never"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			object := w.edited("made", set("artifacts", c.given))
			g.Expect(w.Kube.Create(w.Ctx, object, client.DryRunAll)).To(Succeed())
			got, found, err := unstructured.NestedMap(object.Object, "spec", "artifacts")
			g.Expect(err).NotTo(HaveOccurred())
			if c.want == nil {
				g.Expect(found).To(BeFalse())
				return
			}
			g.Expect(got).To(Equal(c.want))
		})
	}
}
