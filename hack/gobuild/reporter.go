package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// The intervals at which progress is written.
const (
	terminalInterval = time.Second
	logInterval      = 10 * time.Second
)

// reporter shows the progress of the go command from its output. On a terminal, it overwrites the
// previous line.
type reporter struct {
	to       io.Writer
	terminal bool
	now      func() time.Time

	mu       sync.Mutex
	progress progress
	// downloads are the lines about downloads, one per module. They are shown only if the build
	// fails.
	downloads []string
	// shown is the last line of progress.
	shown string
}

func newReporter(to io.Writer, terminal bool, now func() time.Time) *reporter {
	return &reporter{to: to, terminal: terminal, now: now}
}

// compile starts counting packages.
func (r *reporter) compile(stale map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress = newProgress(stale, r.now())
}

// start writes the progress periodically until the returned function is called.
func (r *reporter) start(ctx context.Context) (stop func()) {
	interval := logInterval
	if r.terminal {
		interval = terminalInterval
	}
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				r.tick()
			}
		}
	})
	return func() {
		cancel()
		group.Wait()
	}
}

func (r *reporter) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := r.current()
	if line == r.shown {
		return
	}
	r.shown = line
	if r.terminal {
		fmt.Fprint(r.to, "\r"+line+eraseRest)
		return
	}
	fmt.Fprintln(r.to, line)
}

func (r *reporter) current() string {
	if r.progress.stale == nil {
		return downloading(len(r.downloads))
	}
	return r.progress.line(r.now())
}

// eraseRest erases the rest of a line on a terminal.
const eraseRest = "\x1b[K"

// line handles a line of the go command's standard error.
func (r *reporter) line(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case strings.HasPrefix(line, "go: downloading "):
		r.downloads = append(r.downloads, line)
	case r.progress.compiled(line):
	default:
		r.write(line)
	}
}

// print writes a permanent line.
func (r *reporter) print(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(line)
}

func (r *reporter) write(line string) {
	if r.terminal && r.shown != "" {
		fmt.Fprint(r.to, "\r"+eraseRest)
		r.shown = ""
	}
	fmt.Fprintln(r.to, line)
}

// failed writes the hidden lines and returns the error.
func (r *reporter) failed(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.downloads {
		r.write(line)
	}
	return err
}
