// Package plaintext makes terminal output of programs readable in the status of an object,
// in an event, and in the console of CodePipeline.
package plaintext

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// Of returns a text without ANSI escape sequences (ECMA-48: colours, movements, titles) and
// without other control characters but line feeds and tabs. Of a line that a program wrote
// several times, with carriage returns in between, it keeps the last version.
func Of(text string) string {
	if strings.IndexFunc(text, isControl) < 0 {
		return text
	}
	lines := strings.Split(ansi.Strip(text), "\n")
	for i, line := range lines {
		line = strings.TrimRight(line, "\r")
		line = line[strings.LastIndexByte(line, '\r')+1:]
		lines[i] = strings.Map(withoutControl, line)
	}
	return strings.Join(lines, "\n")
}

// OneLine is Of with blanks for line feeds: for a text from others within a text of the
// operator, where a separate line would look like the operator's own text.
func OneLine(text string) string { return strings.ReplaceAll(Of(text), "\n", " ") }

func withoutControl(r rune) rune {
	if isControl(r) {
		return -1
	}
	return r
}

func isControl(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
