// Package lookup makes lookup keys, the 64-bit fingerprints by which events are
// found, and says which shard and bucket a lookup key belongs to.
//
// It encrypts nothing: the pepper keeps who sees a lookup key from trying out
// join keys, and it is all that does.
package lookup

import (
	"crypto/sha256"
	"encoding/binary"
)

// Fingerprint returns the lookup key of a join key as the data provider's key
// blinds it: the first 8 bytes of SHA-256(item || pepper), little-endian. It is
// safe for concurrent use.
func Fingerprint(item, pepper []byte) uint64 {
	h := sha256.New()
	h.Write(item)
	h.Write(pepper)
	var sum [sha256.Size]byte
	return binary.LittleEndian.Uint64(h.Sum(sum[:0]))
}

// Place returns the shard and the bucket within it that a lookup key belongs
// to, by unsigned arithmetic. Both counts must be positive.
func Place(key uint64, shards, buckets int) (shard, bucket int) {
	s, b := uint64(shards), uint64(buckets)
	return int(key % s), int(key / s % b)
}
