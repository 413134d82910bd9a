package archive

import (
	"strings"
	"unicode/utf8"
)

// Hosts on which zip archives are made where a backslash can't be part of a name.
const (
	hostFAT  = 0
	hostNTFS = 10
	hostVFAT = 14
)

// separatedByBackslash reports whether the backslashes in the names of a zip archive
// separate folders, against the format's rules (APPNOTE.TXT 4.4.17): some programs for
// Windows write them so. All entries must be of such a host, and none may have a slash.
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
