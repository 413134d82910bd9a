package archive

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

// Pack writes a folder as a zip archive of at most maxBytes. Entries are sorted by name and keep
// modes, times and symbolic links. The same folder always results in the same bytes. Only a few
// blocks of its files are in memory at a time. The error is a *RefusedError if the content of the
// folder is the cause, which includes everything that Unpack would refuse with the same rules.
//
// Pack reads through os.Root, because another process may replace a file with a symbolic link that
// leads out of the folder.
func Pack(ctx context.Context, folder *os.Root, to io.Writer, maxBytes int64, rules Rules) error {
	return pack(ctx, folder, &limitedWriter{to: to, limit: maxBytes}, rules)
}

// limitedWriter fails at its limit.
type limitedWriter struct {
	to             io.Writer
	limit, written int64
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if w.written += int64(len(p)); w.written > w.limit {
		return 0, exceeds("", LimitPackedBytes, w.limit, "its zip archive has more than %d bytes")
	}
	return w.to.Write(p)
}

func pack(ctx context.Context, folder *os.Root, to io.Writer, rules Rules) error {
	ctx, cancel := context.WithCancel(ctx)
	p := newPacker(ctx, folder, rules)
	var group sync.WaitGroup
	for range workers {
		group.Go(p.work)
	}
	group.Go(func() {
		p.walkErr = p.walk(".")
		if p.walkErr == nil {
			p.walkErr = p.tally.finish()
		}
		close(p.members)
		close(p.jobs)
	})
	err := p.write(&zipWriter{to: to, indexBytes: rules.Limits.IndexBytes})
	cancel() // stops the walk if writing failed
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

// block is a piece of a file. Each is compressed on its own, so that several are compressed at
// once.
type block struct {
	content    []byte
	compressed bytes.Buffer
	last       bool
	err        error
	done       chan struct{}
}

// member is a future entry. Only files have blocks.
type member struct {
	header *zip.FileHeader
	// size is the size of the file when it was opened.
	size   int64
	target string
	blocks chan *block
}

type packer struct {
	ctx    context.Context
	folder *os.Root
	rules  Rules
	// tally is used by the walk until members is closed, and by the writer afterwards.
	tally   tally
	members chan member
	jobs    chan *block
	free    chan *block
	// walkErr is set before members is closed, and read after it.
	walkErr error
}

func newPacker(ctx context.Context, folder *os.Root, rules Rules) *packer {
	p := &packer{
		ctx: ctx, folder: folder, rules: rules, tally: newTally(rules),
		members: make(chan member, 4*blocks), jobs: make(chan *block, blocks), free: make(chan *block, blocks),
	}
	for range blocks {
		p.free <- &block{}
	}
	return p
}

// walk reads a folder in the order of its names. It does not use package io/fs, which accepts only
// UTF-8 names.
func (p *packer) walk(name string) error {
	opened, err := p.folder.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY, 0) // opening a FIFO in its place would block
	if errors.Is(err, os.ErrPermission) {
		return p.unreadable(name, "a+rx")
	}
	if err != nil {
		return p.changed(name, err)
	}
	names, err := opened.Readdirnames(-1)
	if err := errors.Join(err, opened.Close()); err != nil {
		return fmt.Errorf("read %s: %w", p.path(name), err)
	}
	slices.Sort(names)
	for _, base := range names {
		if err := p.entry(path.Join(name, base)); err != nil {
			return err
		}
	}
	return p.ctx.Err()
}

// path returns the path of a file as users know it.
func (p *packer) path(name string) string { return path.Join(p.folder.Name(), name) }

func (p *packer) unreadable(name, mode string) error {
	return refuse(name, fmt.Errorf("%s can't be read by user ID %d: make it readable for others (chmod %s)", p.path(name), os.Geteuid(), mode))
}

// changed classifies the error of a file that existed a moment ago. Unless it is an error of the
// disk, the file was removed or replaced with a link that leads out.
func (p *packer) changed(name string, err error) error {
	err = fmt.Errorf("read %s: %w", p.path(name), err)
	if isSystemError(err) || p.ctx.Err() != nil {
		return err
	}
	return refuse(name, fmt.Errorf("%w: %w", ErrChanged, err))
}

func (p *packer) special(name string) error {
	return refuse(name, fmt.Errorf("%s is not a file, a folder or a symbolic link: remove it from the folder", p.path(name)))
}

func (p *packer) entry(name string) error {
	info, err := p.folder.Lstat(name)
	if errors.Is(err, os.ErrPermission) {
		return p.unreadable(path.Dir(name), "a+rx")
	}
	if err != nil {
		return p.changed(name, err)
	}
	if len(name) >= maxPath { // including a folder's trailing slash
		return refuse(name, fmt.Errorf("its name has %d bytes, and %d or more can't be used: shorten it", len(name), maxPath))
	}
	if err := checkName(name); err != nil {
		return err
	}
	header := &zip.FileHeader{Name: name, Modified: info.ModTime()}
	header.SetMode(info.Mode())
	if info.Mode()&os.ModeSymlink != 0 {
		return p.link(header)
	}
	if err := p.tally.entry(name, info.IsDir()); err != nil {
		return err
	}
	switch {
	case info.IsDir():
		// Folders inherit the bit from the packed folder (see MakeFolder).
		header.SetMode(info.Mode() &^ os.ModeSetgid)
		header.Name += "/"
		if err := p.send(member{header: header}); err != nil {
			return err
		}
		return p.walk(name)
	case info.Mode().IsRegular():
		return p.file(header)
	default:
		return p.special(name)
	}
}

// link packs a symbolic link, unless it leads out and the rules don't keep it.
func (p *packer) link(header *zip.FileHeader) error {
	name := header.Name
	target, err := p.folder.Readlink(name)
	if err != nil {
		return p.changed(name, err)
	}
	if p.rules.Links != KeepLinks {
		err = checkLink(p.folder, name, target)
	}
	switch {
	case err == nil:
	case !errors.As(err, new(*LinkError)):
		return fmt.Errorf("follow %s: %w", p.path(name), err)
	case p.rules.Links == SkipLinks:
		p.rules.skip(name, err)
		return nil
	default:
		return refuse(name, err)
	}
	if err := p.tally.link(name, target); err != nil {
		return err
	}
	return p.send(member{header: header, target: target})
}

func (p *packer) send(next member) error {
	select {
	case p.members <- next:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// open opens a file, which may have been replaced since it was listed.
func (p *packer) open(name string) (*os.File, int64, error) {
	// Without O_NONBLOCK, opening a FIFO in place of the file would block.
	content, err := p.folder.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrPermission) {
		return nil, 0, p.unreadable(name, "a+r")
	}
	if err != nil {
		return nil, 0, p.changed(name, err)
	}
	info, err := content.Stat()
	if err == nil && info.Mode().IsRegular() {
		return content, info.Size(), nil
	}
	return nil, 0, errors.Join(err, p.special(name), content.Close())
}

// file reads a file block by block.
func (p *packer) file(header *zip.FileHeader) error {
	content, size, err := p.open(header.Name)
	if err != nil {
		return err
	}
	next := member{header: header, size: size, blocks: make(chan *block, blocks)} // has room for all
	err = p.send(next)
	for last := false; err == nil && !last; {
		last, err = p.block(header.Name, content, next.blocks)
	}
	close(next.blocks)
	if err = errors.Join(err, content.Close()); err != nil {
		return fmt.Errorf("pack %s: %w", p.path(header.Name), err)
	}
	return nil
}

func (p *packer) block(name string, content io.Reader, to chan<- *block) (last bool, err error) {
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
	if err := p.tally.bytesOf(name, n); err != nil {
		return false, err
	}
	p.jobs <- next // has room for all
	to <- next
	return next.last, nil
}

// work compresses blocks independently of each other, so that the result does not depend on which
// worker compresses which.
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
		return fmt.Errorf("finish the archive: %w", err)
	}
	return p.tally.ratio(archive)
}

func (p *packer) writeMember(archive *zipWriter, next member) error {
	if next.blocks == nil {
		return archive.writeStored(next.header, []byte(next.target))
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
		return archive.writeStored(next.header, first.content)
	}
	return archive.writeDeflated(next.header, first.content, first.compressed.Bytes())
}

// errUnread is replaced by the error of the walk, which has the cause.
var errUnread = errors.New("the file could not be read")

// compressed waits until a block is compressed.
func (p *packer) compressed(next *block) error {
	select {
	case <-next.done:
		return next.err
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// writeLarge writes a file of many blocks. A data descriptor after the content has its sizes.
func (p *packer) writeLarge(archive *zipWriter, next member, first *block) error {
	if err := archive.beginEntry(next.header, next.size); err != nil {
		return err
	}
	if err := archive.writeBlock(first); err != nil {
		return err
	}
	for {
		block, ok := <-next.blocks
		if !ok {
			return errUnread
		}
		err := p.compressed(block)
		if err == nil {
			err = archive.writeBlock(block)
		}
		last := block.last
		p.free <- block
		if err != nil {
			return err
		}
		if last {
			return archive.endEntry()
		}
	}
}

func (w *zipWriter) writeBlock(next *block) error {
	header := w.open
	header.CRC32 = crc32.Update(header.CRC32, crc32.IEEETable, next.content)
	header.UncompressedSize64 += uint64(len(next.content))
	header.CompressedSize64 += uint64(next.compressed.Len())
	return w.write(next.compressed.Bytes())
}
