// Package lookup makes the 64-bit keys under which events are stored in the data provider's private
// database, and places them: which shard and which bucket of it. Both parties do it alike, the data
// provider for its events, the model provider for what it asks. It does no query, and holds no state.
package lookup

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Fingerprint returns the first eight bytes of SHA-256(item || pepper) as a little-endian number, so
// that its little-endian encoding, as in a fixed64 field, is those bytes.
//
// The pepper is appended, not prepended, and nothing separates the two: items of one pepper should be
// of one length, as encoded points are.
func Fingerprint(item, pepper []byte) uint64 {
	h := NewHasher(pepper)
	return h.sum(item)
}

// Hasher makes lookup keys with one pepper. It is not safe for concurrent use; make one for each
// goroutine. It prints as [redacted].
type Hasher struct {
	pepper, buf []byte
}

// ErrPepper is the error for a pepper of no bytes.
var ErrPepper = errors.New("the identifier hash pepper is empty; it must have at least one byte")

// NewHasher returns a Hasher. It keeps a copy of the pepper, which is secret. An empty pepper is for
// Fingerprint only: Key refuses it.
func NewHasher(pepper []byte) *Hasher {
	return &Hasher{pepper: append([]byte(nil), pepper...)}
}

// Key returns the lookup key of a join key that is encrypted with the data provider's key and no
// other: its fingerprint. It fails with ErrPepper if the pepper is empty, since lookup keys could then
// be guessed from join keys.
func (h *Hasher) Key(encryptedJoinKey []byte) (uint64, error) {
	if len(h.pepper) == 0 {
		return 0, ErrPepper
	}
	return h.sum(encryptedJoinKey), nil
}

// AppendKeys appends the lookup key of each of the encrypted join keys to dst, in their order. It
// allocates nothing per key.
func (h *Hasher) AppendKeys(dst []uint64, encryptedJoinKeys [][]byte) ([]uint64, error) {
	if len(h.pepper) == 0 {
		return dst, ErrPepper
	}
	for _, k := range encryptedJoinKeys {
		dst = append(dst, h.sum(k))
	}
	return dst, nil
}

// Format prints [redacted], whatever the verb.
func (h *Hasher) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[redacted]") }

func (h *Hasher) sum(item []byte) uint64 {
	h.buf = append(append(h.buf[:0], item...), h.pepper...)
	digest := sha256.Sum256(h.buf)
	return binary.LittleEndian.Uint64(digest[:8])
}

// Place is where the events of a lookup key are.
type Place struct {
	Shard, Bucket int32
}

// Layout divides the lookup keys among shards, and the keys of a shard among buckets. Shards and
// buckets count from 0.
type Layout struct {
	shards, buckets uint64
}

// NewLayout returns the layout of a workflow: shards in all, and data buckets in each. Both are at
// least 1. The padding bucket is not among the data buckets: see PaddingBucket.
func NewLayout(shards, bucketsPerShard int32) (Layout, error) {
	if shards < 1 {
		return Layout{}, fmt.Errorf("shard_count is %d; it must be 1 to %d", shards, math.MaxInt32)
	}
	if bucketsPerShard < 1 || bucketsPerShard == math.MaxInt32 {
		// The padding bucket follows them, and bucket ids are 32-bit numbers.
		return Layout{}, fmt.Errorf("buckets_per_shard is %d; it must be 1 to %d", bucketsPerShard, math.MaxInt32-1)
	}
	return Layout{shards: uint64(shards), buckets: uint64(bucketsPerShard)}, nil
}

// Place returns where a lookup key is: shard = key mod shards, bucket = (key div shards) mod buckets.
// The zero Layout puts everything into shard 0, bucket 0.
func (l Layout) Place(key uint64) Place {
	if l.shards == 0 {
		return Place{}
	}
	return Place{Shard: int32(key % l.shards), Bucket: int32(key / l.shards % l.buckets)} //nolint:gosec // both are below an int32
}

// PaddingBucket is the bucket that queries for nothing ask for: one past the data buckets. The private
// membership parameters therefore count one bucket more than the workflow does.
func (l Layout) PaddingBucket() int32 { return int32(l.buckets) } //nolint:gosec // NewLayout bounds it
