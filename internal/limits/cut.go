package limits

import (
	"strings"
	"unicode/utf8"
)

// ellipsis marks where a text was cut.
const ellipsis = "…"

// Cut shortens text to at most limit characters, the last of which is an ellipsis if text was cut.
// It replaces invalid UTF-8, because AWS and Kubernetes use JSON.
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

// CutBytes is like Cut, with a limit in bytes. It cuts between characters.
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

// CutMiddle is like Cut, but keeps the beginning, where messages have what happened, and the end,
// where they have what to do.
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

// CutFront cuts a log, whose last lines matter most. It keeps as many whole lines from the end as
// fit, after a line with an ellipsis. If the last line alone is too long, it keeps the end of that
// line.
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

// valid replaces each byte that is not UTF-8, like encoding/json.
func valid(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return string([]rune(text))
}
