package artifact

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path"
	"slices"
	"sync"
	"syscall"

	"github.com/klauspost/compress/flate"
)

// Pack writes a folder as a zip archive: entries in the order of their names,
// modes, times and symbolic links kept; the same folder always becomes the same
// bytes. Of its files only a few blocks are held in memory. The error is a
// *RefusedError when the fault is that of the folder's content.
//
// It reads through os.Root: a sidecar that runs beside may swap a file for a
// symbolic link, and must not have it followed to the job's credentials.
func Pack(ctx context.Context, folder *os.Root, to io.Writer) error {
	return pack(ctx, folder, &bounded{to, maxPacked})
}

// maxPacked is, in bytes, what an upload has room for: S3 takes 10,000 parts.
const maxPacked = 10_000 * partSize

// bounded refuses what is more than an upload has room for.
type bounded struct {
	to   io.Writer
	left int64
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, refuse("", fmt.Errorf("its zip archive has more than %d bytes: split it, or give the place of the files as an output variable", int64(maxPacked)))
	}
	return b.to.Write(p)
}

func pack(ctx context.Context, folder *os.Root, to io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	p := newPacker(ctx, folder)
	var group sync.WaitGroup
	for range workers {
		group.Go(p.work)
	}
	group.Go(func() {
		p.walkErr = p.walk(".")
		close(p.members)
		close(p.jobs)
	})
	err := p.write(&zipWriter{to: to})
	cancel() // the walk does not go on when nobody writes
	group.Wait()
	if errors.Is(err, errUnread) {
		return p.walkErr
	}
	return err
}

const (
	blockSize = 256 << 10
	blocks    = 3 * workers
)

// block is a piece of a file, which is compressed by itself, so that several
// are at once.
type block struct {
	content    []byte
	compressed bytes.Buffer
	last       bool
	err        error
	done       chan struct{}
}

// member is what becomes an entry: one with a header, and with blocks if it is
// a file.
type member struct {
	header *zip.FileHeader
	// size is the file's when it was opened.
	size   int64
	target string
	blocks chan *block
}

type packer struct {
	ctx     context.Context
	folder  *os.Root
	members chan member
	jobs    chan *block
	free    chan *block
	// walkErr is there when members is closed.
	walkErr error
}

func newPacker(ctx context.Context, folder *os.Root) *packer {
	p := &packer{ctx: ctx, folder: folder, members: make(chan member, 4*blocks), jobs: make(chan *block, blocks), free: make(chan *block, blocks)}
	for range blocks {
		p.free <- &block{}
	}
	return p
}

// walk reads a folder in the order of names. Package fs would not do: it knows
// no names but those in UTF-8.
func (p *packer) walk(name string) error {
	opened, err := p.folder.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY, 0) // a FIFO in its place would never be open
	if errors.Is(err, os.ErrPermission) {
		return p.unreadable(name, "a+rx")
	}
	if err != nil {
		return p.unsteady(name, err)
	}
	names, err := opened.Readdirnames(-1)
	if err := errors.Join(err, opened.Close()); err != nil {
		return fmt.Errorf("read %s: %w", p.path(name), err)
	}
	slices.Sort(names)
	for _, one := range names {
		if err := p.entry(path.Join(name, one)); err != nil {
			return err
		}
	}
	return p.ctx.Err()
}

// path is what a user knows a file by.
func (p *packer) path(name string) string { return path.Join(p.folder.Name(), name) }

func (p *packer) unreadable(name, mode string) error {
	return refuse(name, fmt.Errorf("%s can't be read by the user of codepipeline-report: make it readable for others (chmod %s)", p.path(name), mode))
}

// unsteady is the error of what was there a moment before, unless it is the
// disk's: a sidecar removed it, or put a link in its place that leads out.
func (p *packer) unsteady(name string, err error) error {
	err = fmt.Errorf("read %s: %w", p.path(name), err)
	if isOurs(err) || p.ctx.Err() != nil {
		return err
	}
	return refuse(name, fmt.Errorf("it changed while it was packed: %w; have what writes it end before the last step does", err))
}

func (p *packer) special(name string) error {
	return refuse(name, fmt.Errorf("%s is not a file, a folder or a symbolic link: remove it from the output folder", p.path(name)))
}

func (p *packer) entry(name string) error {
	info, err := p.folder.Lstat(name)
	if errors.Is(err, os.ErrPermission) {
		return p.unreadable(path.Dir(name), "a+rx")
	}
	if err != nil {
		return p.unsteady(name, err)
	}
	if len(name) >= maxPath { // with the slash of a folder
		return refuse(name, fmt.Errorf("its name has %d bytes, and nothing could use one of %d or more: shorten it", len(name), maxPath))
	}
	header := &zip.FileHeader{Name: name, Modified: info.ModTime()}
	header.SetMode(info.Mode())
	switch {
	case info.IsDir():
		// The group is that of this pod: it is inherited from the output folder.
		header.SetMode(info.Mode() &^ os.ModeSetgid)
		header.Name += "/"
		if err := p.give(member{header: header}); err != nil {
			return err
		}
		return p.walk(name)
	case info.Mode().IsRegular():
		return p.file(header)
	case info.Mode()&os.ModeSymlink != 0:
		target, err := p.folder.Readlink(name)
		if err != nil {
			return p.unsteady(name, err)
		}
		return p.give(member{header: header, target: target})
	default:
		return p.special(name)
	}
}

func (p *packer) give(next member) error {
	select {
	case p.members <- next:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// open opens what must be a file still.
func (p *packer) open(name string) (*os.File, int64, error) {
	// Without O_NONBLOCK a FIFO in place of the file would never be open.
	content, err := p.folder.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrPermission) {
		return nil, 0, p.unreadable(name, "a+r")
	}
	if err != nil {
		return nil, 0, p.unsteady(name, err)
	}
	info, err := content.Stat()
	if err == nil && info.Mode().IsRegular() {
		return content, info.Size(), nil
	}
	return nil, 0, errors.Join(err, p.special(name), content.Close())
}

// file reads a file, block by block.
func (p *packer) file(header *zip.FileHeader) error {
	content, size, err := p.open(header.Name)
	if err != nil {
		return err
	}
	given := member{header: header, size: size, blocks: make(chan *block, blocks)} // has room for all there are
	err = p.give(given)
	for last := false; err == nil && !last; {
		last, err = p.block(content, given.blocks)
	}
	close(given.blocks)
	if err = errors.Join(err, content.Close()); err != nil {
		return fmt.Errorf("pack %s: %w", p.path(header.Name), err)
	}
	return nil
}

func (p *packer) block(content io.Reader, to chan<- *block) (last bool, err error) {
	var next *block
	select {
	case next = <-p.free:
	case <-p.ctx.Done():
		return false, p.ctx.Err()
	}
	if next.content == nil {
		next.content = make([]byte, blockSize)
	}
	n, err := io.ReadFull(content, next.content[:blockSize])
	next.content, next.done = next.content[:n], make(chan struct{})
	next.last = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !next.last {
		return false, err
	}
	p.jobs <- next // has room for all there are
	to <- next
	return next.last, nil
}

// work compresses blocks, each by itself: what it becomes does not depend on
// who else works.
func (p *packer) work() {
	compressor, err := flate.NewWriter(nil, flate.DefaultCompression)
	for next := range p.jobs {
		next.compressed.Reset()
		next.err = err
		if err == nil {
			next.err = compress(compressor, next)
		}
		close(next.done)
	}
}

func compress(compressor *flate.Writer, next *block) error {
	compressor.Reset(&next.compressed)
	if _, err := compressor.Write(next.content); err != nil {
		return err
	}
	if next.last {
		return compressor.Close()
	}
	return compressor.Flush()
}

func (p *packer) write(archive *zipWriter) error {
	for next := range p.members {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		if err := p.writeMember(archive, next); err != nil {
			return fmt.Errorf("pack %s: %w", p.path(next.header.Name), err)
		}
	}
	if p.walkErr != nil {
		return p.walkErr
	}
	if err := archive.close(); err != nil {
		return fmt.Errorf("end the archive: %w", err)
	}
	return nil
}

func (p *packer) writeMember(archive *zipWriter, next member) error {
	if next.blocks == nil {
		return archive.stored(next.header, []byte(next.target))
	}
	first, ok := <-next.blocks
	if !ok {
		return errUnread
	}
	if err := p.compressed(first); err != nil {
		return err
	}
	defer func() { p.free <- first }()
	if !first.last {
		return p.writeLarge(archive, next, first)
	}
	if first.compressed.Len() >= len(first.content) {
		return archive.stored(next.header, first.content)
	}
	return archive.deflated(next.header, first.content, first.compressed.Bytes())
}

// errUnread gives way to the error of the walk, which says why.
var errUnread = errors.New("the file could not be read")

// compressed waits until a block is.
func (p *packer) compressed(next *block) error {
	select {
	case <-next.done:
		return next.err
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// writeLarge writes a file of many blocks, whose sizes come behind it.
func (p *packer) writeLarge(archive *zipWriter, next member, first *block) error {
	if err := archive.begin(next.header, next.size); err != nil {
		return err
	}
	if err := archive.more(first); err != nil {
		return err
	}
	for {
		block, ok := <-next.blocks
		if !ok {
			return errUnread
		}
		err := p.compressed(block)
		if err == nil {
			err = archive.more(block)
		}
		last := block.last
		p.free <- block
		if err != nil {
			return err
		}
		if last {
			return archive.end()
		}
	}
}

func (w *zipWriter) more(next *block) error {
	header := w.open
	header.CRC32 = crc32.Update(header.CRC32, crc32.IEEETable, next.content)
	header.UncompressedSize64 += uint64(len(next.content))
	header.CompressedSize64 += uint64(next.compressed.Len())
	return w.write(next.compressed.Bytes())
}
