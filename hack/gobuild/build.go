package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// build is a call of "go build".
type build struct {
	folder, ldflags, output, pkg string
}

// run builds and shows the progress.
func (b build) run(ctx context.Context, to *reporter) error {
	began := time.Now()
	list, err := b.list(ctx, to)
	if err != nil {
		return to.failed(fmt.Errorf("list the packages of %s: %w", b.pkg, err))
	}
	to.compile(stalePackages(list))
	stop := to.start(ctx)
	err = b.command(ctx, to, io.Discard, "build", "-v", "-o", b.output)
	stop()
	if err != nil {
		return to.failed(fmt.Errorf("build %s: %w", b.pkg, err))
	}
	to.print(fmt.Sprintf("built %s in %s", b.output, time.Since(began).Round(time.Second)))
	return nil
}

// list returns the packages, with a mark for those that are not in the build cache. The go command
// downloads all modules for that.
func (b build) list(ctx context.Context, to *reporter) (string, error) {
	stop := to.start(ctx)
	defer stop()
	var output bytes.Buffer
	err := b.command(ctx, to, &output, "list", "-deps", "-f", "{{.Stale}} {{.ImportPath}}")
	return output.String(), err
}

// stalePackages returns the import paths that list marks as not in the build cache.
func stalePackages(list string) map[string]bool {
	stale := map[string]bool{}
	for line := range strings.Lines(list) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "true "); ok {
			stale[name] = true
		}
	}
	return stale
}

// interruptGrace is how long the go command may take to end after an interrupt.
const interruptGrace = 10 * time.Second

// command runs the go command, and passes each line of its standard error to the reporter.
func (b build) command(ctx context.Context, to *reporter, stdout io.Writer, args ...string) error {
	args = append(args, "-ldflags="+b.ldflags, b.pkg)
	command := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the Makefile sets the flags
	command.Dir, command.Stdout = b.folder, stdout
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = interruptGrace
	stderr, err := command.StderrPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		to.line(lines.Text())
	}
	_, drained := io.Copy(io.Discard, stderr) // the scanner stops at a line that is too long
	if err := command.Wait(); err != nil {
		return err
	}
	return drained
}
