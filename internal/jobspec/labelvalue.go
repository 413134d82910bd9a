package jobspec

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// labelMaps are the fields whose values are label values: of objects, of what selects
// objects, and of what selects nodes.
var labelMaps = []string{"labels", "matchLabels", "nodeSelector"}

// isLabelValue reports whether the value at p is that of a label.
func (p path) isLabelValue() bool {
	return len(p) > 1 && slices.Contains(labelMaps, p[len(p)-2])
}

// checkLabelValue refuses a text whose references were resolved if it can't be the value
// of a label. The API server would refuse it too, but does not know the way out.
func checkLabelValue(text, resolved string) error {
	if len(validation.IsValidLabelValue(resolved)) == 0 {
		return nil
	}
	return fmt.Errorf("%q can't be the value of a label, which has at most %d letters, digits, -, _ and ., and begins and ends with a letter or digit: %s",
		resolved, validation.LabelValueMaxLength, labelWayOut(text))
}

// labelWayOut is what to write instead of a text with references.
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
