package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"gocloud.dev/blob"

	"github.com/panelmatch/panelmatch/engine/provider"
)

// Options tells a Store about its surroundings. The zero Options has no
// prefix, no limits, and the default retry.
type Options struct {
	// Name is what errors call the store, such as "shared storage". It has no credentials in it.
	Name string
	// Prefix stands before every key, with a slash between; it neither begins nor ends with one.
	Prefix string
	// ReadLimit and WriteLimit are the most bytes that one blob may have; 0 for no limit. A blob of
	// exactly that size passes.
	ReadLimit, WriteLimit int64
	// Retry is for operations that can be repeated.
	Retry Retry
	// IdleTimeout is how long a read may wait for the storage without getting a byte; 0 for as long as
	// the context allows. Time in which nobody reads does not count.
	IdleTimeout time.Duration
	// Observer is told what moves; nil for nobody.
	Observer Observer
}

// Observer is told about the traffic of a Store, for progress and metrics. It
// must be safe for concurrent use and return quickly.
type Observer interface {
	// BytesRead and BytesWritten are called as bytes move, also for reads and writes that fail later.
	BytesRead(n int)
	BytesWritten(n int)
	// Retried is called before an operation is tried again. The error is redacted.
	Retried(op string, err error)
}

// Store is one place of a bucket. Keys are relative to it and are checked with
// CheckKey. Errors are of type *Error, unless they are the context's own.
//
// A Store does not own its bucket: who opened that closes it, after the last
// use of the Store. All methods are safe for concurrent use; of concurrent
// writes of one key one wins, whole.
type Store struct {
	bucket *blob.Bucket
	opts   Options
}

// NewStore returns the place of the bucket that begins with opts.Prefix.
func NewStore(bucket *blob.Bucket, opts Options) (*Store, error) {
	if opts.Prefix != "" {
		if err := CheckKey(opts.Prefix); err != nil {
			return nil, fmt.Errorf("storage prefix: %w", err)
		}
	}
	if opts.ReadLimit < 0 || opts.WriteLimit < 0 {
		return nil, errors.New("a size limit is 0 (none) or positive")
	}
	opts.Retry = opts.Retry.withDefaults()
	return &Store{bucket: bucket, opts: opts}, nil
}

// ForExchange returns the place of one exchange in a bucket of private or
// shared storage, below opts.Prefix if there is one.
func ForExchange(bucket *blob.Bucket, key ExchangeKey, opts Options) (*Store, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	opts.Prefix = join(opts.Prefix, key.Path())
	return NewStore(bucket, opts)
}

// Exchange returns the place of one exchange below this one, with the same options otherwise.
func (s *Store) Exchange(key ExchangeKey) (*Store, error) {
	return ForExchange(s.bucket, key, s.opts)
}

// Name returns Options.Name.
func (s *Store) Name() string { return s.opts.Name }

// Prefix returns Options.Prefix.
func (s *Store) Prefix() string { return s.opts.Prefix }

// ReadLimit returns the most bytes that a blob may have when it is read; 0 for no limit.
func (s *Store) ReadLimit() int64 { return s.opts.ReadLimit }

// Info is what a storage knows about a blob without reading it.
type Info struct {
	// Key is relative to the store. For a directory it ends with a slash, and nothing else is set.
	Key     string
	IsDir   bool
	Size    int64
	ModTime time.Time
	// Version changes whenever the blob is written; empty where the storage has none, and in listings.
	Version string
}

// Stat returns what is known of a blob. An absent one fails with ErrNotFound.
func (s *Store) Stat(ctx context.Context, key string) (Info, error) {
	path, err := s.path("stat", key)
	if err != nil {
		return Info{}, err
	}
	var info Info
	err = s.retry(ctx, "stat", key, func(ctx context.Context) error {
		a, err := s.bucket.Attributes(ctx, path)
		if err != nil {
			return err
		}
		info = Info{Key: key, Size: a.Size, ModTime: a.ModTime, Version: a.ETag}
		return nil
	})
	return info, err
}

// Exists reports whether a blob is there.
func (s *Store) Exists(ctx context.Context, key string) (bool, error) {
	_, err := s.Stat(ctx, key)
	if errors.Is(err, provider.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Delete removes a blob. It is no error if there is none.
func (s *Store) Delete(ctx context.Context, key string) error {
	path, err := s.path("delete", key)
	if err != nil {
		return err
	}
	err = s.retry(ctx, "delete", key, func(ctx context.Context) error { return s.bucket.Delete(ctx, path) })
	if errors.Is(err, provider.ErrNotFound) {
		return nil
	}
	return err
}

// List yields the blobs whose keys begin with prefix, in byte order, with keys
// relative to the store. An empty prefix yields all of them. After an error,
// which comes last, the listing is not complete.
//
// It is for tools: the engine itself never lists, because a partner's storage
// may not permit it.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return s.list(ctx, prefix, "")
}

// ListDir is List, but what lies in a directory below prefix is one entry with IsDir set.
func (s *Store) ListDir(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return s.list(ctx, prefix, "/")
}

const listPage = 1000

func (s *Store) list(ctx context.Context, prefix, delimiter string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := checkListPrefix(prefix); err != nil {
			yield(Info{}, &Error{Op: "list", Store: s.opts.Name, Key: prefix, Class: ErrBadKey, cause: err})
			return
		}
		opts := &blob.ListOptions{Prefix: s.fullPrefix() + prefix, Delimiter: delimiter}
		for token := blob.FirstPageToken; len(token) > 0; {
			var page []*blob.ListObject
			var next []byte
			err := s.retry(ctx, "list", prefix, func(ctx context.Context) (err error) {
				page, next, err = s.bucket.ListPage(ctx, token, listPage, opts)
				return err
			})
			if err != nil {
				yield(Info{}, err)
				return
			}
			for _, o := range page {
				info := Info{Key: strings.TrimPrefix(o.Key, s.fullPrefix()), IsDir: o.IsDir, Size: o.Size, ModTime: o.ModTime}
				if !yield(info, nil) {
					return
				}
			}
			token = next
		}
	}
}

// checkListPrefix takes the beginning of a key that CheckKey takes.
func checkListPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return CheckKey(strings.TrimSuffix(prefix, "/"))
}

// GetBytes reads a whole blob of at most limit bytes, and of the store's own
// limit if that is less; limit is positive. It is for blobs that are small by
// their nature; read others with Get.
func (s *Store) GetBytes(ctx context.Context, key string, limit int64) ([]byte, error) {
	var data []byte
	err := s.retry(ctx, "read", key, func(ctx context.Context) error {
		r, err := s.open(ctx, key, limit)
		if err != nil {
			return err
		}
		defer r.Close() //nolint:errcheck // opened for reading only
		// One more than announced, so that reading to the end needs no second allocation.
		data = make([]byte, 0, min(r.Size(), preallocate)+1)
		data, err = appendAll(data, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// preallocate bounds what is allocated because a storage says that so much will come.
const preallocate = 1 << 20

func appendAll(b []byte, r io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return nil, err
		}
	}
}

// fullPrefix is what stands before a key in the bucket.
func (s *Store) fullPrefix() string {
	if s.opts.Prefix == "" {
		return ""
	}
	return s.opts.Prefix + "/"
}

// path checks a key and returns its name in the bucket.
func (s *Store) path(op, key string) (string, error) {
	path := s.fullPrefix() + key
	err := CheckKey(key)
	if err == nil && len(path) > MaxKeyLength {
		err = CheckKey(path)
	}
	if err != nil {
		return "", &Error{Op: op, Store: s.opts.Name, Key: key, Class: ErrBadKey, cause: err}
	}
	return path, nil
}

func join(prefix, key string) string {
	if prefix == "" {
		return key
	}
	return prefix + "/" + key
}

// wrap makes an *Error of a fault. It leaves the context's own errors and what is wrapped already as they are.
func (s *Store) wrap(ctx context.Context, op, key string, err error) error {
	if err == nil {
		return nil
	}
	var done *Error
	if errors.As(err, &done) {
		return err
	}
	if ctx.Err() != nil && !errors.Is(err, provider.ErrTooLarge) {
		return fmt.Errorf("%s %q: %w", op, clip(key), context.Cause(ctx))
	}
	return &Error{Op: op, Store: s.opts.Name, Key: key, Class: classOf(err), cause: err}
}
