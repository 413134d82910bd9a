package pipelinejob

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestMasked(t *testing.T) {
	const key = "-----BEGIN KEY-----\nMIIEowIB\n{}\n-----END KEY-----\n"
	for name, c := range map[string]struct {
		text    string
		secrets []string
		want    string
	}{
		"none":                      {"curl -u me:pass", nil, "curl -u me:pass"},
		"an empty one":              {"text", []string{"", "\n"}, "text"},
		"each place":                {"+ login hunter2\nhunter2 is wrong", []string{"hunter2"}, "+ login ***\n*** is wrong"},
		"of several":                {"a=one b=two", []string{"one", "two"}, "a=*** b=***"},
		"one in another":            {"pass password", []string{"pass", "password"}, "*** ***"},
		"the same twice":            {"hunter2", []string{"hunter2", "hunter2"}, "***"},
		"without its line break":    {"login hunter2 failed", []string{"hunter2\n"}, "login *** failed"},
		"of several lines":          {"cat key\n" + key + "done", []string{key}, "cat key\n***done"},
		"of which some are shown":   {"…\nMIIEowIB\n{}\n-----END KEY-----\nexit", []string{key}, "…\n***\n{}\n***\nexit"},
		"lines that end like DOS's": {"line two\nend", []string{"line one\r\nline two\r\n"}, "***\nend"},
		"a short one":               {"x=7", []string{"7"}, "x=***"},
		"of other characters":       {"pässwörd!", []string{"pässwörd"}, "***!"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(masked(c.text, c.secrets)).To(Equal(c.want))
		})
	}
}

func TestTheTailOfALog(t *testing.T) {
	g := NewWithT(t)
	var short, long, line tail
	fmt.Fprint(&short, "one\n", "two\n")
	g.Expect(short.text()).To(Equal("one\ntwo\n"))
	for i := range 10_000 {
		fmt.Fprintf(&long, "line %d\n", i)
	}
	g.Expect(long.text()).To(And(HaveSuffix("line 9998\nline 9999\n"), HavePrefix("line ")))
	g.Expect(len(long.text())).To(BeNumerically("<=", lastLogBytes))
	fmt.Fprint(&line, strings.Repeat("secret", lastLogBytes))
	g.Expect(line.text()).To(BeEmpty(), "it has no whole line")
}
