package codepipeline

import "github.com/pipelinejob/pipelinejob-operator/internal/awstext"

// StableText returns the text of an error without the parts that differ each time, or
// that only the SDK's authors can use. A status, and whatever is compared, takes this
// text: otherwise each failed call of a series would be a write.
func StableText(err error) string {
	if err == nil {
		return ""
	}
	return awstext.Stable(err.Error())
}
