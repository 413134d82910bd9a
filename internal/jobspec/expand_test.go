package jobspec

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// TestExpand has the cases of the kubelet's own test.
func TestExpand(t *testing.T) {
	known := map[string]string{"VAR_A": "A", "VAR_B": "B", "VAR_REF": "$(VAR_A)", "VAR_EMPTY": ""}
	for text, want := range map[string]string{
		"$(VAR_A)":                 "A",
		"___$(VAR_B)___":           "___B___",
		"$(VAR_A)-$(VAR_EMPTY)-":   "A--",
		"$(VAR_REF)":               "$(VAR_A)",
		"$(VAR_DNE)":               "$(VAR_DNE)",
		"$$(VAR_A)":                "$(VAR_A)",
		"$$$(VAR_A)":               "$A",
		"$$$$(VAR_A)":              "$$(VAR_A)",
		"f000-$$VAR_A":             "f000-$VAR_A",
		"foo\\$(VAR_A)bar":         "foo\\Abar",
		"foo$(VAR_Awhoops!":        "foo$(VAR_Awhoops!",
		"f00__(VAR_A)__":           "f00__(VAR_A)__",
		"$?_boo_$!":                "$?_boo_$!",
		"$VAR_A":                   "$VAR_A",
		"$(VAR_A":                  "$(VAR_A",
		"$":                        "$",
		"$$":                       "$",
		"$(":                       "$(",
		"$()":                      "$()",
		"foo$(VAR_A$(VAR_B)":       "foo$(VAR_A$(VAR_B)",
		"foo$$(VAR_A)$(VAR_B)-$$$": "foo$(VAR_A)B-$$",
	} {
		t.Run(text, func(t *testing.T) {
			NewWithT(t).Expect(expand(text, known)).To(Equal(want))
		})
	}
	NewWithT(t).Expect(expand(strings.Repeat("$(VAR_A)b", expandedLength), known)).To(Equal(strings.Repeat("Ab", expandedLength/2)))
}
