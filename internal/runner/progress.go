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
	// lineInterval is the shortest time between two lines. It bounds the size of the log, whose
	// last line the operator reads from time to time.
	lineInterval = time.Second
)

// Progress watches the result files while steps run, until the context ends. When their content
// changes, it writes a line to Stdout for the operator (see podcontract.LastProgress), and an
// envelope to the termination log, which has the last progress if a step fails. It checks the files
// once more when the context ends.
//
// It is best effort: it tries again to read files that can't be read, and Report reports the errors
// of steps at the end.
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

// follower writes a line when the content of the result files changes.
type follower struct {
	options Options
	watcher watcher
	// reread makes the next check read the files even if nothing has changed: because some could
	// not be read, or because they have just changed. Two writes within a few milliseconds leave
	// the same file time, so that the second one could be missed.
	reread bool
	warned bool
	// latest was read last, and written was written last.
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

// finish writes the changes since the last line.
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

// read reads the result files. A missing folder counts as empty.
func (f *follower) read() error {
	f.watcher.close()
	folder, err := f.options.open(podcontract.ResultDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f.watcher.open(folder) // before reading, so that a write in between is seen as a change
	read, err := podcontract.ParseProgress(podcontract.NewResultFolder(folder))
	f.latest = merge(f.latest, read)
	return errors.Join(err, folder.Close())
}

// merge returns next, with missing values taken from previous: a shell truncates a file before it
// writes it again.
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

// warn logs only the first problem: the operator must find the progress in the last lines of this
// log.
func (f *follower) warn(err error) {
	if err == nil || f.warned {
		return
	}
	f.warned = true
	f.options.Log.Warn("Can't read all of the progress", "folder", podcontract.ResultDir, "error", err)
}
