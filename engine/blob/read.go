package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gocloud.dev/blob"

	"github.com/panelmatch/panelmatch/engine/provider"
)

// Get opens a blob for reading. An absent one fails with ErrNotFound, one that
// is larger than the store's limit with ErrTooLarge before a byte is read. The
// context is for all reads to come. Close the Reader.
//
// Opening is retried. Reading is not: a fault in the midst fails with
// ErrTransient, and who reads begins again with Get. Use Fetch to have that
// done, for bytes that must be checked before they are used.
func (s *Store) Get(ctx context.Context, key string) (*Reader, error) {
	var r *Reader
	err := s.retry(ctx, "read", key, func(ctx context.Context) (err error) {
		r, err = s.open(ctx, key, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Fetch reads a whole blob into a spool, and is retried as a whole. Close the Spool.
func (s *Store) Fetch(ctx context.Context, key string, scratch Scratch) (*Spool, error) {
	var spool *Spool
	err := s.retry(ctx, "read", key, func(ctx context.Context) error {
		r, err := s.open(ctx, key, 0)
		if err != nil {
			return err
		}
		defer r.Close() //nolint:errcheck // opened for reading only
		spool = NewSpool(scratch)
		if _, err := io.Copy(spool, r); err != nil {
			spool.Close() //nolint:errcheck // the read's error is the one that counts
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return spool, nil
}

// open opens a blob of at most limit bytes (0: the store's own limit).
func (s *Store) open(ctx context.Context, key string, limit int64) (*Reader, error) {
	path, err := s.path("read", key)
	if err != nil {
		return nil, err
	}
	if own := s.opts.ReadLimit; limit == 0 || own > 0 && own < limit {
		limit = own
	}
	r := &Reader{store: s, key: key, caller: ctx, limit: limit}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	if s.opts.IdleTimeout > 0 {
		r.idle = time.AfterFunc(s.opts.IdleTimeout, func() { r.cancel(errIdle) })
	}
	r.in, err = s.bucket.NewReader(r.ctx, path, nil) //nolint:contextcheck // it is a child of ctx
	r.stopIdle()
	if err != nil {
		err = r.fault(err)
		r.cancel(nil)
		return nil, err
	}
	if limit > 0 && r.in.Size() > limit {
		r.Close() //nolint:errcheck // opened for reading only
		return nil, fmt.Errorf("%w: it has %d bytes, and the limit is %d", provider.ErrTooLarge, r.in.Size(), limit)
	}
	return r, nil
}

var errIdle = fmt.Errorf("%w: no byte came for too long", provider.ErrTransient)

// Reader reads one blob. It is for one goroutine at a time.
type Reader struct {
	store  *Store
	key    string
	caller context.Context // the caller's, to tell its end from a timeout of ours
	ctx    context.Context
	cancel context.CancelCauseFunc
	in     *blob.Reader
	idle   *time.Timer
	limit  int64
	read   int64
	err    error
}

// Size returns how many bytes the blob had when it was opened.
func (r *Reader) Size() int64 { return r.in.Size() }

// ModTime returns when the blob was last written, as far as the storage knows.
func (r *Reader) ModTime() time.Time { return r.in.ModTime() }

// Read reads. It ends with io.EOF only after as many bytes as Size tells;
// a blob that changes its size in the meantime is ErrTransient.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.readIn(p)
	r.read += int64(n)
	if r.store.opts.Observer != nil && n > 0 {
		r.store.opts.Observer.BytesRead(n)
	}
	size := r.in.Size()
	switch {
	case r.limit > 0 && r.read > r.limit:
		n -= int(r.read - r.limit)
		err = fmt.Errorf("%w: it has more than %d bytes", provider.ErrTooLarge, r.limit)
	case size >= 0 && r.read > size:
		n -= int(r.read - size)
		err = fmt.Errorf("%w: it grew while it was read", provider.ErrTransient)
	case errors.Is(err, io.EOF) && size >= 0 && r.read < size:
		err = fmt.Errorf("%w: it ended after %d of %d bytes", provider.ErrTransient, r.read, size)
	}
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && !errors.Is(err, provider.ErrTransient):
		r.err = io.EOF
	default:
		r.err = r.store.wrap(r.caller, "read", r.key, r.fault(err))
	}
	return n, r.err
}

func (r *Reader) readIn(p []byte) (n int, err error) {
	defer func() {
		r.stopIdle()
		if v := recover(); v != nil {
			n, err = 0, panicError{v}
		}
	}()
	if r.idle != nil {
		r.idle.Reset(r.store.opts.IdleTimeout)
	}
	return r.in.Read(p)
}

func (r *Reader) stopIdle() {
	if r.idle != nil {
		r.idle.Stop()
	}
}

// fault says that it was our timeout, where it was.
func (r *Reader) fault(err error) error {
	if r.caller.Err() == nil && errors.Is(context.Cause(r.ctx), errIdle) {
		return errIdle
	}
	return err
}

// Close ends reading. It may be called more than once.
func (r *Reader) Close() error {
	r.stopIdle()
	r.cancel(nil)
	if r.err == nil {
		r.err = fmt.Errorf("read %q: the reader is closed", clip(r.key))
	}
	if r.in == nil {
		return nil
	}
	in := r.in
	defer func() { _ = recover() }() // see guard
	return in.Close()
}
