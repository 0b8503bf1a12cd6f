// Package keyfile reads and makes files that hold a key: for this user alone,
// and whole or not there at all. Local providers for development keep their
// keys so.
//
// It is not for secrets that a manifest refers to: those are resolved by the
// engine, and who mounts them decides about their modes.
package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// maxSize bounds what is read, in bytes. Keys and keysets are much smaller.
const maxSize = 1 << 20

// ErrPermissive says that somebody else than the owner may read the file.
var ErrPermissive = errors.New("others than its owner may use it")

// Read returns the content of a file that only its owner may use. A file with
// permissions for group or others fails with ErrPermissive, an absent one with
// fs.ErrNotExist. Where files have no such permissions (Windows) they are not
// looked at.
func Read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading only
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", name)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s has mode %04o, %w; run: chmod 600 %s", name, mode, ErrPermissive, name)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSize {
		return nil, fmt.Errorf("%s is larger than %d bytes, too large for a key", name, maxSize)
	}
	return b, nil
}

// Create writes a new file of mode 0600. Nobody ever sees a part of it, and it
// never replaces a file: if there is one by then, Create fails with
// fs.ErrExist and changes nothing. So of two processes that race one wins, and
// the other reads what the first wrote. Missing directories are made with mode
// 0700.
func Create(name string, data []byte) (err error) {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// os.CreateTemp makes files of mode 0600.
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(name)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp.Name())) }()
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	// A link, not a rename: it refuses to replace.
	if err := os.Link(tmp.Name(), name); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s: %w", name, fs.ErrExist)
		}
		return err
	}
	return syncDir(dir)
}

// syncDir makes a new directory entry survive a crash, where that is possible.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
