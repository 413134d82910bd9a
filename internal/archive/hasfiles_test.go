package archive

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
)

func TestHasFiles(t *testing.T) {
	type fill func(*WithT, *os.Root)
	folders := func(names ...string) fill {
		return func(g *WithT, root *os.Root) {
			for _, name := range names {
				g.Expect(root.MkdirAll(name, 0o755)).To(Succeed())
			}
		}
	}
	file := func(name string) fill {
		return func(g *WithT, root *os.Root) { g.Expect(root.WriteFile(name, nil, 0o644)).To(Succeed()) }
	}
	link := func(target string) fill {
		return func(g *WithT, root *os.Root) { g.Expect(root.Symlink(target, "link")).To(Succeed()) }
	}
	device := func(g *WithT, root *os.Root) {
		g.Expect(syscall.Mkfifo(root.Name()+"/pipe", 0o644)).To(Succeed())
	}
	for name, c := range map[string]struct {
		fill  []fill
		links LinkPolicy
		want  bool
	}{
		"nothing":                               {nil, "", false},
		"an empty folder":                       {[]fill{folders("dist")}, "", false},
		"empty folders in folders":              {[]fill{folders("a/b/c", "a/d", "e")}, "", false},
		"an empty file":                         {[]fill{file("x")}, "", true},
		"a hidden file":                         {[]fill{file(".gitkeep")}, "", true},
		"a file in the last folder":             {[]fill{folders("a/b/c", "z"), file("z/x")}, "", true},
		"a file deep down":                      {[]fill{folders("a/b/c"), file("a/b/c/x")}, "", true},
		"a link that stays inside":              {[]fill{link("missing")}, SkipLinks, true},
		"a link that leads out, refused":        {[]fill{link("/usr/bin/python3")}, RefuseLinks, true},
		"a link that leads out, left out":       {[]fill{link("/usr/bin/python3")}, SkipLinks, false},
		"a link that leads out, kept":           {[]fill{link("/usr/bin/python3")}, KeepLinks, true},
		"a link that is left out, and a file":   {[]fill{link("/usr/bin/python3"), file("x")}, SkipLinks, true},
		"a link that is left out, and a folder": {[]fill{link("/usr"), folders("lib")}, SkipLinks, false},
		"what Pack refuses":                     {[]fill{device}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			root := openRoot(t, t.TempDir())
			for _, do := range c.fill {
				do(g, root)
			}
			g.Expect(HasFiles(t.Context(), root, c.links)).To(Equal(c.want))
			if !c.want {
				g.Expect(packedFiles(t, root, c.links)).To(BeEmpty(), "Pack agrees")
			}
		})
	}
}

// packedFiles returns the names of all entries, except folders, in the archive of a folder.
func packedFiles(t *testing.T, root *os.Root, links LinkPolicy) (names []string) {
	t.Helper()
	g := NewWithT(t)
	var packed bytes.Buffer
	g.Expect(Pack(t.Context(), root, &packed, noLimit, Rules{Limits: DefaultLimits, Links: links})).To(Succeed())
	archive, err := zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
	g.Expect(err).NotTo(HaveOccurred())
	for _, file := range archive.File {
		if !file.Mode().IsDir() {
			names = append(names, file.Name)
		}
	}
	return names
}

// TestWhatCantBeReadCountsAsAFile leaves it to Pack to report the error.
func TestWhatCantBeReadCountsAsAFile(t *testing.T) {
	g := NewWithT(t)
	root := openRoot(t, t.TempDir())
	g.Expect(root.Mkdir("a", 0o755)).To(Succeed())
	g.Expect(HasFiles(t.Context(), root, "")).To(BeFalse())
	done, cancel := context.WithCancel(t.Context())
	cancel()
	g.Expect(HasFiles(done, root, "")).To(BeTrue(), "the context is done")
	gone := search{ctx: t.Context(), folder: root, left: 10}
	g.Expect(gone.finds("b")).To(BeTrue(), "a folder that was removed meanwhile")
}

// TestManyFoldersAreNotLookedThrough checks that the search is bounded.
func TestManyFoldersAreNotLookedThrough(t *testing.T) {
	g := NewWithT(t)
	root := openRoot(t, t.TempDir())
	for i := range 10 {
		g.Expect(root.Mkdir(fmt.Sprint(i), 0o755)).To(Succeed())
	}
	for left, want := range map[int]bool{9: true, 10: false} {
		s := search{ctx: t.Context(), folder: root, left: left}
		g.Expect(s.finds(".")).To(Equal(want), "left %d", left)
	}
}
