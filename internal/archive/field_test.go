package archive

import (
	"archive/zip"
	"bytes"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
)

// TestUnpackTakesArchivesFromTheField unpacks archives like those in users' reports.
func TestUnpackTakesArchivesFromTheField(t *testing.T) {
	for name, want := range map[string]map[string]string{
		"compress-archive-backslash.zip": {"appspec.yml": "version: 0.0\n", "src/": "", "src/main.go": "package main\n", "src/util/": "", "src/util/u.go": "package util\n"},
		"dot-slash-duplicate.zip":        {".requirements.zip": "PK-dummy", "handler.py": "def h(e,c): pass\n"},
		"tar-absolute.tar":               {"build/": "", "build/out/": "", "build/out/app.txt": "x\n"},
		"tar-append.tar":                 {"config/": "", "config/settings.ini": "new\n"},
		"app.jar":                        {"META-INF/": "", "META-INF/MANIFEST.MF": "Manifest-Version: 1.0\nMain-Class: A\n", "A.class": "\xca\xfe\xba\xbe"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			g.Expect(p.unpack(stored(g, "field/"+name), "k", small)).To(Succeed())
			g.Expect(tree(g, p.into)).To(Equal(want))
		})
	}
}

func TestAVirtualEnvironmentFromTheField(t *testing.T) {
	content := stored(NewWithT(t), "field/venv.zip")
	t.Run("Refuse", func(t *testing.T) {
		err := refusal(t, content, small, "venv/bin/python3", `leads out of the folder, to "/usr/bin/python3"`)
		NewWithT(t).Expect(errors.As(err, new(*LinkError))).To(BeTrue())
	})
	inside := map[string]string{"app.py": "", "venv/": "", "venv/bin/": "", "venv/lib/": "", "venv/lib/site.py": "", "venv/lib64": "-> lib"}
	for policy, links := range map[LinkPolicy]map[string]string{
		SkipLinks: {}, KeepLinks: {"venv/bin/python3": "-> /usr/bin/python3", "venv/bin/python": "-> python3"},
	} {
		t.Run(string(policy), func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			g.Expect(p.unpackBy(content, Rules{Limits: small, Links: policy})).To(Succeed())
			got := tree(g, p.into)
			for name := range inside {
				g.Expect(got).To(HaveKey(name))
			}
			for name, link := range links {
				g.Expect(got).To(HaveKeyWithValue(name, link))
			}
			g.Expect(got).To(HaveLen(len(inside) + len(links)))
		})
	}
}

// hostZip returns a zip archive whose entries declare a host system.
func hostZip(t *testing.T, host uint16, names ...string) []byte {
	t.Helper()
	g := NewWithT(t)
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for _, name := range names {
		_, err := archive.CreateHeader(&zip.FileHeader{Name: name, CreatorVersion: host << 8, NonUTF8: true})
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(archive.Close()).To(Succeed())
	return out.Bytes()
}

func TestBackslashesSeparateFoldersWhereNothingElseDoes(t *testing.T) {
	for name, c := range map[string]struct {
		host  uint16
		names []string
		want  []string
	}{
		"made on FAT":             {hostFAT, []string{"a", `d\b`, `d\e\c`}, []string{"a", "d/", "d/b", "d/e/", "d/e/c"}},
		"made on NTFS":            {hostNTFS, []string{`d\b`}, []string{"d/", "d/b"}},
		"a folder":                {hostFAT, []string{`d\`, `d\b`, `e\`}, []string{"d/", "d/b", "e/"}},
		"made on Unix":            {hostUnix, []string{"a", `d\b`}, []string{"a", `d\b`}},
		"slashes too":             {hostFAT, []string{"e/c", `d\b`}, []string{"e/", "e/c", `d\b`}},
		"both in one name":        {hostFAT, []string{`e/c\d`}, []string{"e/", `e/c\d`}},
		"half of a character":     {hostFAT, []string{"\x95\\.txt"}, []string{"\x95\\.txt"}},
		"above, but not far":      {hostFAT, []string{`d\..\b`}, []string{"b"}},
		"the same by two writers": {hostFAT, []string{`d\b`, `.\d\b`}, []string{"d/", "d/b"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := newPlace(t)
			g.Expect(p.unpack(hostZip(t, c.host, c.names...), "k", small)).To(Succeed())
			var got []string
			for name := range tree(g, p.into) {
				got = append(got, name)
			}
			g.Expect(got).To(ConsistOf(c.want))
		})
	}
	for _, hostile := range []string{`..\..\x`, `..\x`, `\x`, `\\server\share\x`, `d\..\..\x`, `..`, `/\x`} {
		t.Run("hostile: "+hostile, func(t *testing.T) {
			expectRefused(t, hostZip(t, hostFAT, hostile), small, hostile, leadsOut)
		})
	}
}
