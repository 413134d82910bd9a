package archive

import "path"

// tally counts what Pack writes as Unpack will count it: the limits of one are those of
// the other.
type tally struct {
	quota
	keepLinks bool
	// opened is the folder in which Unpack writes last, and linked the one in which it
	// makes its last link.
	opened, linked string
	// makeSteps are those that links take when they are made, once all other entries
	// exist. lastLink is the last of them.
	makeSteps int
	lastLink  string
	// links are the names of those that are checked, in order, and targets where each
	// leads: the steps that it takes are known when all links are.
	links   []string
	targets map[string]string
}

func newTally(rules Rules) tally {
	return tally{quota: newQuota(rules.Limits), keepLinks: rules.Links == KeepLinks, opened: ".", linked: ".", targets: map[string]string{}}
}

// entry counts a file, or a folder.
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

// stepsTo returns how many steps it takes to open a folder after the last one.
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

// bytesOf counts bytes of a file.
func (t *tally) bytesOf(name string, n int) error {
	t.bytes += int64(n)
	return t.checkBytes(name, t.bytes) // the ratio is not known before the end
}

// finish counts what is done for links at the end.
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

// ratio checks the size of all files against that of the archive. It names the file that
// compression saved the most bytes of: a single one, such as a disk image, is usually why.
func (t *tally) ratio(archive *zipWriter) error {
	return t.checkBytes(archive.thinnest, int64(archive.written))
}
