package artifact

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

// Modes of what says nothing of its own.
const (
	plainMode  fs.FileMode = 0o666
	folderMode fs.FileMode = 0o777
)

// MakeFolder makes a folder that every user may write, because each step may
// run as another. What they write in it belongs to the group of this process,
// which all containers of the pod are in (see package workload): a umask of 027
// keeps none of them out.
func MakeFolder(name string) error {
	if err := os.MkdirAll(name, folderMode); err != nil {
		return fmt.Errorf("make the folder %s: %w", name, err)
	}
	if err := os.Chmod(name, sharedFolder); err != nil { // MkdirAll is subject to umask
		return fmt.Errorf("open the folder %s to all users: %w", name, err)
	}
	return nil
}

// sharedFolder is what becomes of folderMode on disk. The group is inherited by
// all that is made inside.
const sharedFolder = folderMode | fs.ModeSetgid

// forAll gives the owner's permissions to every user, because each step may
// run as another. Set-user-ID and its like are dropped.
func forAll(mode fs.FileMode) fs.FileMode {
	owner := mode & 0o700
	return mode&0o777 | owner>>3 | owner>>6
}

// Hosts that zip archives are made on, and the first bits of modes of Unix.
const (
	hostUnix  = 3
	hostMacOS = 19
)

// zipMode is an entry's mode. Hosts other than Unix tell none that means here
// what it means there, and some writers say Unix and leave the mode out.
func zipMode(entry *zip.FileHeader) fs.FileMode {
	host := entry.CreatorVersion >> 8
	mode := entry.Mode()
	if (host == hostUnix || host == hostMacOS) && entry.ExternalAttrs>>16 != 0 {
		return mode
	}
	if mode.IsDir() {
		return fs.ModeDir | folderMode
	}
	return plainMode
}

// Times that file systems hold: ext4's. Others are left alone.
const (
	earliest = -1 << 31
	latest   = 1<<33 - 1
)

func settable(modified time.Time) bool {
	return !modified.IsZero() && modified.Unix() >= earliest && modified.Unix() <= latest
}

// zipTime is when an entry was modified; zero when it does not say.
func zipTime(entry *zip.FileHeader) time.Time {
	if entry.Modified.Unix() == noDate {
		return time.Time{}
	}
	return entry.Modified
}

// noDate is what the zip package makes of a date that is not there.
var noDate = time.Date(1980, 0, 0, 0, 0, 0, 0, time.UTC).Unix()

// stampFile sets the time of an open file.
func stampFile(file *os.File, modified time.Time) error {
	if !settable(modified) {
		return nil
	}
	if stampAt(int(file.Fd()), "", modified, unix.AT_EMPTY_PATH) == nil {
		return nil
	}
	// Before Linux 5.8: what the C library does where there is no call for it.
	return stampAt(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(int(file.Fd())), modified, 0)
}

// stampLink sets the time of a symbolic link in a folder, where that is possible.
func stampLink(folder *os.Root, name string, modified time.Time) error {
	if !settable(modified) {
		return nil
	}
	opened, err := folder.Open(".")
	if err != nil {
		return err
	}
	err = stampAt(int(opened.Fd()), name, modified, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	return errors.Join(err, opened.Close())
}

func stampAt(folder int, name string, modified time.Time, flags int) error {
	times := []unix.Timespec{
		{Nsec: unix.UTIME_OMIT}, // nobody asks when it was last read
		{Sec: modified.Unix(), Nsec: int64(modified.Nanosecond())},
	}
	if err := unix.UtimesNanoAt(folder, name, times, flags); err != nil {
		return &os.PathError{Op: "utimensat", Path: name, Err: err}
	}
	return nil
}
