package jobspec

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// labelMaps are the fields whose values are label values: labels and selectors of objects and
// nodes.
var labelMaps = []string{"labels", "matchLabels", "nodeSelector"}

// isLabelValue reports whether the value at p is a label value.
func (p path) isLabelValue() bool {
	return len(p) > 1 && slices.Contains(labelMaps, p[len(p)-2])
}

// checkLabelValue refuses a resolved text that can't be a label value. The API server would refuse
// it too, but without saying what to do.
func checkLabelValue(text, resolved string) error {
	if len(validation.IsValidLabelValue(resolved)) == 0 {
		return nil
	}
	return fmt.Errorf("%q can't be the value of a label, which has at most %d letters, digits, -, _ and ., and begins and ends with a letter or digit: %s",
		resolved, validation.LabelValueMaxLength, labelWayOut(text))
}

// labelWayOut returns what to write instead of a text with references.
func labelWayOut(text string) string {
	safe := reference.ReplaceAllStringFunc(text, func(match string) string {
		if isEscaped(match) || strings.HasPrefix(match, "$("+labelPrefix) {
			return match
		}
		return "$(" + labelPrefix + strings.TrimPrefix(match, "$(")
	})
	if safe == text {
		return fmt.Sprintf("each $(%s…) has up to %d; change the text beside it", labelPrefix, validation.LabelValueMaxLength)
	}
	return "write " + safe + ", which cuts each reference to a label value"
}
