package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Rules are what Unpack accepts in an archive, and Pack in a folder. What Pack writes
// is accepted by Unpack with the same rules.
type Rules struct {
	Limits Limits
	// Links is RefuseLinks if it is empty.
	Links LinkPolicy
	// Skipped is called for each entry that is left out. It may be nil.
	Skipped func(entry string, rule error)
}

func (r Rules) skip(entry string, rule error) {
	if r.Skipped != nil {
		r.Skipped(entry, rule)
	}
}

// LinkPolicy says what happens to a symbolic link that leads out of its folder, or over
// so many other links that it is not known where it leads. Unpack and Pack never follow
// such a link.
type LinkPolicy string

const (
	// RefuseLinks refuses the archive, or the folder.
	RefuseLinks LinkPolicy = "Refuse"
	// SkipLinks leaves the link out.
	SkipLinks LinkPolicy = "Skip"
	// KeepLinks keeps the link as it is.
	KeepLinks LinkPolicy = "Keep"
)

// LinkError reports that a symbolic link leads out. A LinkPolicy other than RefuseLinks
// allows it.
type LinkError struct {
	// Target is the link's text.
	Target string
	// cause is why the link can't be followed. It is nil if its text alone leads out.
	cause error
}

func (e *LinkError) Error() string {
	if e.cause == nil {
		return fmt.Sprintf("the link leads out of the folder, to %.200q", e.Target)
	}
	return fmt.Sprintf("the link to %.200q leads out of the folder, or over too many links: %v", e.Target, e.cause)
}

// Unwrap returns why the link can't be followed.
func (e *LinkError) Unwrap() error { return e.cause }

// checkTarget returns a *LinkError if the text of a symbolic link leads out.
func checkTarget(name, target string) error {
	if filepath.IsAbs(target) || !filepath.IsLocal(filepath.Join(filepath.Dir(name), target)) {
		return &LinkError{Target: target}
	}
	return nil
}

// checkLink returns a *LinkError if a symbolic link in root leads out of it, over
// other links in root too. Any other error is the disk's.
func checkLink(root *os.Root, name, target string) error {
	if err := checkTarget(name, target); err != nil {
		return err
	}
	_, err := root.Stat(name)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR): // it leads nowhere, for the kernel too
		return nil
	case errors.Is(err, os.ErrPermission): // into a folder of root that can't be packed anyway
		return nil
	case isSystemError(err):
		return err
	}
	return &LinkError{Target: target, cause: err}
}

// checkName refuses an entry whose name leads out of the folder. Slashes at its start
// mean nothing, as for tar and unzip.
func checkName(entry string) error {
	relative := strings.TrimLeft(entry, "/")
	// A backslash is a character like any other here, but its writer may have meant
	// a folder: a name that would lead out on Windows is refused too.
	windows := strings.ReplaceAll(relative, `\`, "/")
	if strings.ContainsRune(entry, 0) || !filepath.IsLocal(filepath.Clean(relative)) || !filepath.IsLocal(filepath.Clean(windows)) {
		return refuse(entry, errors.New("the name leads out of the folder"))
	}
	return nil
}
