//go:build !linux && !darwin && !freebsd

package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Here there is no sync of directories, no lock, no extended attribute, and no
// removal that tells files from directories; what needs them is left out.
const (
	openFlags = 0
	syncDirs  = false
	canLock   = false
)

var (
	errNotDir      error = syscall.ENOTDIR
	errIsDir       error = syscall.EISDIR
	errNotEmpty    error = syscall.ENOTEMPTY
	errCrossDevice error = syscall.EXDEV
)

func isUnsupported(err error) bool { return errors.Is(err, errors.ErrUnsupported) }

func ignoreUnsupported(err error) error { return err }

func inode(fs.FileInfo) uint64 { return 0 }

func (b *bucket) unlink(name string) error { return b.root.Remove(name) }

func (b *bucket) rmdir(string) error { return errNoWrite }

func (b *bucket) lock() (func(), error) { return nil, errNoWrite }

func writeProperties(_ *os.File, p properties) error {
	if len(p.Metadata) > 0 {
		return fmt.Errorf("metadata of blobs is %w", errNoWrite)
	}
	return nil
}

func readProperties(*os.File) properties { return defaultProperties() }
