package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"gocloud.dev/blob"

	"github.com/panelmatch/panelmatch/engine/provider"
)

// contentType is what every blob is written with; the reference writes the same.
const contentType = "application/octet-stream"

// Condition is what must hold for a conditional write. The zero Condition always holds.
type Condition struct {
	// IfAbsent: there is no blob of that key.
	IfAbsent bool
	// IfVersion: the blob is there and its Info.Version is this one.
	IfVersion string
}

// WriteCondition is how a Store asks a driver for a write that depends on the
// version that is there. A driver that can do it takes a **WriteCondition in
// the As function of BeforeWrite, points it to one of its own, and looks at it
// when it commits: if the version (the ETag of driver.Attributes) of what is
// there is not IfVersion, or there is nothing, it refuses with
// gcerrors.FailedPrecondition. Look and commit must be one step for all
// writers that use conditions.
type WriteCondition struct {
	IfVersion string
}

// Put writes a whole blob, read from src to its end, in place of the one that
// may be there. Readers see the old blob or the new one. If Put fails (src
// fails, the context ends, the blob exceeds the limit) nothing has changed; only
// after ErrTransient may the write have happened all the same.
//
// Put is retried if src can seek; it then begins again where src stood.
func (s *Store) Put(ctx context.Context, key string, src io.Reader) error {
	return s.PutIf(ctx, key, src, Condition{})
}

// PutBytes is Put for bytes in memory.
func (s *Store) PutBytes(ctx context.Context, key string, data []byte) error {
	return s.Put(ctx, key, bytes.NewReader(data))
}

// PutIf is Put, if the condition holds when the write commits; else it fails
// with ErrConflict. A storage that can't make such a write without a race fails
// with ErrUnsupported before anything is written. A conditional write is not
// retried, because it could be refused for its own first success.
func (s *Store) PutIf(ctx context.Context, key string, src io.Reader, cond Condition) error {
	path, err := s.path("write", key)
	if err != nil {
		return err
	}
	if cond.IfAbsent && cond.IfVersion != "" {
		return fmt.Errorf("write %q: a condition is either of absence or of a version", clip(key))
	}
	seeker, ok := src.(io.Seeker)
	var begin int64
	if ok {
		if begin, err = seeker.Seek(0, io.SeekCurrent); err != nil {
			ok = false
		}
	}
	if !ok || cond != (Condition{}) {
		return s.wrap(ctx, "write", key, guard(ctx, func(ctx context.Context) error {
			srcErr, err := s.upload(ctx, path, src, cond)
			return errors.Join(srcErr, err)
		}))
	}
	var srcErr error
	err = s.retry(ctx, "write", key, func(ctx context.Context) (err error) {
		// The source's fault is no reason to ask the storage again.
		if _, srcErr = seeker.Seek(begin, io.SeekStart); srcErr == nil {
			srcErr, err = s.upload(ctx, path, src, cond)
		}
		return err
	})
	if srcErr != nil {
		return s.wrap(ctx, "write", key, srcErr)
	}
	return err
}

// upload writes once. If the source fails, that is the first error, and the second is nil.
func (s *Store) upload(ctx context.Context, path string, src io.Reader, cond Condition) (srcErr, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := &source{in: src, abort: cancel, limit: s.opts.WriteLimit, observer: s.opts.Observer}
	opts := &blob.WriterOptions{ContentType: contentType, IfNotExist: cond.IfAbsent}
	if cond.IfVersion != "" {
		opts.BeforeWrite = func(as func(any) bool) error {
			var c *WriteCondition
			if !as(&c) {
				return fmt.Errorf("%w: a write that depends on the version that is there", ErrUnsupported)
			}
			c.IfVersion = cond.IfVersion
			return nil
		}
	}
	// Only through Upload: with other ways of writing one driver panics when a write fails.
	err = s.bucket.Upload(ctx, path, in, opts)
	if in.err != nil {
		return in.err, nil
	}
	return nil, err
}

// source is what a driver reads from. When it fails it first cancels the
// write: a driver that only saw the reader end would commit half a blob.
type source struct {
	in       io.Reader
	abort    context.CancelFunc
	limit    int64
	observer Observer
	read     int64
	err      error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.in.Read(p)
	s.read += int64(n)
	if s.observer != nil && n > 0 {
		s.observer.BytesWritten(n)
	}
	if s.limit > 0 && s.read > s.limit {
		n, err = 0, fmt.Errorf("%w: it has more than %d bytes", provider.ErrTooLarge, s.limit)
	}
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader's contract is the bare value
		s.err = err
		s.abort()
	}
	return n, err
}

// Create begins a blob that is written piece by piece. Nothing of it can be
// seen until Close returns nil. Always defer Abort, which does nothing after
// Close:
//
//	w, err := store.Create(ctx, key)
//	if err != nil {
//		return err
//	}
//	defer w.Abort()
//	...
//	return w.Close()
//
// Small writes are slow; put a buffer in front.
func (s *Store) Create(ctx context.Context, key string) (*Writer, error) {
	return s.CreateIf(ctx, key, Condition{})
}

// CreateIf is Create with a condition for Close, see PutIf.
func (s *Store) CreateIf(ctx context.Context, key string, cond Condition) (*Writer, error) {
	if _, err := s.path("write", key); err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	out := &Writer{store: s, key: key, ctx: ctx, cancel: cancel, pipe: w, done: make(chan struct{})}
	go func() {
		defer close(out.done)
		// Hidden behind a type without Seek, so that it is not taken for something to rewind.
		out.err = s.PutIf(ctx, key, struct{ io.Reader }{r}, cond)
		cause := out.err
		if cause == nil {
			cause = errWriterClosed
		}
		r.CloseWithError(cause) //nolint:errcheck // never fails
	}()
	return out, nil
}

var (
	errWriterClosed = errors.New("the writer is closed")
	errAborted      = errors.New("the write was given up")
)

// Writer writes one blob. It is for one goroutine at a time.
type Writer struct {
	store  *Store
	key    string
	ctx    context.Context
	cancel context.CancelFunc
	pipe   *io.PipeWriter
	done   chan struct{}
	err    error // of the upload; read only after done
	size   int64
}

// Write adds to the blob. An error is final, and Close returns it too.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.pipe.Write(p)
	w.size += int64(n)
	return n, err
}

// Size returns how many bytes have been written.
func (w *Writer) Size() int64 { return w.size }

// Close commits the blob. If it fails, nothing has changed (but see Put on ErrTransient).
func (w *Writer) Close() error {
	w.pipe.Close() //nolint:errcheck // never fails
	<-w.done
	w.cancel()
	return w.err
}

// Abort gives the blob up, unless Close has been called. Nothing of it remains.
func (w *Writer) Abort() {
	select {
	case <-w.done:
	default:
		w.cancel()
		w.pipe.CloseWithError(errAborted) //nolint:errcheck // never fails
		<-w.done
	}
}
