package main

import (
	"flag"
	"io"
	"testing"

	. "github.com/onsi/gomega"
)

func TestNamespaces(t *testing.T) {
	for name, c := range map[string]struct {
		list string
		want []string
		err  string
	}{
		"one":                {"team-a", []string{"team-a"}, ""},
		"some, with spaces":  {"team-a, team-b", []string{"team-a", "team-b"}, ""},
		"one that is twice":  {"team-a,team-a", []string{"team-a"}, ""},
		"a variable not set": {"", nil, "leave the flag out to work in all namespaces"},
		"a comma too many":   {"team-a,", nil, "a name is empty"},
		"a pattern":          {"team-*", nil, `"team-*" is not the name of a namespace`},
		"what is no name":    {"Team_A", nil, `"Team_A" is not the name of a namespace`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var n namespaceList
			flags := flag.NewFlagSet("manager", flag.ContinueOnError)
			flags.SetOutput(io.Discard)
			flags.Var(&n, "namespaces", "")
			err := flags.Parse([]string{"--namespaces=" + c.list})
			if c.err != "" {
				g.Expect(err).To(MatchError(ContainSubstring(c.err)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(n).To(BeEquivalentTo(c.want))
		})
	}
}
