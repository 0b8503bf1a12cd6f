package membership

import "google.golang.org/protobuf/encoding/protowire"

// Field numbers of package private_membership.batch.
const (
	publicGaloisKey                       = 1
	privateRequestKey, privateResponseKey = 1, 2
	metaQueryID, metaShardID              = 1, 2
	queriesMeta, queriesPoly, queriesSeed = 1, 2, 3
	resultMeta, resultCiphertext          = 1, 2
)

func varintLen(n int) int { return protowire.SizeVarint(uint64(n)) }

// Metadata is the part of a query that the holder sees.
type Metadata struct {
	QueryID int32
	ShardID int32
}

// appendMetadata appends a QueryMetadata as a field of an outer message.
func appendMetadata(b []byte, field protowire.Number, m Metadata) []byte {
	n := 0
	for _, v := range []int32{m.QueryID, m.ShardID} {
		if v != 0 {
			n += 1 + protowire.SizeVarint(uint64(v))
		}
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(n))
	for i, v := range []int32{m.QueryID, m.ShardID} {
		if v != 0 {
			b = protowire.AppendTag(b, protowire.Number(metaQueryID+i), protowire.VarintType)
			b = protowire.AppendVarint(b, uint64(v))
		}
	}
	return b
}
