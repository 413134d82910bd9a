package codepipeline

import "github.com/pipelinejob/pipelinejob-operator/internal/awstext"

// StableText returns the text of an error without parts that differ each time or are of no use to
// users. Use it for statuses and comparisons: otherwise, each failed call would cause a write.
func StableText(err error) string {
	if err == nil {
		return ""
	}
	return awstext.Stable(err.Error())
}
