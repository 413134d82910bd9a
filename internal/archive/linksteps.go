package archive

import (
	"bytes"
	"strings"
)

// linksPassed is how many symbolic links os.Root follows to resolve one path. It fails if there are
// more.
const linksPassed = 8

// linkSteps counts the steps that os.Root takes to resolve a symbolic link: one for each element of
// its name, of its target and of the targets of all links on the way. After "..", os.Root starts
// again at the root. targetOf returns the target of a name and whether the name is a link.
//
// Every name that is not a link counts as a folder, so the result is an upper bound: a path that
// ends early takes fewer steps.
func linkSteps(name string, targetOf func(name []byte) (target string, isLink bool)) int {
	w := way{targetOf: targetOf, rest: []string{name}}
	for len(w.rest) > 0 && w.next() {
		w.steps++
	}
	return w.steps
}

// way is a path that is resolved element by element.
type way struct {
	targetOf func([]byte) (string, bool)
	// at is the current folder, relative to the root. rest are the remaining paths, the last one
	// first.
	at   []byte
	rest []string
	// above reports whether the last element was "..".
	above         bool
	steps, passed int
}

// next resolves one element. It returns false at the end of the path, or if the path leads out or
// follows too many links.
func (w *way) next() bool {
	element := w.take()
	switch element {
	case "", ".":
		return true
	case "..":
		w.above = true
		return w.up()
	}
	if w.above { // os.Root starts again at the root
		w.above = false
		w.steps += elements(w.at)
	}
	return w.down(element)
}

// take removes and returns the first remaining element.
func (w *way) take() string {
	last := len(w.rest) - 1
	element, remaining, more := strings.Cut(w.rest[last], "/")
	w.rest[last] = remaining
	if !more {
		w.rest = w.rest[:last]
	}
	return element
}

func (w *way) up() bool {
	if len(w.at) == 0 {
		return false
	}
	w.at = w.at[:max(0, bytes.LastIndexByte(w.at, '/'))]
	return true
}

// down enters a folder or follows a link.
func (w *way) down(element string) bool {
	above := len(w.at)
	if above > 0 {
		w.at = append(w.at, '/')
	}
	w.at = append(w.at, element...)
	target, isLink := w.targetOf(w.at)
	if !isLink {
		return true
	}
	w.at = w.at[:above]
	w.rest = append(w.rest, target)
	w.passed++
	return w.passed <= linksPassed && !strings.HasPrefix(target, "/")
}

func elements(at []byte) int {
	if len(at) == 0 {
		return 0
	}
	return 1 + bytes.Count(at, []byte("/"))
}
