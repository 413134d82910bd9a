package main

import (
	"fmt"
	"time"
)

// progress counts the packages that the go command compiles.
type progress struct {
	// stale are the import paths of the packages that it has not printed yet.
	stale map[string]bool
	total int
	// samples are the counts of the last minute, oldest first, each with the time of its first
	// occurrence.
	samples []sample
}

// sample is the number of compiled packages at a time.
type sample struct {
	at   time.Time
	done int
}

func newProgress(stale map[string]bool, began time.Time) progress {
	return progress{stale: stale, total: len(stale), samples: []sample{{at: began}}}
}

// compiled counts a package, and reports whether the line is an import path. "go build -v" prints
// each path on a separate line when it begins to compile the package.
func (p *progress) compiled(line string) bool {
	if !p.stale[line] {
		return false
	}
	delete(p.stale, line)
	return true
}

// estimateAfter is how long to measure before the first estimate.
const estimateAfter = 10 * time.Second

// line returns the progress, with an estimate of the remaining time.
func (p *progress) line(now time.Time) string {
	current := sample{at: now, done: p.total - len(p.stale)}
	p.add(current)
	text := fmt.Sprintf("compiled %d/%d packages", current.done, p.total)
	since := p.samples[0]
	switch {
	case current.done == p.total:
		return text + ", linking"
	case current.done == since.done, now.Sub(since.at) < estimateAfter:
		return text
	}
	return fmt.Sprintf("%s, about %s left", text, rounded(timeLeft(since, current, p.total)))
}

// rateWindow is the time over which the rate is measured. Packages differ in size, and other work
// on the machine changes the rate. In two builds of kubectl on a busy machine, estimates were off
// by a factor of 2.0 on average, and by 2.3 with the rate of the whole build.
const rateWindow = time.Minute

// add adds a sample, and drops those before the window. It keeps at least two, because a rate needs
// two counts.
func (p *progress) add(current sample) {
	if p.samples[len(p.samples)-1].done < current.done {
		p.samples = append(p.samples, current)
	}
	for len(p.samples) > 2 && current.at.Sub(p.samples[1].at) >= rateWindow {
		p.samples = p.samples[1:]
	}
}

// timeLeft returns how long the rest will take at the rate between two samples.
func timeLeft(since, current sample, total int) time.Duration {
	return current.at.Sub(since.at) / time.Duration(current.done-since.done) * time.Duration(total-current.done)
}

// rounded formats a duration for people.
func rounded(d time.Duration) string {
	if d < 55*time.Second {
		return fmt.Sprintf("%d s", max(10, int(d.Round(10*time.Second).Seconds())))
	}
	return fmt.Sprintf("%d min", int((d + 30*time.Second).Truncate(time.Minute).Minutes()))
}

// downloading returns the progress while the packages are unknown.
func downloading(modules int) string {
	if modules == 0 {
		return "listing packages"
	}
	return fmt.Sprintf("downloading modules, %d so far", modules)
}
