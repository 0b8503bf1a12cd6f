package mem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/panelmatch/panelmatch/engine/blob"
)

// gocloud.dev has such a driver. Its buckets can't be shared by name, and it
// has no writes that depend on a version.

// space is the blobs of one name.
type space struct {
	mu    sync.RWMutex
	blobs map[string]*object
	next  uint64 // version of the next write
}

// object is one version of a blob; it never changes.
type object struct {
	data    []byte
	version uint64
	modTime time.Time
	attrs   driver.Attributes // without what is above
}

func newSpace() *space { return &space{blobs: map[string]*object{}} }

func (s *space) get(key string) (*object, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, ok := s.blobs[key]
	if !ok {
		return nil, errNotFound
	}
	return o, nil
}

// put stores o unless the conditions forbid it.
func (s *space) put(key string, o *object, ifAbsent bool, ifVersion string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.blobs[key]
	if ifAbsent && ok || ifVersion != "" && (!ok || old.etag() != ifVersion) {
		return errConflict
	}
	s.next++
	o.version = s.next
	s.blobs[key] = o
	return nil
}

func (o *object) etag() string { return fmt.Sprintf("\"%d\"", o.version) }

var (
	errNotFound    = errors.New("no such blob")
	errConflict    = errors.New("the blob that is there is not the expected one")
	errUnsupported = errors.New("not supported by storage in memory")
	errEmptyKey    = errors.New("the key is empty")
)

// bucket is a driver.Bucket.
type bucket struct{ space *space }

// Attributes implements driver.Bucket.
func (b *bucket) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o, err := b.space.get(key)
	if err != nil {
		return nil, err
	}
	a := o.attrs
	a.Metadata = maps.Clone(a.Metadata)
	a.ModTime, a.Size, a.ETag = o.modTime, int64(len(o.data)), o.etag()
	return &a, nil
}

// ListPaged implements driver.Bucket.
func (b *bucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	if opts.BeforeList != nil {
		if err := opts.BeforeList(noAs); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	size := opts.PageSize
	if size <= 0 {
		size = 1000
	}
	b.space.mu.RLock()
	defer b.space.mu.RUnlock()
	after := string(opts.PageToken)
	page := &driver.ListPage{}
	for _, key := range slices.Sorted(maps.Keys(b.space.blobs)) {
		rest, ok := strings.CutPrefix(key, opts.Prefix)
		if !ok {
			continue
		}
		found := &driver.ListObject{Key: key}
		if i := strings.Index(rest, opts.Delimiter); opts.Delimiter != "" && i >= 0 {
			found.Key, found.IsDir = opts.Prefix+rest[:i+len(opts.Delimiter)], true
		} else {
			o := b.space.blobs[key]
			found.ModTime, found.Size = o.modTime, int64(len(o.data))
		}
		n := len(page.Objects)
		if after != "" && found.Key <= after || n > 0 && page.Objects[n-1].Key == found.Key {
			continue
		}
		if n == size {
			page.NextPageToken = []byte(page.Objects[n-1].Key)
			break
		}
		page.Objects = append(page.Objects, found)
	}
	return page, nil
}

// NewRangeReader implements driver.Bucket. The reader stays with the version that is there now.
func (b *bucket) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o, err := b.space.get(key)
	if err != nil {
		return nil, err
	}
	if opts.BeforeRead != nil {
		if err := opts.BeforeRead(noAs); err != nil {
			return nil, err
		}
	}
	data := o.data[min(offset, int64(len(o.data))):]
	if length >= 0 {
		data = data[:min(length, int64(len(data)))]
	}
	return &reader{ctx: ctx, in: bytes.NewReader(data), attrs: driver.ReaderAttributes{
		ContentType: o.attrs.ContentType, ModTime: o.modTime, Size: int64(len(o.data)),
	}}, nil
}

type reader struct {
	ctx   context.Context
	in    *bytes.Reader
	attrs driver.ReaderAttributes
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.in.Read(p)
}

func (r *reader) Close() error                         { return nil }
func (r *reader) Attributes() *driver.ReaderAttributes { return &r.attrs }
func (r *reader) As(any) bool                          { return false }

// NewTypedWriter implements driver.Bucket.
func (b *bucket) NewTypedWriter(ctx context.Context, key, contentType string, opts *driver.WriterOptions) (driver.Writer, error) {
	if key == "" {
		return nil, errEmptyKey
	}
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	w := &writer{space: b.space, ctx: ctx, key: key, ifAbsent: opts.IfNotExist, attrs: driver.Attributes{
		ContentType:        contentType,
		CacheControl:       opts.CacheControl,
		ContentDisposition: opts.ContentDisposition,
		ContentEncoding:    opts.ContentEncoding,
		ContentLanguage:    opts.ContentLanguage,
		Metadata:           maps.Clone(opts.Metadata),
	}}
	if opts.BeforeWrite != nil {
		err := opts.BeforeWrite(func(i any) bool {
			c, ok := i.(**blob.WriteCondition)
			if ok {
				*c = &w.condition
			}
			return ok
		})
		if err != nil {
			return nil, err
		}
	}
	return w, nil
}

type writer struct {
	space     *space
	ctx       context.Context
	key       string
	attrs     driver.Attributes
	ifAbsent  bool
	condition blob.WriteCondition
	buf       bytes.Buffer
	err       error
}

func (w *writer) Write(p []byte) (int, error) {
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	if w.err != nil {
		return 0, w.err
	}
	return w.buf.Write(p)
}

// Upload implements driver.Uploader. A source that fails keeps Close from committing.
func (w *writer) Upload(r io.Reader) error {
	_, err := w.buf.ReadFrom(r)
	if w.err == nil {
		w.err = err
	}
	return err
}

func (w *writer) Close() error {
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	if w.err != nil {
		return w.err
	}
	o := &object{data: w.buf.Bytes(), modTime: time.Now(), attrs: w.attrs}
	return w.space.put(w.key, o, w.ifAbsent, w.condition.IfVersion)
}

// Copy implements driver.Bucket.
func (b *bucket) Copy(ctx context.Context, dstKey, srcKey string, opts *driver.CopyOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if opts.BeforeCopy != nil {
		if err := opts.BeforeCopy(noAs); err != nil {
			return err
		}
	}
	o, err := b.space.get(srcKey)
	if err != nil {
		return err
	}
	return b.space.put(dstKey, &object{data: o.data, modTime: time.Now(), attrs: o.attrs}, false, "")
}

// Delete implements driver.Bucket.
func (b *bucket) Delete(ctx context.Context, key string, opts *driver.DeleteOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if opts.BeforeDelete != nil {
		if err := opts.BeforeDelete(noAs); err != nil {
			return err
		}
	}
	b.space.mu.Lock()
	defer b.space.mu.Unlock()
	if _, ok := b.space.blobs[key]; !ok {
		return errNotFound
	}
	delete(b.space.blobs, key)
	return nil
}

// ErrorCode implements driver.Bucket.
func (b *bucket) ErrorCode(err error) gcerrors.ErrorCode {
	switch {
	case errors.Is(err, errNotFound):
		return gcerrors.NotFound
	case errors.Is(err, errConflict):
		return gcerrors.FailedPrecondition
	case errors.Is(err, errUnsupported):
		return gcerrors.Unimplemented
	case errors.Is(err, errEmptyKey):
		return gcerrors.InvalidArgument
	case errors.Is(err, context.Canceled):
		return gcerrors.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return gcerrors.DeadlineExceeded
	}
	return gcerrors.Unknown
}

func noAs(any) bool { return false }

// As implements driver.Bucket.
func (b *bucket) As(any) bool { return false }

// ErrorAs implements driver.Bucket.
func (b *bucket) ErrorAs(error, any) bool { return false }

// SignedURL implements driver.Bucket: memory has none.
func (b *bucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errUnsupported
}

// Close implements driver.Bucket. The blobs stay for other buckets of the name.
func (b *bucket) Close() error { return nil }
