package naming

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"
)

func TestLabelSafe(t *testing.T) {
	long := strings.Repeat("a", 100)
	for name, c := range map[string]struct{ text, want string }{
		"a label value stays":                    {"web.prod-1_x", "web.prod-1_x"},
		"nothing stays":                          {"", ""},
		"63 characters stay":                     {long[:63], long[:63]},
		"64 characters are cut":                  {long[:64], long[:46] + "-" + digest(long[:64])[:16]},
		"a character that labels lack":           {"web@prod", "web-prod-356de18aa131b9e4"},
		"another one in its place":               {"web/prod", "web-prod-" + digest("web/prod")[:16]},
		"several are one hyphen":                 {"Grün & rot", "Gr-n-rot-" + digest("Grün & rot")[:16]},
		"what it can't begin and end with":       {"-web-", "web-" + digest("-web-")[:16]},
		"nothing that a label can have":          {"@", digest("@")[:16]},
		"what is cut may not leave a hyphen":     {long[:45] + "-" + long, long[:45] + "-" + digest(long[:45] + "-" + long)[:16]},
		"texts of one beginning have other ends": {long + "b", long[:46] + "-" + digest(long + "b")[:16]},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(LabelSafe(c.text)).To(Equal(c.want))
		})
	}
}

// TestLabelSafeDiffersFromItsOwnValues uses pipelines whose names equal the label values of other
// pipelines.
func TestLabelSafeDiffersFromItsOwnValues(t *testing.T) {
	for _, text := range []string{"web@prod", "@", strings.Repeat("a", 100)} {
		g := NewWithT(t)
		value := LabelSafe(text)
		g.Expect(LabelSafe(value)).NotTo(Equal(value), "it would be that of %q", text)
		g.Expect(validation.IsValidLabelValue(LabelSafe(value))).To(BeEmpty())
	}
	NewWithT(t).Expect(LabelSafe("web-2026")).To(Equal("web-2026"))
}

// TestLabelSafeHoldsForAnyText: the result is a valid label value, always the same for a text, and
// different for different texts.
func TestLabelSafeHoldsForAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[-@a]{0,80}`)).Draw(t, "text")
		other := rapid.OneOf(rapid.Just(text+"@"), rapid.Just(text+"a"), rapid.StringMatching(`[-@a]{0,80}`)).Draw(t, "other")
		value := LabelSafe(text)
		if problems := validation.IsValidLabelValue(value); len(problems) > 0 {
			t.Fatalf("%q is no label value: %s", value, problems)
		}
		if (LabelSafe(other) == value) != (other == text) {
			t.Fatalf("%q and %q become %q and %q", text, other, value, LabelSafe(other))
		}
	})
}
