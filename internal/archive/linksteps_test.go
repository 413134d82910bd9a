package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestLinkSteps(t *testing.T) {
	for name, c := range map[string]struct {
		links map[string]string
		want  int
	}{
		"to a file":                         {map[string]string{"l": "f"}, 2},
		"in folders, to a folder":           {map[string]string{"a/b/l": "c/d"}, 3 + 2},
		"up, which begins at the top again": {map[string]string{"a/b/l": "../c"}, 3 + 1 + 1 + 1},
		"up by two at once":                 {map[string]string{"a/b/c/l": "../../d"}, 4 + 2 + 1 + 1},
		"up and up again":                   {map[string]string{"a/l": "b/../c/../d"}, 2 + 2 + 1 + 2 + 1 + 1},
		"nothing but dots and slashes":      {map[string]string{"l": ".//./x"}, 1 + 4},
		"through a link":                    {map[string]string{"l": "m/x", "m": "a/b/c"}, 1 + 1 + 3 + 1},
		"through links of links":            {map[string]string{"l": "m/n", "m": "a/b", "a/b/n": "../../o", "o": "p/q"}, 1 + 1 + 2 + 1 + 2 + 1 + 2},
		"out of the folder":                 {map[string]string{"l": "a/../../b/c"}, 1 + 2},
		"to an absolute path":               {map[string]string{"l": "/a/b"}, 0},
		"to itself":                         {map[string]string{"l": "l"}, linksPassed},
		"through two at each of many":       {map[string]string{"l": "m/m", "m": "n/n", "n": "l"}, linksPassed},
		"a name that is no prefix":          {map[string]string{"l": "ab/c", "a": "x/y/z"}, 1 + 2},
	} {
		t.Run(name, func(t *testing.T) {
			start := "l"
			for link := range maps.Keys(c.links) {
				if strings.HasSuffix(link, "/l") {
					start = link
				}
			}
			steps := linkSteps(start, func(name []byte) (string, bool) { target, is := c.links[string(name)]; return target, is })
			NewWithT(t).Expect(steps).To(Equal(c.want))
		})
	}
}

// deepTarget is the depth of the folder that the links of throughLinks lead to.
const deepTarget = 100

// throughLinks returns short links that lead through another link to a deep folder. Each takes two
// steps for its own target and deepTarget more.
func throughLinks(links int) []item {
	deep := strings.Repeat("d/", deepTarget)
	items := []item{fileItem(deep+"f", "1"), linkItem("a", strings.TrimSuffix(deep, "/"))}
	for i := range links {
		items = append(items, linkItem(fmt.Sprintf("l%d", i), "a/f"))
	}
	return items
}

// TestStepsOfLinksThroughLinksAreBounded checks the number of steps: without a limit, a 10 MB
// archive of such links took minutes.
func TestStepsOfLinksThroughLinksAreBounded(t *testing.T) {
	const free = 1 << 10
	unpack := func(content []byte, policy LinkPolicy) (*treeWriter, error) {
		w := newTreeWriter(t.Context(), openRoot(t, t.TempDir()), Rules{Limits: Limits{Bytes: 10, Entries: 10_000}, Links: policy})
		w.freeSteps = free
		return w, errors.Join(w.unpack(Source{Ranges: inMemory(content)}, ""), w.finish(), w.close())
	}
	for format, archive := range formats {
		for _, policy := range []LinkPolicy{RefuseLinks, SkipLinks} {
			t.Run(fmt.Sprintf("%s/%s", format, policy), func(t *testing.T) {
				g := NewWithT(t)
				w, err := unpack(archive(t, throughLinks(10)...), policy)
				g.Expect(err).NotTo(HaveOccurred())
				// The folders of f, then a with its target, then each link through a.
				g.Expect(w.steps).To(Equal(deepTarget + (1 + deepTarget) + 10*(1+1+deepTarget+1)))
				w, err = unpack(archive(t, throughLinks(100)...), policy)
				g.Expect(refusedEntry(g, err)).To(HavePrefix("l"))
				g.Expect(err).To(MatchError(ContainSubstring("the symbolic links of the archive lead through so many folders and other links that it takes more than ")))
				g.Expect(w.steps).To(BeNumerically("<=", free+stepsPerEntry*w.entries+2*deepTarget), "it ends at the limit")
			})
		}
	}
	t.Run("links that are kept are not followed", func(t *testing.T) {
		_, err := unpack(tarOf(t, throughLinks(100)...), KeepLinks)
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
	})
}

// TestPackCountsStepsOfLinksThroughLinks packs links that Unpack would refuse.
func TestPackCountsStepsOfLinksThroughLinks(t *testing.T) {
	const free = 1 << 12
	for links, refused := range map[int]bool{10: false, 100: true} {
		t.Run(fmt.Sprint(links), func(t *testing.T) {
			g := NewWithT(t)
			folder := folderOf(t, throughLinks(links)...)
			p := newPacker(t.Context(), folder, usual)
			p.tally.freeSteps = free
			go p.work()
			go func() {
				for range p.members {
				}
			}()
			err := errors.Join(p.walk("."), p.tally.finish())
			close(p.members)
			close(p.jobs)
			g.Expect(err != nil).To(Equal(refused), "%v", err)

			var packed bytes.Buffer
			g.Expect(Pack(t.Context(), folder, io.Writer(&packed), noLimit, usual)).To(Succeed())
			w := newTreeWriter(t.Context(), openRoot(t, t.TempDir()), usual)
			w.freeSteps = free
			unpackErr := errors.Join(w.unpack(Source{Ranges: inMemory(packed.Bytes())}, ""), w.finish(), w.close())
			if !refused {
				g.Expect(unpackErr).NotTo(HaveOccurred())
				g.Expect(p.tally.steps).To(Equal(w.steps))
				return
			}
			g.Expect(refusedEntry(g, err)).To(Equal(refusedEntry(g, unpackErr)))
		})
	}
}
