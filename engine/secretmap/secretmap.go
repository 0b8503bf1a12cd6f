// Package secretmap keeps a secret map as blobs: one blob per key, below a
// prefix of a bucket, the key used as it is. It is how a use case of root
// storage is stored, and the layout is the reference's: <directory>/<key>.
//
// It encrypts nothing (private keys are sealed before they get here), and it
// is no provider: package graph and providers/secretmap/blob make one of it.
package secretmap

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/provider"
)

// DefaultMaxValue is the largest value, in bytes, unless Options say otherwise.
// The largest thing that a deployment keeps in a map is a workflow, of some KiB.
const DefaultMaxValue = 16 << 20

// Options tells a map about its surroundings.
type Options struct {
	// Name is what errors call the map, such as "private keys".
	Name string
	// Prefix stands before every key, with a slash between; it neither begins nor ends with one. Empty
	// for the whole bucket.
	Prefix string
	// MaxValue bounds a value in bytes; 0 for DefaultMaxValue.
	MaxValue int64
	// Retry is for what may pass; the zero value is package blob's default.
	Retry blob.Retry
}

// Blobs is a provider.SecretMap in a bucket, which it does not own. It is safe
// for concurrent use; of concurrent writes of one key one wins, whole.
//
// Keys are those that blob.CheckKey takes; others can't be stored, so Get does
// not find them and Put rejects them. Values are copies.
type Blobs struct {
	store *blob.Store
	max   int64
}

var _ provider.SecretMap = (*Blobs)(nil)

// New returns the map that lies below opts.Prefix of the bucket. Who opened the
// bucket closes it, after the last use of the map.
func New(bucket provider.Storage, opts Options) (*Blobs, error) {
	if bucket == nil {
		return nil, errors.New("a secret map of blobs needs a bucket")
	}
	limit := opts.MaxValue
	if limit <= 0 {
		limit = DefaultMaxValue
	}
	store, err := blob.NewStore(bucket, blob.Options{
		Name: opts.Name, Prefix: opts.Prefix, ReadLimit: limit, WriteLimit: limit, Retry: opts.Retry,
	})
	if err != nil {
		return nil, err
	}
	return &Blobs{store: store, max: limit}, nil
}

// Get returns the value of key. An absent one fails with provider.ErrNotFound,
// one above the limit with provider.ErrTooLarge.
func (m *Blobs) Get(ctx context.Context, key string) ([]byte, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, fmt.Errorf("%w: %w", provider.ErrNotFound, err)
	}
	return m.store.GetBytes(ctx, key, m.max)
}

// Put writes the value of key, whole or not at all.
func (m *Blobs) Put(ctx context.Context, key string, value []byte) error {
	if err := blob.CheckKey(key); err != nil {
		return fmt.Errorf("%w: %w", provider.ErrRejected, err)
	}
	return m.store.PutBytes(ctx, key, value)
}

// partial matches the names under which directories show a blob that is still
// being written.
var partial = regexp.MustCompile(`\.[0-9a-f]{6,}\.tmp$`)

// List returns the keys in byte order, without blobs that are still being written.
func (m *Blobs) List(ctx context.Context) ([]string, error) {
	keys := []string{}
	for info, err := range m.store.List(ctx, "") {
		if err != nil {
			return nil, err
		}
		if !partial.MatchString(info.Key) {
			keys = append(keys, info.Key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// Close does nothing: the bucket is its opener's.
func (*Blobs) Close() error { return nil }
