package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/coordinator/checkpoint"
	"github.com/panelmatch/panelmatch/engine/graph"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// stores opens the storage of exchanges in an open graph.
type stores struct {
	opened *graph.Opened
	limits manifest.Limits
}

// Private returns the private storage of an exchange.
func (s *stores) Private(ctx context.Context, key blob.ExchangeKey) (*blob.Store, error) {
	return s.open(ctx, key, graph.Private, blob.Options{Name: "private storage"})
}

// unsigned returns the shared storage of an exchange as it is, for checkpoints, certificates and
// signatures themselves.
func (s *stores) unsigned(ctx context.Context, key blob.ExchangeKey) (*blob.Store, error) {
	limit := int64(s.limits.SharedBlob)
	return s.open(ctx, key, graph.Shared, blob.Options{Name: "shared storage", ReadLimit: limit, WriteLimit: limit})
}

func (s *stores) open(ctx context.Context, key blob.ExchangeKey, side graph.Side, opts blob.Options) (*blob.Store, error) {
	place, err := s.opened.Exchange(ctx, key.RecurringExchange, side)
	if err != nil {
		return nil, err
	}
	return place.Store(key, opts)
}

// checkpoints is the shared storage of exchanges as the checkpoint coordinator needs it.
type checkpoints struct{ stores *stores }

var _ checkpoint.Storage = checkpoints{}

// Read returns a blob with the version that it had at most.
func (c checkpoints) Read(ctx context.Context, key blob.ExchangeKey, name string) ([]byte, string, error) {
	store, err := c.stores.unsigned(ctx, key)
	if err != nil {
		return nil, "", err
	}
	// The version first: if the blob changes in between, a write on top of it is refused.
	info, err := store.Stat(ctx, name)
	if err != nil {
		return nil, "", err
	}
	data, err := store.GetBytes(ctx, name, checkpoint.MaxBytes)
	if err != nil {
		return nil, "", err
	}
	version := info.Version
	if version == "" {
		version = unversioned
	}
	return data, version, nil
}

// unversioned is the version of blobs in a storage that has none.
const unversioned = "-"

// Write replaces a blob, conditionally where the storage can.
func (c checkpoints) Write(ctx context.Context, key blob.ExchangeKey, name string, data []byte, version string) error {
	store, err := c.stores.unsigned(ctx, key)
	if err != nil {
		return err
	}
	var cond blob.Condition
	switch version {
	case "":
		cond.IfAbsent = true
	case unversioned:
	default:
		cond.IfVersion = version
	}
	err = store.PutIf(ctx, name, bytes.NewReader(data), cond)
	if errors.Is(err, blob.ErrUnsupported) {
		err = store.PutBytes(ctx, name, data)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
