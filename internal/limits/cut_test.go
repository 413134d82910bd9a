package limits

import (
	"strings"
	"testing"
	"unicode/utf8"

	. "github.com/onsi/gomega"
	"pgregory.net/rapid"
)

func TestCut(t *testing.T) {
	cases := map[string]struct {
		cut   func(string, int) string
		text  string
		limit int
		want  string
	}{
		"Cut: shorter":                           {Cut, "abc", 4, "abc"},
		"Cut: at the limit":                      {Cut, "abcd", 4, "abcd"},
		"Cut: longer":                            {Cut, "abcde", 4, "abc…"},
		"Cut: characters, not bytes":             {Cut, "äöüß", 4, "äöüß"},
		"Cut: invalid UTF-8":                     {Cut, "a\xffb", 4, "a\uFFFDb"},
		"Cut: no room":                           {Cut, "ab", 0, ""},
		"CutBytes: at the limit":                 {CutBytes, "abcd", 4, "abcd"},
		"CutBytes: longer":                       {CutBytes, "abcde", 4, "a…"},
		"CutBytes: between characters":           {CutBytes, "äöüß", 6, "ä…"},
		"CutBytes: no room for the ellipsis":     {CutBytes, "abcde", 2, ""},
		"CutMiddle: longer":                      {CutMiddle, "abcdefgh", 5, "ab…gh"},
		"CutMiddle: an even limit":               {CutMiddle, "abcdefgh", 4, "a…gh"},
		"CutMiddle: no room":                     {CutMiddle, "ab", 0, ""},
		"CutFront: whole lines":                  {CutFront, "one\ntwo\nthree", 11, "…\ntwo\nthree"},
		"CutFront: cut at the end of a line":     {CutFront, "aaaa\nbbbb\ncccc", 11, "…\nbbbb\ncccc"},
		"CutFront: no part of a line":            {CutFront, "one\ntwo\nthree", 10, "…\nthree"},
		"CutFront: a last line that is too long": {CutFront, "abcdefgh", 5, "…fgh"},
		"CutFront: hardly any room":              {CutFront, "abcdefgh", 2, "a…"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(c.cut(c.text, c.limit)).To(Equal(c.want))
		})
	}
}

// TestCutTextsFit: for any text and limit, the result fits and is valid UTF-8, and a text that fits
// is unchanged.
func TestCutTextsFit(t *testing.T) {
	characters := utf8.RuneCountInString
	bytes := func(text string) int { return len(text) }
	for name, c := range map[string]struct {
		cut    func(string, int) string
		length func(string) int
	}{
		"Cut": {Cut, characters}, "CutBytes": {CutBytes, bytes}, "CutMiddle": {CutMiddle, characters}, "CutFront": {CutFront, characters},
	} {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			text := rapid.String().Draw(t, "text") + strings.Repeat(rapid.StringMatching(`[a\n\xffä]`).Draw(t, "more"), rapid.IntRange(0, 30).Draw(t, "times"))
			limit := rapid.IntRange(0, 40).Draw(t, "limit")
			got := c.cut(text, limit)
			if !utf8.ValidString(got) {
				t.Fatalf("%q is not UTF-8", got)
			}
			if c.length(got) > limit {
				t.Fatalf("%q is longer than %d", got, limit)
			}
			if utf8.ValidString(text) && c.length(text) <= limit && got != text {
				t.Fatalf("%q was changed to %q though it fits", text, got)
			}
		}))
	}
}
