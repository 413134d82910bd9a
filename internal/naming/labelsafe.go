package naming

import (
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// labelDigest is how many hexadecimal digits of a text's digest are in a label value
// that stands for it: with 64 bits a billion texts have different values.
const labelDigest = 16

// endsInDigest matches what ends as a value that stands for a text does.
var endsInDigest = regexp.MustCompile(fmt.Sprintf(`(^|-)[0-9a-f]{%d}$`, labelDigest))

// notInLabel matches what a label value can't have.
var notInLabel = regexp.MustCompile(`[^-A-Za-z0-9_.]+`)

// LabelSafe returns a text as the value of a label: the text itself if it can be one.
// Otherwise it is the beginning of the text, with a hyphen for what a label can't have,
// and a digest of the whole text, so that different texts have different values; for that, a
// text that ends as if it had a digest gets one, too. The
// limit of 63 characters, and those that are allowed, are Kubernetes' (API conventions,
// labels).
//
// The operator's own labels have a digest alone: see Labels.
func LabelSafe(text string) string {
	if len(validation.IsValidLabelValue(text)) == 0 && !endsInDigest.MatchString(text) {
		return text
	}
	readable := notInLabel.ReplaceAllString(text, "-")
	sum := digest(text)[:labelDigest]
	if room := validation.LabelValueMaxLength - 1 - labelDigest; len(readable) > room {
		readable = readable[:room]
	}
	if readable = strings.Trim(readable, "-_."); readable == "" {
		return sum
	}
	return readable + "-" + sum
}
