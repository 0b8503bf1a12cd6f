//go:build linux || darwin || freebsd

package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// openFlags keep a pipe that someone put there from blocking the open.
	openFlags = unix.O_NONBLOCK | unix.O_NOFOLLOW
	syncDirs  = true
	canLock   = true
)

var (
	errNotDir      error = unix.ENOTDIR
	errIsDir       error = unix.EISDIR
	errNotEmpty    error = unix.ENOTEMPTY
	errCrossDevice error = unix.EXDEV
)

// isUnsupported reports whether the file system can't do it at all.
func isUnsupported(err error) bool {
	return errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) ||
		errors.Is(err, unix.EPERM) || errors.Is(err, unix.EMLINK)
}

// ignoreUnsupported passes over file systems that can't sync a directory.
func ignoreUnsupported(err error) error {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EBADF) {
		return nil
	}
	return err
}

func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// unlink removes a file, and never a directory.
func (b *bucket) unlink(name string) error { return b.unlinkAt(name, 0) }

// rmdir removes an empty directory, and never a file that has taken its place.
func (b *bucket) rmdir(name string) error { return b.unlinkAt(name, unix.AT_REMOVEDIR) }

func (b *bucket) unlinkAt(name string, flags int) error {
	dir, err := b.root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // opened for reading only
	if err := unix.Unlinkat(int(dir.Fd()), path.Base(name), flags); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

// lock keeps other conditional writers of the bucket out, in this process and in others.
func (b *bucket) lock() (unlock func(), err error) {
	f, err := b.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE|openFlags, fileMode)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close() //nolint:errcheck // nothing has been written
		if isUnsupported(err) || errors.Is(err, unix.ENOLCK) {
			return nil, fmt.Errorf("a write that depends on the version that is there is %w", errNoWrite)
		}
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// What a caller says of a blob beyond its bytes is kept in one extended
// attribute, so that there is one file per blob, as the reference has it.
const (
	attribute    = "user.panelmatch.properties"
	maxAttribute = 64 << 10
)

// writeProperties keeps what differs from the default. Hints such as the
// content type are dropped where the file system has no extended attributes;
// metadata is refused there.
func writeProperties(f *os.File, p properties) error {
	if p.isDefault() {
		return nil
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	err = unix.Fsetxattr(int(f.Fd()), attribute, text, 0)
	if err == nil || len(p.Metadata) == 0 {
		return nil //nolint:nilerr // dropped, see above
	}
	return fmt.Errorf("metadata of blobs is %w: %w", errNoWrite, err)
}

// readProperties never fails: a file that someone else wrote has none.
func readProperties(f *os.File) properties {
	p := defaultProperties()
	buf := make([]byte, 512)
	for len(buf) <= maxAttribute {
		n, err := unix.Fgetxattr(int(f.Fd()), attribute, buf)
		if errors.Is(err, unix.ERANGE) {
			buf = make([]byte, 8*len(buf))
			continue
		}
		var stored properties
		if err == nil && json.Unmarshal(buf[:n], &stored) == nil {
			if stored.ContentType == "" {
				stored.ContentType = defaultContentType
			}
			return stored
		}
		break
	}
	return p
}
