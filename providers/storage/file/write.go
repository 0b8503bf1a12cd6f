package file

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"gocloud.dev/blob/driver"

	"github.com/panelmatch/panelmatch/engine/blob"
)

const (
	tempSuffix = ".tmp"
	lockName   = workDir + "/lock"

	// Directories and files are made with all permissions that the process's umask leaves.
	dirMode  = 0o777
	fileMode = 0o666
)

// NewTypedWriter implements driver.Bucket.
func (b *bucket) NewTypedWriter(ctx context.Context, key, contentType string, opts *driver.WriterOptions) (driver.Writer, error) {
	return b.newWriter(ctx, key, properties{
		ContentType:        contentType,
		CacheControl:       opts.CacheControl,
		ContentDisposition: opts.ContentDisposition,
		ContentEncoding:    opts.ContentEncoding,
		ContentLanguage:    opts.ContentLanguage,
		Metadata:           opts.Metadata,
	}, opts)
}

func (b *bucket) newWriter(ctx context.Context, key string, p properties, opts *driver.WriterOptions) (*writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name, err := b.locate(key)
	if err != nil {
		return nil, err
	}
	w := &writer{bucket: b, ctx: ctx, name: name, properties: p, ifAbsent: opts.IfNotExist}
	if opts.BeforeWrite != nil {
		err := opts.BeforeWrite(func(i any) bool {
			c, ok := i.(**blob.WriteCondition)
			if !ok || !canLock {
				return false
			}
			*c = &w.condition
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	if w.file, w.temp, err = b.createTemp(); err != nil {
		return nil, err
	}
	if err := writeProperties(w.file, p); err != nil {
		w.discard()
		return nil, err
	}
	return w, nil
}

// createTemp makes a file of a new name in the work directory.
func (b *bucket) createTemp() (*os.File, string, error) {
	var id [12]byte
	rand.Read(id[:]) //nolint:errcheck // never fails
	name := workDir + "/" + hex.EncodeToString(id[:]) + tempSuffix
	f, err := b.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if errors.Is(err, fs.ErrNotExist) {
		if err = b.root.Mkdir(workDir, dirMode); err == nil || errors.Is(err, fs.ErrExist) {
			f, err = b.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
		}
	}
	return f, name, err
}

// writer writes to a file in the work directory, which becomes the blob when
// all is on disk.
type writer struct {
	bucket     *bucket
	ctx        context.Context
	name       string // of the blob, relative to the root
	temp       string // of the file that is written
	file       *os.File
	properties properties
	ifAbsent   bool
	condition  blob.WriteCondition
	err        error // the first one; it keeps Close from committing
}

// Write implements driver.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.file.Write(p)
	w.err = err
	return n, err
}

// copyBuffer is how much Upload moves at once.
const copyBuffer = 256 << 10

// Upload implements driver.Uploader.
func (w *writer) Upload(r io.Reader) error {
	buf := make([]byte, copyBuffer)
	// Hidden from io.CopyBuffer, both ends might do without the buffer, and without looking at the context.
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, buf)
	if w.err == nil {
		w.err = err
	}
	return err
}

// Close implements driver.Writer: it commits, or removes what has been written.
func (w *writer) Close() error {
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	if w.err != nil {
		w.discard()
		return w.err
	}
	err := w.file.Sync()
	err = errors.Join(err, w.file.Close())
	if err == nil {
		err = w.ctx.Err()
	}
	if err == nil {
		err = w.commit()
	}
	if err != nil {
		w.err = err
		_ = w.bucket.root.Remove(w.temp)
	}
	return err
}

func (w *writer) discard() {
	w.file.Close() //nolint:errcheck // its bytes are not wanted
	_ = w.bucket.root.Remove(w.temp)
}

// commit puts the file in its place. A Delete nearby may remove the directory
// between its making and its use, hence the loop.
func (w *writer) commit() error {
	const tries = 100
	var err error
	for range tries {
		if err = w.bucket.mkdirAll(path.Dir(w.name)); err == nil {
			err = w.place()
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return explain(err, w.name)
	}
	return w.bucket.syncDir(path.Dir(w.name))
}

// place moves the file to its name, or fails and leaves both as they are.
func (w *writer) place() error {
	root := w.bucket.root
	switch {
	case w.ifAbsent:
		// Only link(2) both refuses to replace and is one step, also between machines.
		err := root.Link(w.temp, w.name)
		switch {
		case errors.Is(err, fs.ErrExist):
			return fmt.Errorf("%w: there is one", errConflict)
		case isUnsupported(err):
			return fmt.Errorf("a write that must not replace is %w", errNoWrite)
		case err != nil:
			return err
		}
		_ = root.Remove(w.temp) // else it goes with the leftovers
		return nil
	case w.condition.IfVersion != "":
		unlock, err := w.bucket.lock()
		if err != nil {
			return err
		}
		defer unlock()
		info, err := root.Lstat(w.name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err != nil || etag(info) != w.condition.IfVersion {
			return errConflict
		}
	}
	return root.Rename(w.temp, w.name)
}

// mkdirAll makes a directory with its parents, and has them survive a crash.
func (b *bucket) mkdirAll(dir string) error {
	if dir == "." {
		return nil
	}
	info, err := b.root.Lstat(dir)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil && info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%q %w", dir, errSymlink)
	case err == nil:
		return fmt.Errorf("%q is a blob, so there can be none below it: %w", dir, errNotDir)
	}
	parent := path.Dir(dir)
	if err := b.mkdirAll(parent); err != nil {
		return err
	}
	if err := b.root.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return b.syncDir(parent)
}

// explain says what the system's error means here.
func explain(err error, name string) error {
	switch {
	case errors.Is(err, errIsDir), errors.Is(err, errNotEmpty), errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%q is a directory with blobs in it, so it can't be a blob: %w", name, errIsDir)
	case errors.Is(err, errCrossDevice):
		first, _, _ := strings.Cut(name, "/")
		return fmt.Errorf("%q is on another file system than the root of the bucket, so a write would not be atomic; "+
			"mount the whole bucket, or give %q a storage of its own: %w", name, first, err)
	}
	return err
}
