package blob_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	gocloud "gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/panelmatch/panelmatch/engine/blob"
)

// faulty is a driver that holds blobs in memory and fails as it is told.
type faulty struct {
	mu    sync.Mutex
	blobs map[string][]byte
	// fail is asked before each operation (attributes, read, write, commit, delete, list); an error, or a
	// panic, is the operation's.
	fail func(op string) error
	// lie is added to every size that is told.
	lie int64
	// body wraps what a read returns.
	body  func(context.Context, io.Reader) io.Reader
	calls map[string]int
}

var errGone = errors.New("gone")

func (f *faulty) begin(op string) error {
	f.mu.Lock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[op]++
	f.mu.Unlock()
	if f.fail == nil {
		return nil
	}
	return f.fail(op)
}

func (f *faulty) get(key string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.blobs[key]
	if !ok {
		return nil, errGone
	}
	return b, nil
}

func (f *faulty) Attributes(_ context.Context, key string) (*driver.Attributes, error) {
	if err := f.begin("attributes"); err != nil {
		return nil, err
	}
	b, err := f.get(key)
	if err != nil {
		return nil, err
	}
	return &driver.Attributes{Size: int64(len(b)) + f.lie, ModTime: time.Unix(1, 0), ETag: `"1"`, ContentType: "text"}, nil
}

func (f *faulty) ListPaged(context.Context, *driver.ListOptions) (*driver.ListPage, error) {
	return &driver.ListPage{}, f.begin("list")
}

type reader struct {
	io.Reader
	size int64
}

func (reader) Close() error { return nil }
func (r reader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{Size: r.size, ContentType: "text"}
}
func (reader) As(any) bool { return false }

func (f *faulty) NewRangeReader(ctx context.Context, key string, _, _ int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	if err := f.begin("read"); err != nil {
		return nil, err
	}
	b, err := f.get(key)
	if err != nil {
		return nil, err
	}
	var in io.Reader = &slice{b}
	if f.body != nil {
		in = f.body(ctx, in)
	}
	return reader{in, int64(len(b)) + f.lie}, nil
}

// slice reads bytes, and nothing else of what bytes.Reader can.
type slice struct{ b []byte }

func (s *slice) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.b)
	s.b = s.b[n:]
	return n, nil
}

type writer struct {
	f   *faulty
	ctx context.Context
	key string
	b   []byte
}

func (w *writer) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// Close commits whatever has been written unless the context has ended, as the
// drivers of object stores do.
func (w *writer) Close() error {
	if err := w.f.begin("commit"); err != nil {
		return err
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	if w.f.blobs == nil {
		w.f.blobs = map[string][]byte{}
	}
	w.f.blobs[w.key] = w.b
	return nil
}

func (f *faulty) NewTypedWriter(ctx context.Context, key, _ string, opts *driver.WriterOptions) (driver.Writer, error) {
	if opts.BeforeWrite != nil {
		if err := opts.BeforeWrite(func(any) bool { return false }); err != nil {
			return nil, err
		}
	}
	return &writer{f: f, ctx: ctx, key: key}, f.begin("write")
}

func (f *faulty) Delete(_ context.Context, key string, _ *driver.DeleteOptions) error {
	if err := f.begin("delete"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.blobs, key)
	return nil
}

func (f *faulty) ErrorCode(err error) gcerrors.ErrorCode {
	var c code
	switch {
	case errors.As(err, &c):
		return c.code
	case errors.Is(err, errGone):
		return gcerrors.NotFound
	}
	return gcerrors.Unknown
}

// code is a driver's error with a code.
type code struct{ code gcerrors.ErrorCode }

func (c code) Error() string { return "the driver says " + c.code.String() }

func (f *faulty) Copy(context.Context, string, string, *driver.CopyOptions) error {
	return errors.ErrUnsupported
}

func (f *faulty) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errors.ErrUnsupported
}
func (f *faulty) As(any) bool             { return false }
func (f *faulty) ErrorAs(error, any) bool { return false }
func (f *faulty) Close() error            { return nil }

// store returns a Store on f whose pauses are noted and not waited for.
func (f *faulty) store(t *testing.T, opts blob.Options) (s *blob.Store, pauses *[]time.Duration) {
	t.Helper()
	pauses = new([]time.Duration)
	if opts.Retry.Sleep == nil {
		opts.Retry.Sleep = func(_ context.Context, d time.Duration) error {
			*pauses = append(*pauses, d)
			return nil
		}
	}
	if opts.Retry.Budget == 0 {
		opts.Retry.Budget = time.Hour
	}
	bucket := gocloud.NewBucket(f)
	t.Cleanup(func() { bucket.Close() })
	s, err := blob.NewStore(bucket, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s, pauses
}

// failing returns a fail function that fails the first n operations named op.
func failing(op string, n int, err error) func(string) error {
	return func(o string) error {
		if o != op || n <= 0 {
			return nil
		}
		n--
		return err
	}
}
