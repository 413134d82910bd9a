package naming

import (
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// labelDigest is the number of hexadecimal digits of the digest in a label value: with 64 bits, a
// billion texts have different values.
const labelDigest = 16

// endsInDigest matches texts that end like a value with a digest.
var endsInDigest = regexp.MustCompile(fmt.Sprintf(`(^|-)[0-9a-f]{%d}$`, labelDigest))

// notInLabel matches characters that a label value can't have.
var notInLabel = regexp.MustCompile(`[^-A-Za-z0-9_.]+`)

// LabelSafe returns the label value for a text: the text itself, if it is valid. Otherwise, it
// returns the beginning of the text, with hyphens for invalid characters, and a digest of the whole
// text, so that different texts have different values. For the same reason, a text that ends like a
// digest gets a digest too. Kubernetes defines the limit of 63 characters and the valid characters
// (API conventions, labels).
//
// The operator's own labels use only the digest: see Labels.
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
