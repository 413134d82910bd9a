package archive

import "path"

// tally counts what Pack writes in the same way as Unpack will count it, so that the same limits
// apply.
type tally struct {
	quota
	keepLinks bool
	// opened is the folder of Unpack's last file, and linked the folder of its last link.
	opened, linked string
	// makeSteps are the steps for creating the links, which Unpack does after all other entries.
	// lastLink is the last link.
	makeSteps int
	lastLink  string
	// links are the names of the links to check, in order, and targets are their targets. Their
	// steps are known only when all links are known.
	links   []string
	targets map[string]string
}

func newTally(rules Rules) tally {
	return tally{quota: newQuota(rules.Limits), keepLinks: rules.Links == KeepLinks, opened: ".", linked: ".", targets: map[string]string{}}
}

// entry counts a file or a folder.
func (t *tally) entry(name string, isFolder bool) error {
	folder := path.Dir(name)
	if isFolder {
		folder = name
	}
	if err := t.countSteps(name, stepsTo(folder, &t.opened)); err != nil {
		return err
	}
	return t.countEntry(name)
}

// stepsTo returns the number of steps to open a folder after the last one.
func stepsTo(folder string, last *string) int {
	if folder == *last {
		return 0
	}
	*last = folder
	if folder == "." {
		return 0
	}
	return depth(folder)
}

func (t *tally) link(name, target string) error {
	if err := t.entry(name, false); err != nil {
		return err
	}
	t.makeSteps += stepsTo(path.Dir(name), &t.linked)
	t.lastLink = name
	if !t.keepLinks {
		t.links = append(t.links, name)
		t.targets[name] = target
	}
	return nil
}

// bytesOf counts n bytes of a file.
func (t *tally) bytesOf(name string, n int) error {
	t.bytes += int64(n)
	return t.checkBytes(name, t.bytes) // the ratio is known only at the end
}

// finish counts the steps for links, which Unpack creates last.
func (t *tally) finish() error {
	if err := t.countSteps(t.lastLink, t.makeSteps); err != nil {
		return err
	}
	for _, name := range t.links {
		if err := t.countLinkSteps(name, linkSteps(name, t.targetOf)); err != nil {
			return err
		}
	}
	return nil
}

// targetOf is for linkSteps.
func (t *tally) targetOf(name []byte) (target string, isLink bool) {
	target, isLink = t.targets[string(name)]
	return target, isLink
}

// ratio compares the total size of the files with the size of the archive. Its error names the file
// that compressed best: the cause is usually a single file, such as a disk image.
func (t *tally) ratio(archive *zipWriter) error {
	return t.checkBytes(archive.thinnest, int64(archive.written))
}
