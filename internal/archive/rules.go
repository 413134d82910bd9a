package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Rules define what Unpack accepts in an archive, and Pack in a folder. With the same rules, Unpack
// accepts everything that Pack writes.
type Rules struct {
	Limits Limits
	// Links is the policy for symbolic links that lead out. Empty means RefuseLinks.
	Links LinkPolicy
	// Skipped is called for each skipped entry. It may be nil.
	Skipped func(entry string, rule error)
}

func (r Rules) skip(entry string, rule error) {
	if r.Skipped != nil {
		r.Skipped(entry, rule)
	}
}

// LinkPolicy sets what happens to a symbolic link that leads out of its folder, or that can't be
// resolved because it leads through too many other links. Unpack and Pack never follow such a link.
type LinkPolicy string

const (
	// RefuseLinks refuses the archive or the folder.
	RefuseLinks LinkPolicy = "Refuse"
	// SkipLinks skips the link.
	SkipLinks LinkPolicy = "Skip"
	// KeepLinks keeps the link unchanged.
	KeepLinks LinkPolicy = "Keep"
)

// LinkError reports that a symbolic link leads out. LinkPolicies other than RefuseLinks accept it.
type LinkError struct {
	// Target is the target of the link, as written.
	Target string
	// cause is the error of following the link. It is nil if the target as written leads out.
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

// checkTarget returns a *LinkError if the target of a symbolic link, as written, leads out.
func checkTarget(name, target string) error {
	if filepath.IsAbs(target) || !filepath.IsLocal(filepath.Join(filepath.Dir(name), target)) {
		return &LinkError{Target: target}
	}
	return nil
}

// checkLink returns a *LinkError if a symbolic link in root leads out of it, directly or through
// other links. All other errors come from the disk.
func checkLink(root *os.Root, name, target string) error {
	if err := checkTarget(name, target); err != nil {
		return err
	}
	_, err := root.Stat(name)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR): // dangling, for the kernel too
		return nil
	case errors.Is(err, os.ErrPermission): // into a folder that only root can read, and that can't be packed anyway
		return nil
	case isSystemError(err):
		return err
	}
	return &LinkError{Target: target, cause: err}
}

// checkName refuses an entry whose name leads out of the folder. Leading slashes are ignored, as by
// tar and unzip.
func checkName(entry string) error {
	relative := strings.TrimLeft(entry, "/")
	// On Linux a backslash is an ordinary character, but the writer may have meant a separator:
	// refuse names that would lead out on Windows too.
	windows := strings.ReplaceAll(relative, `\`, "/")
	if strings.ContainsRune(entry, 0) || !filepath.IsLocal(filepath.Clean(relative)) || !filepath.IsLocal(filepath.Clean(windows)) {
		return refuse(entry, errors.New("the name leads out of the folder"))
	}
	return nil
}
