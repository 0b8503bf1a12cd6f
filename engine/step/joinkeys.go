package step

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/schema/wire/joinkeypb"
)

// unmarshal reads one message of an input. What is wrong with it is said without quoting it.
func unmarshal(label string, b []byte, m proto.Message) error {
	if err := proto.Unmarshal(b, m); err != nil {
		return failure.Permanentf(failure.CodeBadInput, "input %s is not a serialized %s", label, m.ProtoReflect().Descriptor().Name())
	}
	return nil
}

// distinct fails if two join keys, or two identifiers, are equal. It says where, not which.
func distinct(label string, entries []*joinkeypb.JoinKeyAndId) error {
	keys := make(map[string]int, len(entries))
	ids := make(map[string]int, len(entries))
	for i, e := range entries {
		if j, ok := keys[string(e.GetJoinKey().GetKey())]; ok {
			return failure.Permanentf(failure.CodeBadInput, "input %s: entries %d and %d have the same join key; join keys must be distinct", label, j, i)
		}
		keys[string(e.GetJoinKey().GetKey())] = i
		if j, ok := ids[string(e.GetJoinKeyIdentifier().GetId())]; ok {
			return failure.Permanentf(failure.CodeBadInput, "input %s: entries %d and %d have the same identifier; identifiers must be distinct", label, j, i)
		}
		ids[string(e.GetJoinKeyIdentifier().GetId())] = i
	}
	return nil
}

// assignIDs shuffles join keys and names them by their new places. There is at least one key.
func assignIDs(keys []*joinkeypb.JoinKey) (*joinkeypb.JoinKeyAndIdCollection, error) {
	if len(keys) == 0 {
		return nil, failure.Permanentf(failure.CodeBadInput, "there is no join key; the panel must have at least one")
	}
	if err := shuffle(keys); err != nil {
		return nil, err
	}
	out := &joinkeypb.JoinKeyAndIdCollection{JoinKeyAndIds: make([]*joinkeypb.JoinKeyAndId, len(keys))}
	for i, k := range keys {
		out.JoinKeyAndIds[i] = &joinkeypb.JoinKeyAndId{
			JoinKey:           k,
			JoinKeyIdentifier: &joinkeypb.JoinKeyIdentifier{Id: fmt.Appendf(nil, "join-key-identifier-%d", i)},
		}
	}
	return out, nil
}

// shuffle is Fisher and Yates's, with the operating system's randomness.
func shuffle[T any](s []T) error {
	for i := len(s) - 1; i > 0; i-- {
		j, err := uniform(uint64(i) + 1)
		if err != nil {
			return err
		}
		s[i], s[j] = s[j], s[i]
	}
	return nil
}

// uniform returns a uniform number below n > 0, by rejection.
func uniform(n uint64) (uint64, error) {
	limit := -n % n // 2^64 mod n: values below it would favour small results
	for {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return 0, fmt.Errorf("read randomness: %w", err)
		}
		if v := binary.LittleEndian.Uint64(b[:]); v >= limit {
			return v % n, nil
		}
	}
}

// overlap checks the join keys of this exchange against those of the one before: at most maxSize of
// them, and at most maxNew that were not there. Entries are compared whole, key and identifier, and
// count once however often they are there. previous is not looked at on the first exchange, nor if
// maxNew could not be exceeded.
func overlap(current, previous []*joinkeypb.JoinKeyAndId, maxSize, maxNew int, first bool) error {
	set := entrySet(current)
	if len(set) > maxSize {
		return failure.Permanentf(failure.CodeOverlap, "%d join keys, but max_size is %d", len(set), maxSize)
	}
	if first || maxNew >= maxSize {
		return nil
	}
	for e := range entrySet(previous) {
		delete(set, e)
	}
	if len(set) > maxNew {
		return failure.Permanentf(failure.CodeOverlap,
			"%d join keys were not in the exchange before, but maximum_new_items_allowed is %d", len(set), maxNew)
	}
	return nil
}

type entry struct{ key, id string }

func entrySet(entries []*joinkeypb.JoinKeyAndId) map[entry]struct{} {
	set := make(map[entry]struct{}, len(entries))
	for _, e := range entries {
		set[entry{string(e.GetJoinKey().GetKey()), string(e.GetJoinKeyIdentifier().GetId())}] = struct{}{}
	}
	return set
}
