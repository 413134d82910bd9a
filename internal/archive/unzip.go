package archive

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
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// workers is the number of goroutines that inflate and write files. A single goroutine checks names
// and creates files, in the order of the archive, so that the same entry is refused each time.
const workers = 2

// unzipper reads an archive once, from start to end, and passes its entries to the workers.
type unzipper struct {
	w    *treeWriter
	from *readAhead
	end  int64
	jobs chan job
	// backslashes reports whether backslashes separate folders in names.
	backslashes bool
	// running counts the files in progress.
	running sync.WaitGroup

	mu sync.Mutex
	// err is the error of the first failed entry, in the order of the archive. errEntry is its
	// number.
	err      error
	errEntry int
}

// job is a file to fill.
type job struct {
	number int
	entry  *zip.FileHeader
	file   *os.File
	chunks chan chunk
	// same is true if the file exists already: the entry must have the same content.
	same bool
}

func unpackZip(w *treeWriter, from RangeReader) error {
	list, err := readCentralDirectory(w.ctx, from, w.limits)
	if err != nil {
		return w.classify("", err)
	}
	w.indexBytes += int64(len(list.raw))
	u := &unzipper{
		w: w, from: newReadAhead(w.ctx, from, list.offset), end: list.offset, jobs: make(chan job, workers),
		backslashes: list.separatedByBackslash(), errEntry: math.MaxInt,
	}
	defer u.from.close()
	var group sync.WaitGroup
	for range workers {
		group.Go(u.work)
	}
	u.unpackAll(list)
	close(u.jobs)
	group.Wait()
	return u.err
}

func (u *unzipper) unpackAll(list *centralDirectory) {
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
				u.fail(number, u.w.classify(entry.Name, err))
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
	if number < u.errEntry {
		u.err, u.errEntry = err, number
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
	if int64(at) < u.from.offset {
		return refuse(entry.Name, errors.New("it is in the same place as another one: entries overlap"))
	}
	if err := u.readLocal(entry, int64(at)); err != nil {
		return err
	}
	name, err := u.name(entry)
	if err != nil {
		return err
	}
	switch mode := zipMode(entry); {
	case mode.IsDir(), u.backslashes && strings.HasSuffix(name, "/"):
		return u.w.folder(name, zipTime(entry))
	case mode.IsRegular(), mode&fs.ModeNamedPipe != 0 && entry.UncompressedSize64 > 0: // "zip -" stores the content of a pipe like this
		return u.unpackFile(number, name, entry)
	case mode&fs.ModeSymlink != 0:
		return u.unpackLink(name, entry)
	default:
		return refuse(name, fmt.Errorf("entries of type %s are not allowed: only files, folders and links are", mode.Type()))
	}
}

// name returns an entry's name with slashes as separators.
func (u *unzipper) name(entry *zip.FileHeader) (string, error) {
	name := entryName(entry)
	if !u.backslashes {
		return name, nil
	}
	return strings.ReplaceAll(name, `\`, "/"), checkName(name)
}

// Flags of an entry.
const (
	flagEncrypted      = 1 << 0
	flagDataDescriptor = 1 << 3
	flagUTF8           = 1 << 11
)

// Info-ZIP's extra field for a Unicode name, and its version.
const (
	unicodePath    = 0x7075
	unicodeVersion = 1
)

// entryName returns an entry's name. It prefers the Unicode name that Info-ZIP and others add to a
// name in another encoding.
func entryName(entry *zip.FileHeader) string {
	field := extraField(entry.Extra, unicodePath)
	if entry.Flags&flagUTF8 != 0 || len(field) < 6 || field[0] != unicodeVersion {
		return entry.Name
	}
	if little.Uint32(field[1:]) != crc32.ChecksumIEEE([]byte(entry.Name)) || !utf8.Valid(field[5:]) {
		return entry.Name // the Unicode name is outdated: the entry was renamed
	}
	return string(field[5:])
}

// readLocal reads the local header, which precedes the content and must match the central
// directory.
func (u *unzipper) readLocal(entry *zip.FileHeader, at int64) error {
	if err := u.from.skipTo(at); err != nil {
		return sourceError(err)
	}
	if u.end-at < localHeaderSize {
		return errors.New("its content is not in the archive")
	}
	local := make([]byte, localHeaderSize)
	if _, err := io.ReadFull(u.from, local); err != nil {
		return sourceError(err)
	}
	nameSize, extraSize := int(little.Uint16(local[26:])), int(little.Uint16(local[28:]))
	if little.Uint32(local) != localHeaderSignature {
		return errors.New("its content does not begin where the list of entries says")
	}
	left := uint64(u.end - u.from.offset)
	if uint64(nameSize+extraSize) > left || entry.CompressedSize64 > left-uint64(nameSize+extraSize) {
		return errors.New("its content is not in the archive")
	}
	rest := make([]byte, nameSize+extraSize)
	if _, err := io.ReadFull(u.from, rest); err != nil {
		return sourceError(err)
	}
	if string(rest[:nameSize]) != entry.Name {
		return fmt.Errorf("the header before its content gives a different name, %.200q, than the list of entries", rest[:nameSize])
	}
	if little.Uint16(local[6:])&flagDataDescriptor != 0 {
		return checkMethod(entry)
	}
	if err := checkLocal(entry, local, extraField(rest[nameSize:], zip64Extra)); err != nil {
		return err
	}
	return checkMethod(entry)
}

// checkLocal compares the local header with the central directory.
func checkLocal(entry *zip.FileHeader, local, large []byte) error {
	compressed, size := uint64(little.Uint32(local[18:])), uint64(little.Uint32(local[22:]))
	for _, one := range []*uint64{&size, &compressed} {
		if *one == math.MaxUint32 && len(large) >= 8 {
			*one, large = little.Uint64(large), large[8:]
		}
	}
	if compressed != entry.CompressedSize64 || size != entry.UncompressedSize64 || little.Uint32(local[14:]) != entry.CRC32 {
		return errors.New("the header before its content gives different sizes or a different checksum than the list of entries")
	}
	return nil
}

var knownMethods = []uint16{zip.Store, zip.Deflate, methodBzip2, methodZstd}

func checkMethod(entry *zip.FileHeader) error {
	switch {
	case entry.Flags&flagEncrypted != 0:
		return errors.New("it is encrypted")
	case !slices.Contains(knownMethods, entry.Method):
		return fmt.Errorf("it is compressed by method %d: only deflate, bzip2 and zstd are known", entry.Method)
	case entry.Method == zip.Store && entry.CompressedSize64 != entry.UncompressedSize64:
		return errors.New("it is not compressed, but has two sizes")
	}
	return nil
}

func (u *unzipper) unpackFile(number int, name string, entry *zip.FileHeader) error {
	if err := u.w.countBytes(name, entry.UncompressedSize64); err != nil {
		return err
	}
	file, err := u.w.create(name)
	same := errors.Is(err, errDuplicate)
	if same {
		u.running.Wait() // until the file is filled
		file, err = u.w.reopen(name)
	}
	if err != nil {
		return err
	}
	entry.Name = name
	next := job{number: number, entry: entry, file: file, chunks: make(chan chunk, readAheadParts+1), same: same} // never blocks
	u.running.Add(1)
	u.jobs <- next
	return u.send(next.chunks, int64(entry.CompressedSize64))
}

// send sends the next n bytes of the archive.
func (u *unzipper) send(to chan<- chunk, n int64) error {
	defer close(to)
	for n > 0 {
		next, err := u.from.take(n)
		if err != nil {
			to <- chunk{err: sourceError(err)}
			return sourceError(err)
		}
		n -= int64(len(next.content))
		to <- next
	}
	return nil
}

// unpackLink reads the target of a symbolic link.
func (u *unzipper) unpackLink(name string, entry *zip.FileHeader) error {
	const most = 2 * maxPath // deflate never doubles a size
	if entry.UncompressedSize64 > maxPath || entry.CompressedSize64 > most {
		return u.w.symlink(name, "", zipTime(entry)) // refuses it
	}
	chunks := make(chan chunk, readAheadParts+1)
	if err := u.send(chunks, int64(entry.CompressedSize64)); err != nil {
		return err
	}
	content := newInflater()
	defer content.close()
	err := content.open(entry, chunks)
	var target []byte
	if err == nil {
		target, err = io.ReadAll(content)
	}
	content.drain()
	if err != nil {
		return refuse(name, err)
	}
	return u.w.symlink(name, string(target), zipTime(entry))
}

func (u *unzipper) work() {
	content, files := newInflater(), newSparseWriter()
	defer content.close()
	for job := range u.jobs {
		err := content.open(job.entry, job.chunks)
		if err == nil {
			err = u.fill(job, files, content)
		}
		content.drain()
		if err = errors.Join(err, job.file.Close()); err != nil {
			u.fail(job.number, u.w.classifyFile(job.entry.Name, err))
		}
		u.running.Done()
	}
}

// fill writes the content to the file of a job, or compares it with the file.
func (u *unzipper) fill(job job, files *sparseWriter, content io.Reader) error {
	process := files.write
	if job.same {
		process = files.compare
	}
	if err := process(job.file, contextReader{u.w.ctx, content}); err != nil {
		return err
	}
	return complete(job.file, zipMode(job.entry), zipTime(job.entry))
}

// inflater reads and verifies the content of one entry after another.
type inflater struct {
	chunks  <-chan chunk
	current chunk
	unread  []byte
	input   *bufio.Reader
	decompressors

	entry *zip.FileHeader
	from  io.Reader
	read  uint64
	crc   uint32
}

const inputSize = 32 << 10

func newInflater() *inflater {
	i := &inflater{}
	i.input = bufio.NewReaderSize(readerFunc(i.compressed), inputSize)
	return i
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (i *inflater) open(entry *zip.FileHeader, chunks <-chan chunk) (err error) {
	i.entry, i.chunks, i.read, i.crc = entry, chunks, 0, 0
	i.input.Reset(readerFunc(i.compressed))
	i.from, err = i.decompressors.open(entry.Method, i.input)
	return err
}

// compressed reads compressed content.
func (i *inflater) compressed(p []byte) (int, error) {
	for len(i.unread) == 0 {
		i.current.release()
		i.current = chunk{}
		next, ok := <-i.chunks
		if !ok {
			return 0, io.EOF
		}
		if next.err != nil {
			return 0, next.err
		}
		i.current, i.unread = next, next.content
	}
	n := copy(p, i.unread)
	i.unread = i.unread[n:]
	return n, nil
}

// drain releases the unread chunks.
func (i *inflater) drain() {
	i.current.release()
	i.current, i.unread = chunk{}, nil
	for unread := range i.chunks {
		unread.release()
	}
}

var (
	errSize     = errors.New("its content does not match its size in the archive")
	errChecksum = errors.New("its content does not match its checksum in the archive")
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
