package archive

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
)

// ReadAheadPartSize, in bytes, times readAheadParts is about the memory of the read-ahead. It reads
// readAheadParts ranges concurrently, because a single connection to S3 transfers about 50 MB/s. A
// source should have the first part in memory.
const (
	ReadAheadPartSize = 4 << 20
	readAheadParts    = 4
)

// part is a prefetched piece. Its buffer is reused when nothing refers to it any longer.
type part struct {
	content []byte
	err     error
	ready   chan struct{}
	refs    atomic.Int32
	free    chan<- []byte
}

func (p *part) release() {
	if p.refs.Add(-1) == 0 {
		p.free <- p.content[:cap(p.content)] // has room for all buffers
	}
}

// chunk is a slice of a part, or the error of reading it.
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

// readAhead reads a range from start to end, and prefetches several parts concurrently.
type readAhead struct {
	ctx     context.Context
	cancel  context.CancelFunc
	end     int64
	running sync.WaitGroup
	parts   chan *part
	current *part
	// unread is the rest of the current part.
	unread []byte
	offset int64
}

func newReadAhead(ctx context.Context, from RangeReader, end int64) *readAhead {
	ctx, cancel := context.WithCancel(ctx)
	r := &readAhead{ctx: ctx, cancel: cancel, end: end, parts: make(chan *part, readAheadParts)}
	free := make(chan []byte, readAheadParts)
	for range readAheadParts {
		free <- nil // allocated on first use
	}
	r.running.Go(func() { r.readParts(from, free) })
	return r
}

func (r *readAhead) readParts(from RangeReader, free chan []byte) {
	defer close(r.parts)
	for offset := int64(0); offset < r.end; offset += ReadAheadPartSize {
		var memory []byte
		select {
		case memory = <-free:
		case <-r.ctx.Done():
			return
		}
		size := min(ReadAheadPartSize, r.end-offset)
		if int64(len(memory)) < size {
			memory = make([]byte, size)
		}
		next := &part{content: memory[:size], ready: make(chan struct{}), free: free}
		next.refs.Store(1)
		r.parts <- next // has room for all
		r.running.Go(func() {
			next.err = readRange(r.ctx, from, next.content, offset)
			close(next.ready)
		})
	}
}

// readRange reads a range of the content. It marks an error as that of the source.
func readRange(ctx context.Context, from RangeReader, p []byte, offset int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return sourceError(from.ReadRange(ctx, p, offset))
}

// take returns at most n of the next bytes. The caller must release them.
func (r *readAhead) take(n int64) (chunk, error) {
	if len(r.unread) == 0 {
		if err := r.next(); err != nil {
			return chunk{}, err
		}
	}
	n = min(n, int64(len(r.unread)))
	taken := chunk{content: r.unread[:n], of: r.current}
	r.current.refs.Add(1)
	r.unread = r.unread[n:]
	r.offset += n
	return taken, nil
}

func (r *readAhead) next() error {
	if r.current != nil {
		r.current.release()
		r.current = nil
	}
	next, ok := <-r.parts
	if !ok && r.offset < r.end {
		return r.ctx.Err() // cancelled
	}
	if !ok {
		return io.EOF
	}
	<-next.ready
	if next.err != nil {
		return next.err
	}
	r.current, r.unread = next, next.content
	return nil
}

// skipTo skips forward to an offset in the range.
func (r *readAhead) skipTo(offset int64) error {
	for r.offset < offset {
		skipped, err := r.take(offset - r.offset)
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

// close cancels the running reads and waits until they have ended.
func (r *readAhead) close() {
	r.cancel()
	r.running.Wait()
}
