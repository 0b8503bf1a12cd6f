package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// bucket is a directory as a driver.Bucket.
type bucket struct {
	root *os.Root
}

// leftoverAge is how old an unfinished write must be before it counts as left
// behind by a process that died. A live one touches its file more often.
const leftoverAge = 24 * time.Hour

// openBucket opens a directory, which must exist, and removes what crashed
// writers left in it long ago.
func openBucket(dir string) (*bucket, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	b := &bucket{root: root}
	b.removeLeftovers(time.Now().Add(-leftoverAge))
	return b, nil
}

// removeLeftovers removes unfinished writes that nobody has touched since. It
// is a courtesy: what can't be removed stays, and is invisible all the same.
func (b *bucket) removeLeftovers(before time.Time) {
	info, err := b.root.Lstat(workDir)
	if err != nil || !info.IsDir() {
		return
	}
	dir, err := b.root.Open(workDir)
	if err != nil {
		return
	}
	defer dir.Close() //nolint:errcheck // opened for reading only
	for {
		entries, err := dir.ReadDir(256)
		for _, e := range entries {
			info, err := e.Info()
			if err == nil && strings.HasSuffix(e.Name(), tempSuffix) && info.Mode().IsRegular() && info.ModTime().Before(before) {
				_ = b.root.Remove(workDir + "/" + e.Name())
			}
		}
		if err != nil {
			return
		}
	}
}

var (
	errSymlink  = errors.New("is a symbolic link, which is not followed below the root of a bucket")
	errNotPlain = errors.New("is not a regular file")
	errConflict = errors.New("the blob that is there is not the expected one")
	errNoWrite  = errors.New("not supported on this file system")
)

// locate returns the path of a key. It fails if a symbolic link stands on the
// way. (Should someone put one there at this very moment, the root still does
// not let it lead out.)
func (b *bucket) locate(key string) (string, error) {
	name, err := encodeKey(key)
	if err != nil {
		return "", err
	}
	for i := strings.IndexByte(name, '/'); i >= 0; {
		info, err := b.root.Lstat(name[:i])
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return "", fmt.Errorf("%q %w", name[:i], errSymlink)
		}
		next := strings.IndexByte(name[i+1:], '/')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return name, nil
}

// open opens the blob of a key for reading.
func (b *bucket) open(key string) (*os.File, fs.FileInfo, error) {
	name, err := b.locate(key)
	if err != nil {
		return nil, nil, err
	}
	info, err := b.root.Lstat(name)
	switch {
	case errors.Is(err, errNotDir):
		return nil, nil, fs.ErrNotExist // a parent is a blob, so this one is absent
	case err != nil:
		return nil, nil, err
	case info.IsDir():
		return nil, nil, fs.ErrNotExist
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, nil, fmt.Errorf("%q %w", name, errSymlink)
	}
	f, err := b.root.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%q %w", name, errNotPlain)
	}
	if err != nil {
		f.Close() //nolint:errcheck // opened for reading only
		return nil, nil, err
	}
	return f, info, nil
}

// etag tells two writes of a key apart: each is a file of its own.
func etag(info fs.FileInfo) string {
	return fmt.Sprintf("\"%x-%x-%x\"", info.ModTime().UnixNano(), info.Size(), inode(info))
}

// Attributes implements driver.Bucket.
func (b *bucket) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, info, err := b.open(key)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading only
	p := readProperties(f)
	return &driver.Attributes{
		CacheControl:       p.CacheControl,
		ContentDisposition: p.ContentDisposition,
		ContentEncoding:    p.ContentEncoding,
		ContentLanguage:    p.ContentLanguage,
		ContentType:        p.ContentType,
		Metadata:           p.Metadata,
		ModTime:            info.ModTime(),
		Size:               info.Size(),
		ETag:               etag(info),
		AsFunc:             asFileInfo(info),
	}, nil
}

func asFileInfo(info fs.FileInfo) func(any) bool {
	return func(i any) bool {
		p, ok := i.(*fs.FileInfo)
		if ok {
			*p = info
		}
		return ok
	}
}

// NewRangeReader implements driver.Bucket.
func (b *bucket) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, info, err := b.open(key)
	if err != nil {
		return nil, err
	}
	if opts.BeforeRead != nil {
		err = opts.BeforeRead(func(any) bool { return false })
	}
	if err == nil && offset > 0 {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err != nil {
		f.Close() //nolint:errcheck // opened for reading only
		return nil, err
	}
	r := &reader{ctx: ctx, file: f, in: f, attrs: driver.ReaderAttributes{
		ContentType: readProperties(f).ContentType,
		ModTime:     info.ModTime(),
		Size:        info.Size(),
	}}
	if length >= 0 {
		r.in = io.LimitReader(f, length)
	}
	return r, nil
}

type reader struct {
	ctx   context.Context
	file  *os.File
	in    io.Reader
	attrs driver.ReaderAttributes
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.in.Read(p)
}

func (r *reader) Close() error                         { return r.file.Close() }
func (r *reader) Attributes() *driver.ReaderAttributes { return &r.attrs }
func (r *reader) As(any) bool                          { return false }

// Copy implements driver.Bucket.
func (b *bucket) Copy(ctx context.Context, dstKey, srcKey string, opts *driver.CopyOptions) error {
	f, _, err := b.open(srcKey)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // opened for reading only
	if opts.BeforeCopy != nil {
		if err := opts.BeforeCopy(func(any) bool { return false }); err != nil {
			return err
		}
	}
	w, err := b.newWriter(ctx, dstKey, readProperties(f), &driver.WriterOptions{})
	if err != nil {
		return err
	}
	if err := w.Upload(f); err != nil {
		w.Close() //nolint:errcheck // the first error is the one that counts
		return err
	}
	return w.Close()
}

// Delete implements driver.Bucket. Directories that become empty by it are removed too.
func (b *bucket) Delete(ctx context.Context, key string, opts *driver.DeleteOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if opts.BeforeDelete != nil {
		if err := opts.BeforeDelete(func(any) bool { return false }); err != nil {
			return err
		}
	}
	name, err := b.locate(key)
	if err != nil {
		return err
	}
	info, err := b.root.Lstat(name)
	switch {
	case errors.Is(err, errNotDir):
		return fs.ErrNotExist
	case err != nil:
		return err
	case info.IsDir():
		return fs.ErrNotExist
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%q %w", name, errSymlink)
	}
	if err := b.unlink(name); err != nil {
		return err
	}
	if err := b.syncDir(path.Dir(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b.prune(path.Dir(name))
	return nil
}

// prune removes dir and its parents as far as they are empty. A writer that
// loses its directory by it makes it again.
func (b *bucket) prune(dir string) {
	for ; dir != "." && dir != workDir; dir = path.Dir(dir) {
		if b.rmdir(dir) != nil {
			return
		}
	}
}

// syncDir makes what was done in a directory survive a crash of the machine.
func (b *bucket) syncDir(name string) error {
	if !syncDirs {
		return nil
	}
	d, err := b.root.Open(name)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(ignoreUnsupported(err), d.Close())
}

// ErrorCode implements driver.Bucket.
func (b *bucket) ErrorCode(err error) gcerrors.ErrorCode {
	switch {
	case errors.Is(err, errConflict):
		return gcerrors.FailedPrecondition
	case errors.Is(err, errNoWrite):
		return gcerrors.Unimplemented
	case errors.Is(err, errKey), errors.Is(err, errSymlink), errors.Is(err, errNotPlain), errors.Is(err, errNotDir), errors.Is(err, errIsDir):
		return gcerrors.InvalidArgument
	case errors.Is(err, fs.ErrNotExist):
		return gcerrors.NotFound
	case errors.Is(err, fs.ErrPermission):
		return gcerrors.PermissionDenied
	case errors.Is(err, context.Canceled):
		return gcerrors.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return gcerrors.DeadlineExceeded
	}
	return gcerrors.Unknown
}

// As implements driver.Bucket.
func (b *bucket) As(any) bool { return false }

// ErrorAs implements driver.Bucket.
func (b *bucket) ErrorAs(err error, i any) bool {
	var pathError *fs.PathError
	p, ok := i.(**fs.PathError)
	if ok && errors.As(err, &pathError) {
		*p = pathError
		return true
	}
	return false
}

// SignedURL implements driver.Bucket: a directory has none.
func (b *bucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errNoWrite
}

// Close implements driver.Bucket.
func (b *bucket) Close() error { return b.root.Close() }
