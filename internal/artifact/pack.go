package artifact

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Pack writes a folder as a zip archive: entries in the order of their names,
// modes, times and symbolic links kept. Nothing of it is held in memory. The
// error is a *RefusedError when the fault is that of the folder's content.
//
// It reads through os.Root: a sidecar that runs beside may swap a file for a
// symbolic link, and must not have it followed to the job's credentials.
func Pack(ctx context.Context, folder *os.Root, to io.Writer) error {
	p := packer{ctx, folder, zip.NewWriter(to)}
	err := fs.WalkDir(folder.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, os.ErrPermission):
			return p.unreadable(name, "a+rx")
		case err != nil:
			return fmt.Errorf("read %s: %w", p.path(name), err)
		case name == ".":
			return ctx.Err()
		}
		return p.entry(name, entry)
	})
	if err != nil {
		return err
	}
	if err := p.archive.Close(); err != nil {
		return fmt.Errorf("end the archive: %w", err)
	}
	return nil
}

type packer struct {
	ctx     context.Context
	folder  *os.Root
	archive *zip.Writer
}

// path is what a user knows a file by.
func (p packer) path(name string) string { return p.folder.Name() + "/" + name }

func (p packer) unreadable(name, mode string) error {
	return refuse(name, fmt.Errorf("%s can't be read by the user of codepipeline-report: make it readable for others (chmod %s)", p.path(name), mode))
}

func (p packer) special(name string) error {
	return refuse(name, fmt.Errorf("%s is not a file, a folder or a symbolic link: remove it from the output folder", p.path(name)))
}

func (p packer) entry(name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return fmt.Errorf("read %s: %w", p.path(name), err)
	}
	header, err := zip.FileInfoHeader(info)
	if err != nil {
		return fmt.Errorf("read %s: %w", p.path(name), err)
	}
	header.Name = name
	switch {
	case info.IsDir():
		header.Name += "/"
		_, err = p.archive.CreateHeader(header)
		return err
	case info.Mode().IsRegular():
		header.Method = zip.Deflate
		return p.file(header)
	case info.Mode()&os.ModeSymlink != 0:
		return p.link(header)
	default:
		return p.special(name)
	}
}

func (p packer) file(header *zip.FileHeader) (err error) {
	// Without O_NONBLOCK a FIFO in place of the file would never be open.
	content, err := p.folder.OpenFile(header.Name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrPermission) {
		return p.unreadable(header.Name, "a+r")
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", p.path(header.Name), err)
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	if info, err := content.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, p.special(header.Name))
	}
	to, err := p.archive.CreateHeader(header)
	if err == nil {
		_, err = io.Copy(to, readerOf(p.ctx, content))
	}
	if err != nil {
		return fmt.Errorf("pack %s: %w", p.path(header.Name), err)
	}
	return nil
}

func (p packer) link(header *zip.FileHeader) error {
	target, err := p.folder.Readlink(header.Name)
	if err != nil {
		return fmt.Errorf("read %s: %w", p.path(header.Name), err)
	}
	to, err := p.archive.CreateHeader(header)
	if err == nil {
		_, err = io.WriteString(to, target)
	}
	if err != nil {
		return fmt.Errorf("pack %s: %w", p.path(header.Name), err)
	}
	return nil
}
