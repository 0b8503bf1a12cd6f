package shard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"golang.org/x/sync/errgroup"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/provider"
)

// ReadManifest reads the manifest blob of the given key.
func ReadManifest(ctx context.Context, store *blob.Store, key string) (Name, error) {
	text, err := store.GetBytes(ctx, key, MaxManifest)
	if err != nil {
		return Name{}, err
	}
	n, err := Parse(string(text))
	if err != nil {
		return Name{}, fmt.Errorf("manifest blob %q: %w", key, err)
	}
	return n, nil
}

// WriteManifest writes a manifest blob, in the strict form. Write it after the
// shards, so that who finds a manifest finds them too.
func WriteManifest(ctx context.Context, store *blob.Store, key string, n Name) error {
	return store.PutBytes(ctx, key, []byte(n.String()))
}

// File is a shard that is read. Close it.
type File struct {
	*Reader
	blob *blob.Reader
}

// Open opens shard i of n. One that is absent is an error, which names it: a
// manifest promises that all shards are there, also empty ones.
func Open(ctx context.Context, store *blob.Store, n Name, i int, opts Options) (*File, error) {
	if i < 0 || i >= n.Count {
		return nil, fmt.Errorf("%s has no shard %d", n, i)
	}
	r, err := store.Get(ctx, n.Shard(i))
	if err != nil {
		return nil, describe(n, i, err)
	}
	return &File{NewReader(r, opts), r}, nil
}

func describe(n Name, i int, err error) error {
	if errors.Is(err, provider.ErrNotFound) {
		return fmt.Errorf("shard %d of %d (%s) is missing: %w", i, n.Count, n.Shard(i), err)
	}
	return fmt.Errorf("shard %d of %d (%s): %w", i, n.Count, n.Shard(i), err)
}

// Size returns the shard's size in bytes.
func (f *File) Size() int64 { return f.blob.Size() }

// Close ends reading.
func (f *File) Close() error { return f.blob.Close() }

// Records yields the records of all shards, one shard after the other. A
// record is valid until the next one. After an error, which comes last, not
// all records have been seen.
func Records(ctx context.Context, store *blob.Store, n Name, opts Options) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for i := range n.Count {
			more, err := each(ctx, store, n, i, opts, yield)
			if err != nil {
				yield(nil, err)
				return
			}
			if !more {
				return
			}
		}
	}
}

func each(ctx context.Context, store *blob.Store, n Name, i int, opts Options, yield func([]byte, error) bool) (more bool, err error) {
	f, err := Open(ctx, store, n, i, opts)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // opened for reading only
	for {
		record, err := f.Next()
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil:
			return false, describe(n, i, err)
		case !yield(record, nil):
			return false, nil
		}
	}
}

// checkParallel is how many shards Check asks for at once.
const checkParallel = 16

// Check looks whether all shards are there, without reading them. The error
// names the first one that is missing, and how many are.
func Check(ctx context.Context, store *blob.Store, n Name) error {
	absent := make([]bool, n.Count)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(checkParallel)
	for i, key := range n.Shards() {
		if groupCtx.Err() != nil {
			break
		}
		group.Go(func() error {
			ok, err := store.Exists(groupCtx, key)
			absent[i] = !ok
			return err
		})
	}
	if err := errors.Join(group.Wait(), ctx.Err()); err != nil {
		return err
	}
	first, missing := -1, 0
	for i, a := range absent {
		if a {
			missing++
			if first < 0 {
				first = i
			}
		}
	}
	if missing > 0 {
		return fmt.Errorf("%w: %d of %d shards of %s, the first of them %s", provider.ErrNotFound, missing, n.Count, n, n.Shard(first))
	}
	return nil
}

// FileWriter is a shard that is written. Nothing of it can be seen until Close
// returns nil. Defer Abort, which does nothing after Close.
type FileWriter struct {
	*Writer
	blob *blob.Writer
}

// Create begins shard i of n. Write every shard, also those without records.
func Create(ctx context.Context, store *blob.Store, n Name, i int, format Format) (*FileWriter, error) {
	if i < 0 || i >= n.Count {
		return nil, fmt.Errorf("%s has no shard %d", n, i)
	}
	// The format is checked first, so that nothing is left open.
	if _, err := headerOf(format); err != nil {
		return nil, err
	}
	b, err := store.Create(ctx, n.Shard(i))
	if err != nil {
		return nil, err
	}
	w, err := NewWriter(b, format)
	if err != nil {
		b.Abort()
		return nil, err
	}
	return &FileWriter{w, b}, nil
}

// Size returns how many bytes have been handed to the storage.
func (f *FileWriter) Size() int64 { return f.blob.Size() }

// Close flushes and commits.
func (f *FileWriter) Close() error {
	if err := f.Flush(); err != nil {
		f.blob.Abort()
		return err
	}
	return f.blob.Close()
}

// Abort gives the shard up, unless Close has been called.
func (f *FileWriter) Abort() { f.blob.Abort() }
