package codepipeline

import "regexp"

// changing matches the parts of an error's text that differ each time though the
// error is the same: request IDs of AWS, and the local end of a connection.
var changing = regexp.MustCompile(`(?i),? ?\(?(?:request ?id|host ?id): ?[^\s,)]*\)?|(?:\[[^\]\s]*\]|[\w.]+):\d+->`)

// StableText returns the text of an error without the parts that differ each time.
// A status, and whatever is compared, takes this text: otherwise each failed call of
// a series would be a write.
func StableText(err error) string {
	if err == nil {
		return ""
	}
	return changing.ReplaceAllString(err.Error(), "")
}
