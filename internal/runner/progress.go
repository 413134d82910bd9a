package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/pipelinejob/pipelinejob-operator/internal/podcontract"
)

const (
	// checkInterval is how often the result files are checked.
	checkInterval = 500 * time.Millisecond
	// lineInterval is the shortest time between two lines. It bounds the log, of
	// which the operator reads the last line from time to time.
	lineInterval = time.Second
)

// Progress follows the result files while steps run, until the context ends. Each
// time their content has changed it writes a line to Stdout for the operator (see
// podcontract.LastProgress), and an envelope to the termination log: if a step fails, the
// operator reads there what was reported before. It looks once more when the context ends.
//
// It is best effort: files that can't be read are read later, and Report reports
// the errors of steps at the end.
func Progress(ctx context.Context, o Options) error {
	ticker := o.Clock.NewTicker(checkInterval)
	defer ticker.Stop()
	f := follower{options: o}
	defer f.watcher.close()
	for {
		if err := f.check(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return f.finish()
		case <-ticker.C():
		}
	}
}

// follower writes a line when the content of the result files has changed.
type follower struct {
	options Options
	watcher watcher
	// reread makes the next check read the files though nothing has changed:
	// because not all could be read, or because they have just changed. Two writes
	// within a few milliseconds leave the same time on a file, so that the second
	// could be missed.
	reread bool
	warned bool
	// latest is what was read last, and written what was written last.
	latest, written podcontract.Progress
	writtenAt       time.Time
}

func (f *follower) check() error {
	if changed := f.watcher.changed(); changed || f.reread {
		err := f.read()
		f.reread = changed || err != nil
		f.warn(err)
	}
	now := f.options.Clock.Now()
	if f.latest.Equal(f.written) || now.Sub(f.writtenAt) < lineInterval {
		return nil
	}
	f.writtenAt = now
	return f.write()
}

// finish writes what is new since the last line.
func (f *follower) finish() error {
	f.warn(f.read())
	if f.latest.Equal(f.written) {
		return nil
	}
	return f.write()
}

func (f *follower) write() error {
	if _, err := f.options.Stdout.Write(podcontract.ProgressLine(f.latest)); err != nil {
		return fmt.Errorf("write the progress: %w", err)
	}
	f.written = f.latest
	f.warn(f.options.terminate(podcontract.WrapProgress(f.latest, f.options.EnvelopeLimit)))
	return nil
}

// read reads the result files. A missing folder has none.
func (f *follower) read() error {
	f.watcher.close()
	folder, err := f.options.open(podcontract.ResultDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f.watcher.open(folder) // before they are read: a write in between is seen as a change
	read, err := podcontract.ParseProgress(podcontract.NewResultFolder(folder))
	f.latest = merge(f.latest, read)
	return errors.Join(err, folder.Close())
}

// merge returns next, with values of previous for those that are missing: a shell
// empties a file before it writes it again.
func merge(previous, next podcontract.Progress) podcontract.Progress {
	if next.PercentComplete == nil {
		next.PercentComplete = previous.PercentComplete
	}
	if next.Summary == "" {
		next.Summary = previous.Summary
	}
	if next.ExternalExecutionID == "" {
		next.ExternalExecutionID = previous.ExternalExecutionID
	}
	return next
}

// warn logs the first problem only: the operator reads the last lines of this log,
// and must find the progress there.
func (f *follower) warn(err error) {
	if err == nil || f.warned {
		return
	}
	f.warned = true
	f.options.Log.Warn("Can't follow all of the progress", "folder", podcontract.ResultDir, "error", err)
}
