package main

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestLimitsOfArtifactsBecomeArgumentsOfTheRunner(t *testing.T) {
	cases := map[string]struct {
		size           string
		entries, ratio int
		want           []string
		err            string
	}{
		"the default":      {"0", 0, 0, nil, ""},
		"all":              {"100Gi", 7, 300, []string{"--max-bytes=107374182400", "--max-entries=7", "--max-ratio=300"}, ""},
		"one":              {"0", 0, 1, []string{"--max-ratio=1"}, ""},
		"a negative size":  {"-1", 0, 0, nil, "--artifact-max-size is -1: it must be 0 or more"},
		"a negative count": {"0", -5, 0, nil, "--artifact-max-entries is -5: it must be 0 or more"},
		"a negative ratio": {"0", 0, -1, nil, "--artifact-max-ratio is -1: it must be 0 or more"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			limits := artifactLimits{entries: c.entries, ratio: c.ratio}
			g.Expect(limits.size.Set(c.size)).To(Succeed())
			args, err := limits.args()
			if c.err != "" {
				g.Expect(err).To(MatchError(c.err))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(args).To(Equal(c.want))
		})
	}
}
