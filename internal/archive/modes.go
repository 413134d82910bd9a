package archive

import (
	"archive/zip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Modes of entries without a mode.
const (
	defaultFileMode   fs.FileMode = 0o666
	defaultFolderMode fs.FileMode = 0o777
)

// MakeFolder creates a folder that every user may write to. Its files inherit the group of this
// process, so that with a umask of 027 its members can read them.
func MakeFolder(name string) error {
	if err := os.MkdirAll(name, defaultFolderMode); err != nil {
		return fmt.Errorf("create the folder %s: %w", name, err)
	}
	if err := os.Chmod(name, sharedFolder); err != nil { // MkdirAll is subject to umask
		return fmt.Errorf("make the folder %s writable for all users: %w", name, err)
	}
	return nil
}

// sharedFolder is the mode of folders on disk. Files created in them inherit their group.
const sharedFolder = defaultFolderMode | fs.ModeSetgid

// widen gives the owner's permissions to every user, because steps may run as other users than the
// one that unpacks. It drops bits such as set-user-ID.
func widen(mode fs.FileMode) fs.FileMode {
	owner := mode & 0o700
	return mode&0o777 | owner>>3 | owner>>6
}

// Zip host systems that use Unix modes.
const (
	hostUnix  = 3
	hostMacOS = 19
)

// zipMode returns an entry's mode. On hosts other than Unix the field means something else, and
// some writers declare Unix without setting a mode.
func zipMode(entry *zip.FileHeader) fs.FileMode {
	host := entry.CreatorVersion >> 8
	mode := entry.Mode()
	if (host == hostUnix || host == hostMacOS) && entry.ExternalAttrs>>16 != 0 {
		return mode
	}
	if mode.IsDir() {
		return fs.ModeDir | defaultFolderMode
	}
	return defaultFileMode
}

// The range of times that ext4 can store. Times outside of it are not set.
const (
	earliest = -1 << 31
	latest   = 1<<33 - 1
)

func settable(modified time.Time) bool {
	return !modified.IsZero() && modified.Unix() >= earliest && modified.Unix() <= latest
}

// zipTime returns when an entry was modified, or zero if it has no time.
func zipTime(entry *zip.FileHeader) time.Time {
	if entry.Modified.Unix() == noDate {
		return time.Time{}
	}
	return entry.Modified
}

// noDate is what archive/zip returns for a missing date.
var noDate = time.Date(1980, 0, 0, 0, 0, 0, 0, time.UTC).Unix()

// setFileTime sets the time of an open file.
func setFileTime(file *os.File, modified time.Time) error {
	if !settable(modified) {
		return nil
	}
	if setTime(int(file.Fd()), "", modified, unix.AT_EMPTY_PATH) == nil {
		return nil
	}
	// The fallback for kernels before Linux 5.8, as in the C library.
	return setTime(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(int(file.Fd())), modified, 0)
}

// setLinkTime sets the time of a symbolic link in a folder, if possible.
func setLinkTime(folder *os.Root, name string, modified time.Time) error {
	if !settable(modified) {
		return nil
	}
	opened, err := folder.Open(".")
	if err != nil {
		return err
	}
	err = setTime(int(opened.Fd()), name, modified, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	return errors.Join(err, opened.Close())
}

func setTime(folder int, name string, modified time.Time, flags int) error {
	times := []unix.Timespec{
		{Nsec: unix.UTIME_OMIT}, // leave the access time unchanged
		{Sec: modified.Unix(), Nsec: int64(modified.Nanosecond())},
	}
	if err := unix.UtimesNanoAt(folder, name, times, flags); err != nil {
		return &os.PathError{Op: "utimensat", Path: name, Err: err}
	}
	return nil
}
