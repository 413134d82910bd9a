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
	// lookEvery is how often the result files are looked at.
	lookEvery = 500 * time.Millisecond
	// lineEvery is the shortest time between two lines, whatever steps do: it
	// bounds the log, of which the operator reads the last line now and then.
	lineEvery = time.Second
)

// Progress follows the result files while steps run, until the context ends.
// Whenever what they say has changed it writes a line to Stdout, which tells
// the operator (see result.LastProgress).
//
// It is best effort: what can't be read now is read later, and what steps do
// wrong is told at the end, by Report.
func Progress(ctx context.Context, o Options) error {
	ticker := o.Clock.NewTicker(lookEvery)
	defer ticker.Stop()
	f := follower{options: o}
	defer f.watch.release()
	for {
		if err := f.look(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// follower knows what the result files said, and what of it was told.
type follower struct {
	options Options
	watch   watch
	// again has the files read once more though nothing has changed: because
	// not all could be read, or because they have just changed. File systems
	// give the same time to writes that are a few milliseconds apart, so that
	// another one could go unseen.
	again  bool
	warned bool
	said   podcontract.Progress
	told   podcontract.Progress
	toldAt time.Time
}

func (f *follower) look() error {
	if moved := f.watch.moved(); moved || f.again {
		err := f.read()
		f.again = moved || err != nil
		f.warn(err)
	}
	now := f.options.Clock.Now()
	if f.said.Equal(f.told) || now.Sub(f.toldAt) < lineEvery {
		return nil
	}
	if _, err := f.options.Stdout.Write(podcontract.ProgressLine(f.said)); err != nil {
		return fmt.Errorf("write the progress: %w", err)
	}
	f.told, f.toldAt = f.said, now
	return nil
}

// read reads the result files anew. A folder that is not there says nothing.
func (f *follower) read() error {
	f.watch.release()
	folder, err := f.options.open(podcontract.ResultDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f.watch.hold(folder) // before they are read: what is written in between is seen as a change
	read, err := podcontract.ParseProgress(podcontract.NewResultFolder(folder))
	f.said = newer(f.said, read)
	return errors.Join(err, folder.Close())
}

// newer is what was said before, with what is said now in its place. A file
// that says nothing may be one that a shell has just emptied to write it anew.
func newer(before, now podcontract.Progress) podcontract.Progress {
	if now.PercentComplete == nil {
		now.PercentComplete = before.PercentComplete
	}
	if now.Summary == "" {
		now.Summary = before.Summary
	}
	if now.ExternalExecutionID == "" {
		now.ExternalExecutionID = before.ExternalExecutionID
	}
	return now
}

// warn tells the first problem, and no other: the operator reads the last
// lines of this log, and has to find the progress there.
func (f *follower) warn(err error) {
	if err == nil || f.warned {
		return
	}
	f.warned = true
	f.options.Log.Warn("Can't read all of the progress", "folder", podcontract.ResultDir, "error", err)
}
