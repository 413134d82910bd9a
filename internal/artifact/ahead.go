package artifact

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
)

// readSize and reads bound the memory of a download to about their product,
// and make it as fast as so many connections: one to S3 gives some 50 MB/s.
const (
	readSize = 4 << 20
	reads    = 4
)

// part is a piece of what is read ahead. Its memory is used again when nobody
// holds it any more.
type part struct {
	content []byte
	err     error
	ready   chan struct{}
	held    atomic.Int32
	free    chan<- []byte
}

func (p *part) release() {
	if p.held.Add(-1) == 0 {
		p.free <- p.content[:cap(p.content)] // as many fit as there are
	}
}

// chunk is a stretch of a part, or the error that came in its place.
type chunk struct {
	content []byte
	of      *part
	err     error
}

func (c chunk) release() {
	if c.of != nil {
		c.of.release()
	}
}

// readAhead reads a range from its begin to its end, several parts at once
// before they are asked for.
type readAhead struct {
	ctx    context.Context
	cancel context.CancelFunc
	end    int64
	begun  sync.WaitGroup
	parts  chan *part
	now    *part
	rest   []byte
	at     int64
}

func newReadAhead(ctx context.Context, from io.ReaderAt, begin, end int64) *readAhead {
	ctx, cancel := context.WithCancel(ctx)
	r := &readAhead{ctx: ctx, cancel: cancel, end: end, parts: make(chan *part, reads), at: begin}
	free := make(chan []byte, reads)
	for range reads {
		free <- nil // made when it is needed
	}
	r.begun.Go(func() { r.feed(from, free, begin) })
	return r
}

func (r *readAhead) feed(from io.ReaderAt, free chan []byte, begin int64) {
	defer close(r.parts)
	for at := begin; at < r.end; at += readSize {
		var memory []byte
		select {
		case memory = <-free:
		case <-r.ctx.Done():
			return
		}
		size := min(readSize, r.end-at)
		if int64(len(memory)) < size {
			memory = make([]byte, size)
		}
		next := &part{content: memory[:size], ready: make(chan struct{}), free: free}
		next.held.Store(1)
		r.parts <- next // has room for all
		r.begun.Go(func() {
			next.err = readAt(r.ctx, from, next.content, at)
			close(next.ready)
		})
	}
}

// rangeReader is a ReaderAt that can be told to stop.
type rangeReader interface {
	readRange(ctx context.Context, into []byte, at int64) error
}

func readAt(ctx context.Context, from io.ReaderAt, into []byte, at int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if stoppable, ok := from.(rangeReader); ok {
		return stoppable.readRange(ctx, into, at)
	}
	n, err := from.ReadAt(into, at)
	if n == len(into) {
		return nil // also with io.EOF
	}
	return err
}

// take gives the next bytes, at most n of them. Who takes them releases them.
func (r *readAhead) take(n int64) (chunk, error) {
	if len(r.rest) == 0 {
		if err := r.next(); err != nil {
			return chunk{}, err
		}
	}
	n = min(n, int64(len(r.rest)))
	taken := chunk{content: r.rest[:n], of: r.now}
	r.now.held.Add(1)
	r.rest = r.rest[n:]
	r.at += n
	return taken, nil
}

func (r *readAhead) next() error {
	if r.now != nil {
		r.now.release()
		r.now = nil
	}
	next, ok := <-r.parts
	if !ok && r.at < r.end {
		return r.ctx.Err() // it was told to stop
	}
	if !ok {
		return io.EOF
	}
	<-next.ready
	if next.err != nil {
		return next.err
	}
	r.now, r.rest = next, next.content
	return nil
}

// skipTo goes forward to a place in the range.
func (r *readAhead) skipTo(at int64) error {
	for r.at < at {
		skipped, err := r.take(at - r.at)
		if err != nil {
			return err
		}
		skipped.release()
	}
	return nil
}

func (r *readAhead) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	taken, err := r.take(int64(len(p)))
	if err != nil {
		return 0, err
	}
	defer taken.release()
	return copy(p, taken.content), nil
}

// Close ends the reads that are under way, and waits for their end.
func (r *readAhead) Close() error {
	r.cancel()
	r.begun.Wait()
	return nil
}
