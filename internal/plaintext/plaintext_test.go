package plaintext

import (
	"testing"

	. "github.com/onsi/gomega"
	"pgregory.net/rapid"
)

func TestOf(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"plain":                      {"one\ttwo\nüthree", "one\ttwo\nüthree"},
		"colours":                    {"\x1b[31;1mFAIL\x1b[0m login", "FAIL login"},
		"256 colours and more":       {"\x1b[38;5;196mred\x1b[39m \x1b[4munder\x1b[24m", "red under"},
		"a title":                    {"\x1b]0;build\x07ok", "ok"},
		"a link":                     {"\x1b]8;;https://ci.example.com\x1b\\run 7\x1b]8;;\x1b\\", "run 7"},
		"movements":                  {"a\x1b[2K\x1b[1Gb", "ab"},
		"a progress bar":             {"10%\r50%\r100%\ndone\r\n", "100%\ndone\n"},
		"NULs and bells":             {"a\x00b\x07c", "abc"},
		"C1 controls":                {"a\u009bb", "ab"},
		"a sequence that was cut":    {"ok\x1b[3", "ok"},
		"a text that holds no codes": {"[31m is no code", "[31m is no code"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(Of(c.text)).To(Equal(c.want))
		})
	}
}

func TestOneLine(t *testing.T) {
	NewWithT(t).Expect(OneLine("no\x1b[2J\x07\r\nReady\n")).To(Equal("no Ready "))
}

// TestOfTwice: for any text, the result is plain and does not change again.
func TestOfTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plain := Of(rapid.StringOf(rapid.SampledFrom([]rune("ab[;0m\x1b\x00\r\n\t\u009b\\]\x07ü"))).Draw(t, "text"))
		for _, r := range plain {
			if isControl(r) {
				t.Fatalf("%q has a control character", plain)
			}
		}
	})
}
