package archive

import (
	"strings"
	"unicode/utf8"
)

// Zip host systems on which a name can't contain a backslash.
const (
	hostFAT  = 0
	hostNTFS = 10
	hostVFAT = 14
)

// separatedByBackslash reports whether the backslashes in the names of a zip archive separate
// folders, although the format forbids that (APPNOTE.TXT 4.4.17): some programs for Windows write
// such archives. All entries must declare such a host, and no name may contain a slash.
//
// A backslash may also be the second byte of a character in an encoding other than UTF-8.
func (d *centralDirectory) separatedByBackslash() bool {
	found := false
	for _, entry := range d.entries {
		raw := d.raw[entry.header:]
		name := nameIn(raw)
		switch host := raw[5]; {
		case host != hostFAT && host != hostNTFS && host != hostVFAT:
			return false
		case strings.Contains(name, "/"), !utf8.ValidString(name):
			return false
		}
		found = found || strings.Contains(name, `\`)
	}
	return found
}
