package artifact

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Pack writes a folder as a zip archive: entries in the order of their names,
// modes, times and symbolic links kept. Nothing of it is held in memory.
func Pack(ctx context.Context, folder string, to io.Writer) error {
	archive := zip.NewWriter(to)
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if name == folder {
			return ctx.Err()
		}
		return packEntry(ctx, archive, folder, name, entry)
	})
	if err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("end the archive: %w", err)
	}
	return nil
}

func packEntry(ctx context.Context, archive *zip.Writer, folder, name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	header, err := zip.FileInfoHeader(info)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	relative, err := filepath.Rel(folder, name)
	if err != nil {
		return err
	}
	header.Name = filepath.ToSlash(relative)
	switch {
	case info.IsDir():
		header.Name += "/"
		_, err = archive.CreateHeader(header)
		return err
	case info.Mode().IsRegular():
		header.Method = zip.Deflate
		return packFile(ctx, archive, header, name)
	case info.Mode()&os.ModeSymlink != 0:
		return packLink(archive, header, name)
	default:
		return &RefusedError{Entry: header.Name, Rule: fmt.Errorf("%s is not a file, a folder or a symbolic link: remove it from the output folder", name)}
	}
}

func packFile(ctx context.Context, archive *zip.Writer, header *zip.FileHeader, name string) error {
	content, err := os.Open(name)
	if errors.Is(err, os.ErrPermission) {
		return &RefusedError{Entry: header.Name, Rule: fmt.Errorf("%s can't be read by the user of codepipeline-report: make it readable for others (chmod a+r)", name)}
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	to, err := archive.CreateHeader(header)
	if err == nil {
		_, err = io.Copy(to, readerOf(ctx, content))
	}
	if err != nil {
		err = fmt.Errorf("pack %s: %w", name, err)
	}
	return errors.Join(err, content.Close())
}

func packLink(archive *zip.Writer, header *zip.FileHeader, name string) error {
	target, err := os.Readlink(name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	to, err := archive.CreateHeader(header)
	if err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	_, err = io.WriteString(to, target)
	return err
}
