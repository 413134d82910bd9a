package limits

import (
	"strings"
	"unicode/utf8"
)

// ellipsis marks the place where a text was cut.
const ellipsis = "…"

// Cut shortens text to at most limit characters. The last of them is an ellipsis
// if anything was cut. Invalid UTF-8 is replaced, because AWS and Kubernetes take
// JSON.
func Cut(text string, limit int) string {
	text = valid(text)
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	if limit < 1 {
		return ""
	}
	return string([]rune(text)[:limit-1]) + ellipsis
}

// CutBytes is Cut for a limit in bytes. It cuts between characters.
func CutBytes(text string, limit int) string {
	text = valid(text)
	if len(text) <= limit {
		return text
	}
	end := limit - len(ellipsis)
	if end < 0 {
		return ""
	}
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}

// CutMiddle is Cut for a text that says at its beginning what happened and at its
// end what to do: it keeps both.
func CutMiddle(text string, limit int) string {
	text = valid(text)
	runes := []rune(text)
	if len(runes) <= limit {
		return text
	}
	if limit < 1 {
		return ""
	}
	front := (limit - 1) / 2
	back := limit - 1 - front
	return string(runes[:front]) + ellipsis + string(runes[len(runes)-back:])
}

// CutFront is Cut for a log, whose last lines matter most. It keeps as many whole
// lines from the end as fit, below a line with an ellipsis, or the end of the last
// line if that alone is too long.
func CutFront(log string, limit int) string {
	log = valid(log)
	runes := []rune(log)
	if len(runes) <= limit {
		return log
	}
	const mark = ellipsis + "\n"
	keep := limit - utf8.RuneCountInString(mark)
	if keep < 1 {
		return Cut(log, limit)
	}
	from := len(runes) - keep
	kept := string(runes[from:])
	if runes[from-1] == '\n' {
		return mark + kept
	}
	if _, whole, found := strings.Cut(kept, "\n"); found {
		return mark + whole
	}
	return ellipsis + kept
}

// valid replaces each invalid byte, as encoding/json does.
func valid(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return string([]rune(text))
}
