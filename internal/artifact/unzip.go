package artifact

import (
	"archive/zip"
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"
)

// workers inflate and write files. Names are checked and files made by one, in
// the order of the archive, so that it does not depend on chance which entry
// is refused.
const workers = 2

// unzipper reads an archive once, from its begin to its end, and hands its
// entries to the workers.
type unzipper struct {
	w    *treeWriter
	from *readAhead
	end  int64
	jobs chan job

	mu sync.Mutex
	// err is that of the first entry, in the order of the archive, that failed.
	err   error
	errOf int
}

// job is a file to fill.
type job struct {
	number int
	entry  *zip.FileHeader
	file   *os.File
	chunks chan chunk
}

func unpackZip(w *treeWriter, from io.ReaderAt, size int64) error {
	list, err := readDirectory(w.ctx, from, size, w.limits)
	if err != nil {
		return w.blame("", err)
	}
	w.held += int64(len(list.raw))
	u := &unzipper{w: w, from: newReadAhead(w.ctx, from, 0, list.begins), end: list.begins, jobs: make(chan job, workers), errOf: math.MaxInt}
	defer func() { _ = u.from.Close() }() // which has no error
	var group sync.WaitGroup
	for range workers {
		group.Go(u.work)
	}
	u.each(list)
	close(u.jobs)
	group.Wait()
	return u.err
}

func (u *unzipper) each(list *directory) {
	number := 0
	for rest := list.entries; len(rest) > 0; {
		batch, entries, err := list.next(rest)
		if err != nil {
			u.fail(number, err)
			return
		}
		rest = rest[len(batch):]
		for i, entry := range entries {
			if err := u.unpack(number, &entry.FileHeader, batch[i].content); err != nil {
				u.fail(number, u.w.blame(entry.Name, err))
			}
			if u.failed() {
				return
			}
			number++
		}
	}
}

func (u *unzipper) fail(number int, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if number < u.errOf {
		u.err, u.errOf = err, number
	}
}

func (u *unzipper) failed() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err != nil
}

func (u *unzipper) unpack(number int, entry *zip.FileHeader, at uint64) error {
	if at > uint64(u.end) {
		return errors.New("its content is not in the archive")
	}
	if int64(at) < u.from.at {
		return refuse(entry.Name, errors.New("it is in the same place as another one: entries overlap"))
	}
	if err := u.readLocal(entry, int64(at)); err != nil {
		return err
	}
	name := nameOf(entry)
	switch mode := zipMode(entry); {
	case mode.IsDir():
		return u.w.folder(name, zipTime(entry))
	case mode.IsRegular(), mode&fs.ModeNamedPipe != 0 && entry.UncompressedSize64 > 0: // what "zip -" reads from a pipe
		return u.unpackFile(number, name, entry)
	case mode&fs.ModeSymlink != 0:
		return u.unpackLink(name, entry)
	default:
		return refuse(name, fmt.Errorf("entries of type %s are not allowed: only files, folders and links are", mode.Type()))
	}
}

// Bits of an entry's flags.
const (
	encrypted      = 1 << 0
	sizesBehind    = 1 << 3
	saysUTF8       = 1 << 11
	unicodePath    = 0x7075
	unicodeVersion = 1
)

// nameOf is an entry's name: the one in Unicode that Info-ZIP and others put
// beside one in an encoding of old, or else as it is.
func nameOf(entry *zip.FileHeader) string {
	field := extraField(entry.Extra, unicodePath)
	if entry.Flags&saysUTF8 != 0 || len(field) < 6 || field[0] != unicodeVersion {
		return entry.Name
	}
	if little.Uint32(field[1:]) != crc32.ChecksumIEEE([]byte(entry.Name)) || !utf8.Valid(field[5:]) {
		return entry.Name // it is that of a name before the entry was renamed
	}
	return string(field[5:])
}

// readLocal reads the header before an entry's content, which must say what
// the list of entries says.
func (u *unzipper) readLocal(entry *zip.FileHeader, at int64) error {
	if err := u.from.skipTo(at); err != nil {
		return broken(err)
	}
	if u.end-at < localSize {
		return errors.New("its content is not in the archive")
	}
	local := make([]byte, localSize)
	if _, err := io.ReadFull(u.from, local); err != nil {
		return broken(err)
	}
	nameSize, extraSize := int(little.Uint16(local[26:])), int(little.Uint16(local[28:]))
	if little.Uint32(local) != localSignature {
		return errors.New("its content does not begin where the list of entries says")
	}
	left := uint64(u.end - u.from.at)
	if uint64(nameSize+extraSize) > left || entry.CompressedSize64 > left-uint64(nameSize+extraSize) {
		return errors.New("its content is not in the archive")
	}
	rest := make([]byte, nameSize+extraSize)
	if _, err := io.ReadFull(u.from, rest); err != nil {
		return broken(err)
	}
	if string(rest[:nameSize]) != entry.Name {
		return fmt.Errorf("the header before its content gives another name, %.200q, than the list of entries", rest[:nameSize])
	}
	if little.Uint16(local[6:])&sizesBehind != 0 {
		return checkMethod(entry)
	}
	if err := checkLocal(entry, local, extraField(rest[nameSize:], zip64Extra)); err != nil {
		return err
	}
	return checkMethod(entry)
}

// checkLocal compares what the header before the content says of it.
func checkLocal(entry *zip.FileHeader, local, large []byte) error {
	compressed, size := uint64(little.Uint32(local[18:])), uint64(little.Uint32(local[22:]))
	for _, one := range []*uint64{&size, &compressed} {
		if *one == math.MaxUint32 && len(large) >= 8 {
			*one, large = little.Uint64(large), large[8:]
		}
	}
	if compressed != entry.CompressedSize64 || size != entry.UncompressedSize64 || little.Uint32(local[14:]) != entry.CRC32 {
		return errors.New("the header before its content gives other sizes or another checksum than the list of entries")
	}
	return nil
}

func checkMethod(entry *zip.FileHeader) error {
	switch {
	case entry.Flags&encrypted != 0:
		return errors.New("it is encrypted")
	case entry.Method != zip.Store && entry.Method != zip.Deflate:
		return fmt.Errorf("it is compressed by method %d: only deflate is known", entry.Method)
	case entry.Method == zip.Store && entry.CompressedSize64 != entry.UncompressedSize64:
		return errors.New("it is not compressed, but has two sizes")
	}
	return nil
}

func (u *unzipper) unpackFile(number int, name string, entry *zip.FileHeader) error {
	if err := u.w.admit(name, entry.UncompressedSize64); err != nil {
		return err
	}
	file, err := u.w.create(name)
	if err != nil {
		return err
	}
	entry.Name = name
	one := job{number: number, entry: entry, file: file, chunks: make(chan chunk, reads+1)} // has room for all there can be
	u.jobs <- one
	return u.send(one.chunks, int64(entry.CompressedSize64))
}

// send hands over the next n bytes of the archive.
func (u *unzipper) send(to chan<- chunk, n int64) error {
	defer close(to)
	for n > 0 {
		next, err := u.from.take(n)
		if err != nil {
			to <- chunk{err: broken(err)}
			return broken(err)
		}
		n -= int64(len(next.content))
		to <- next
	}
	return nil
}

// unpackLink reads the target of a symbolic link.
func (u *unzipper) unpackLink(name string, entry *zip.FileHeader) error {
	const most = 2 * maxPath // deflate makes nothing twice as long
	if entry.UncompressedSize64 > maxPath || entry.CompressedSize64 > most {
		return u.w.symlink(name, "", zipTime(entry)) // refused, for that
	}
	chunks := make(chan chunk, reads+1)
	if err := u.send(chunks, int64(entry.CompressedSize64)); err != nil {
		return err
	}
	content := newInflater()
	content.open(entry, chunks)
	target, err := io.ReadAll(content)
	content.drain()
	if err != nil {
		return refuse(name, err)
	}
	return u.w.symlink(name, string(target), zipTime(entry))
}

func (u *unzipper) work() {
	content, filler := newInflater(), newFiller()
	for job := range u.jobs {
		content.open(job.entry, job.chunks)
		err := filler.fill(job.file, readerOf(u.w.ctx, content))
		content.drain()
		if err == nil {
			err = complete(job.file, zipMode(job.entry), zipTime(job.entry))
		}
		if err = errors.Join(err, job.file.Close()); err != nil {
			u.fail(job.number, u.w.blameFile(job.entry.Name, err))
		}
	}
}

// inflater reads the content of one entry after another, and checks it.
type inflater struct {
	chunks  <-chan chunk
	now     chunk
	rest    []byte
	input   *bufio.Reader
	deflate io.ReadCloser

	entry *zip.FileHeader
	from  io.Reader
	read  uint64
	crc   uint32
}

const inputSize = 32 << 10

func newInflater() *inflater {
	i := &inflater{}
	i.input = bufio.NewReaderSize(readerFunc(i.compressed), inputSize)
	i.deflate = flate.NewReader(i.input)
	return i
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (i *inflater) open(entry *zip.FileHeader, chunks <-chan chunk) {
	i.entry, i.chunks, i.read, i.crc = entry, chunks, 0, 0
	i.input.Reset(readerFunc(i.compressed))
	i.from = i.input
	if entry.Method == zip.Deflate {
		_ = i.deflate.(flate.Resetter).Reset(i.input, nil) // which has no error
		i.from = i.deflate
	}
}

// compressed reads what is compressed.
func (i *inflater) compressed(p []byte) (int, error) {
	for len(i.rest) == 0 {
		i.now.release()
		i.now = chunk{}
		next, ok := <-i.chunks
		if !ok {
			return 0, io.EOF
		}
		if next.err != nil {
			return 0, next.err
		}
		i.now, i.rest = next, next.content
	}
	n := copy(p, i.rest)
	i.rest = i.rest[n:]
	return n, nil
}

// drain releases what was not read.
func (i *inflater) drain() {
	i.now.release()
	i.now, i.rest = chunk{}, nil
	for left := range i.chunks {
		left.release()
	}
}

var (
	errSize     = errors.New("its content has another size than the archive says")
	errChecksum = errors.New("its content has another checksum than the archive says")
)

func (i *inflater) Read(p []byte) (int, error) {
	n, err := i.from.Read(p)
	i.read += uint64(n)
	i.crc = crc32.Update(i.crc, crc32.IEEETable, p[:n])
	switch {
	case i.read > i.entry.UncompressedSize64:
		return 0, errSize
	case !errors.Is(err, io.EOF):
		return n, err
	case i.read != i.entry.UncompressedSize64:
		return n, errSize
	case i.crc != i.entry.CRC32:
		return n, errChecksum
	}
	return n, err
}
