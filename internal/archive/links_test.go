package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// unpackBy unpacks from ranges, with the given rules.
func (p place) unpackBy(content []byte, rules Rules) error {
	return Unpack(context.Background(), Source{Name: "k", Ranges: inMemory(content)}, p.into, p.base, rules)
}

// skipped collects the names of skipped entries.
type skipped []string

func (s *skipped) add(entry string, _ error) { *s = append(*s, entry) }

// linkTrees are folders with links that lead out, and the entries to skip in each.
var linkTrees = map[string]struct {
	items []item
	out   []string
}{
	"an absolute link":   {[]item{fileItem("app.py", "app"), linkItem("venv/bin/python3", "/usr/bin/python3"), linkItem("venv/lib64", "lib")}, []string{"venv/bin/python3"}},
	"a link to above":    {[]item{fileItem("f", "1"), linkItem("l", "../f")}, []string{"l"}},
	"links over another": {[]item{linkItem("a", "b"), linkItem("b", "/etc"), linkItem("c", "b/passwd")}, []string{"a", "b", "c"}},
	"a chain":            {[]item{linkItem("d/up", "../e"), linkItem("e/up", ".."), linkItem("l", "d/up/up/../x")}, []string{"l"}},
	"a loop":             {[]item{linkItem("a", "b"), linkItem("b", "a"), fileItem("f", "1")}, []string{"a", "b"}},
	"over too many":      {chainOf(10), []string{"l09", "l10"}},
	"only links":         {[]item{linkItem("l", "..")}, []string{"l"}},
	"none":               {[]item{fileItem("f", "1"), linkItem("l", "f"), linkItem("dangling", "none"), linkItem("d/up", "../f")}, nil},
}

// chainOf returns a file and n links, each to the previous one.
func chainOf(n int) []item {
	chain := []item{fileItem("l00", "1")}
	for i := range n {
		chain = append(chain, linkItem(fmt.Sprintf("l%02d", i+1), fmt.Sprintf("l%02d", i)))
	}
	return chain
}

func TestLinksThatLeadOutAreRefusedSkippedOrKept(t *testing.T) {
	for name, c := range linkTrees {
		for format, archive := range formats {
			content := archive(t, c.items...)
			unpacked := func(t *testing.T, policy LinkPolicy) (map[string]string, []string, error) {
				p := newPlace(t)
				var left skipped
				err := p.unpackBy(content, Rules{Limits: small, Links: policy, Skipped: left.add})
				if err != nil {
					NewWithT(t).Expect(p.into).NotTo(BeAnExistingFile())
					return nil, left, err
				}
				return tree(NewWithT(t), p.into), left, nil
			}
			t.Run(name+"/"+format, func(t *testing.T) {
				g := NewWithT(t)
				all, left, err := unpacked(t, KeepLinks)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(left).To(BeEmpty())
				for _, i := range c.items {
					g.Expect(all).To(HaveKey(i.name))
				}
				rest, left, err := unpacked(t, SkipLinks)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(left).To(ConsistOf(c.out))
				for _, name := range c.out {
					delete(all, name)
				}
				g.Expect(rest).To(Equal(all))
				for _, policy := range []LinkPolicy{RefuseLinks, ""} {
					_, _, err = unpacked(t, policy)
					expectLinkRefused(g, err, c.out)
				}
			})
		}
	}
}

func expectLinkRefused(g Gomega, err error, entries []string) {
	if len(entries) == 0 {
		g.ExpectWithOffset(1, err).NotTo(HaveOccurred())
		return
	}
	g.ExpectWithOffset(1, refusedEntry(g, err)).To(BeElementOf(entries))
	g.ExpectWithOffset(1, errors.As(err, new(*LinkError))).To(BeTrue(), "%v", err)
}

// refusedEntry returns the entry for which an archive or a folder is refused.
func refusedEntry(g Gomega, err error) string {
	var refused *RefusedError
	g.ExpectWithOffset(2, errors.As(err, &refused)).To(BeTrue(), "%v", err)
	return refused.Entry
}

// folderOf creates a folder with items, as steps would.
func folderOf(t *testing.T, items ...item) *os.Root {
	t.Helper()
	g := NewWithT(t)
	p := newPlace(t)
	content := tarOf(t, items...)
	limits := DefaultLimits
	limits.Ratio = 0
	g.Expect(p.unpackBy(content, Rules{Limits: limits, Links: KeepLinks})).To(Succeed())
	return openRoot(t, p.into)
}

// TestPackTreatsLinksAsUnpackDoes packs each folder with each policy. An action with the same
// policy accepts the result.
func TestPackTreatsLinksAsUnpackDoes(t *testing.T) {
	for name, c := range linkTrees {
		for _, policy := range []LinkPolicy{RefuseLinks, SkipLinks, KeepLinks} {
			t.Run(name+"/"+string(policy), func(t *testing.T) {
				g := NewWithT(t)
				folder := folderOf(t, c.items...)
				var packed bytes.Buffer
				var left skipped
				err := Pack(t.Context(), folder, &packed, noLimit, Rules{Limits: DefaultLimits, Links: policy, Skipped: left.add})
				if policy == RefuseLinks {
					expectLinkRefused(g, err, c.out)
				}
				if err != nil {
					g.Expect(policy).To(Equal(RefuseLinks), err.Error())
					return
				}
				want := tree(g, folder.Name())
				if policy == SkipLinks {
					g.Expect(left).To(ConsistOf(c.out))
					maps.DeleteFunc(want, func(name, _ string) bool { return slices.Contains(c.out, name) })
				}
				p := newPlace(t)
				var again skipped
				g.Expect(p.unpackBy(packed.Bytes(), Rules{Limits: DefaultLimits, Links: policy, Skipped: again.add})).To(Succeed())
				g.Expect(again).To(BeEmpty(), "nothing surprises the next action")
				g.Expect(tree(g, p.into)).To(Equal(want))
			})
		}
	}
}

// TestPackRefusesWhatUnpackWouldRefuse packs folders that break each rule. Pack names the entry,
// and Unpack refuses the archive that Pack would have written.
func TestPackRefusesWhatUnpackWouldRefuse(t *testing.T) {
	zeros := strings.Repeat("\x00", 1<<20)
	for name, c := range map[string]struct {
		items  []item
		limits Limits
		entry  string
		rule   string
	}{
		"too many entries": {[]item{fileItem("a", "1"), fileItem("d/b", "2")}, Limits{Bytes: 10, Entries: 2}, "d/b", "more than 2 entries"},
		"too many bytes":   {[]item{fileItem("a", "12345"), fileItem("b", "67890")}, Limits{Bytes: 9, Entries: 2}, "b", "more than 9 bytes"},
		"a file that compresses too well": {[]item{fileItem("a", "1"), fileItem("disk", zeros), fileItem("z", "1")}, Limits{Bytes: 2 << 20, Entries: 5, Ratio: 200, RatioFrom: 1 << 10},
			"disk", "more than 200 times as many bytes"},
		"a name that leads out on Windows": {[]item{fileItem("a", "1"), fileItem("d/b", "2")}, Limits{Bytes: 10, Entries: 5}, `..\d`, "leads out"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			folder := folderOf(t, c.items...)
			if strings.Contains(c.entry, `\`) {
				g.Expect(folder.Rename("d", c.entry)).To(Succeed())
			}
			rules := Rules{Limits: c.limits}
			err := Pack(t.Context(), folder, io.Discard, noLimit, rules)
			g.Expect(refusedEntry(g, err)).To(Equal(c.entry))
			g.Expect(err).To(MatchError(ContainSubstring(c.rule)))
			if strings.Contains(c.entry, `\`) { // Pack never writes such a name
				return
			}
			var packed bytes.Buffer
			lax := Limits{Bytes: 1 << 30, Entries: 1000}
			g.Expect(Pack(t.Context(), folder, &packed, noLimit, Rules{Limits: lax})).To(Succeed())
			g.Expect(newPlace(t).unpackBy(packed.Bytes(), rules)).To(MatchError(ContainSubstring(c.rule)))
		})
	}
}

func TestPackRefusesFoldersThatTakeTooManySteps(t *testing.T) {
	g := NewWithT(t)
	deep := strings.Repeat("d/", 100)
	var items []item
	for i := range 50 {
		items = append(items, linkItem(fmt.Sprintf("%s%d", deep, i), "x"))
	}
	tally := newTally(usual)
	g.Expect(tally.freeSteps).To(Equal(freeSteps))
	tally.freeSteps = 1 << 10
	for _, i := range items {
		g.Expect(tally.link(i.name, i.link)).To(Succeed(), "the folder is opened once")
	}
	g.Expect(tally.finish()).To(MatchError(ContainSubstring("the symbolic links of the archive lead through so many folders")))
}

// TestAPackedFolderIsAccepted uses the lowest limits that fit.
func TestAPackedFolderIsAccepted(t *testing.T) {
	g := NewWithT(t)
	items := []item{fileItem("a", "12345"), fileItem("d/b", "67890"), folderItem("d/e/"), linkItem("d/e/l", "../b"), linkItem("m", "d")}
	folder := folderOf(t, items...)
	fits := Limits{Bytes: 10, Entries: 6}
	var packed bytes.Buffer
	g.Expect(Pack(t.Context(), folder, &packed, noLimit, Rules{Limits: fits})).To(Succeed())
	g.Expect(newPlace(t).unpackBy(packed.Bytes(), Rules{Limits: fits})).To(Succeed())
	for _, less := range []Limits{{Bytes: 9, Entries: 6}, {Bytes: 10, Entries: 5}} {
		entry := refusedEntry(g, Pack(t.Context(), folder, io.Discard, noLimit, Rules{Limits: less}))
		g.Expect(entry).NotTo(BeEmpty())
		g.Expect(refusedEntry(g, newPlace(t).unpackBy(packed.Bytes(), Rules{Limits: less}))).To(Equal(entry))
	}
	// Pack must count the same steps as Unpack.
	p := newPacker(t.Context(), folder, Rules{Limits: fits})
	go func() {
		for range p.members {
		}
	}()
	go p.work()
	g.Expect(errors.Join(p.walk("."), p.tally.finish())).To(Succeed())
	close(p.members)
	close(p.jobs)
	w := newTreeWriter(t.Context(), openRoot(t, t.TempDir()), Rules{Limits: fits})
	g.Expect(errors.Join(w.unpack(Source{Ranges: inMemory(packed.Bytes())}, ""), w.finish(), w.close())).To(Succeed())
	g.Expect(p.tally.entries).To(Equal(w.entries))
	g.Expect(p.tally.bytes).To(Equal(w.bytes))
	g.Expect(p.tally.steps).To(Equal(w.steps))
}
