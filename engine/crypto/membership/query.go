package membership

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/panelmatch/panelmatch/engine/crypto/membership/internal/protoscan"
	"github.com/panelmatch/panelmatch/engine/crypto/membership/rlwe"
)

// Query asks for one bucket.
type Query struct {
	Metadata
	Bucket int32
}

// EncryptQueries encrypts queries, in their order, as one serialized EncryptedQueries.
// They share polynomials, so a list is smaller than its queries one by one.
func (k *PrivateKey) EncryptQueries(queries []Query) ([]byte, error) {
	return k.encryptQueries(queries, rlwe.NewSeed(), rlwe.NewPrivatePRNG())
}

func (k *PrivateKey) encryptQueries(queries []Query, seed []byte, private *rlwe.PRNG) ([]byte, error) {
	s := k.s
	for _, q := range queries {
		if q.ShardID < 0 || q.ShardID >= s.shards {
			return nil, fmt.Errorf("query %d is for shard %d, must be below %d", q.QueryID, q.ShardID, s.shards)
		}
		if q.Bucket < 0 || q.Bucket >= s.buckets {
			return nil, fmt.Errorf("query %d is for bucket %d, must be below %d", q.QueryID, q.Bucket, s.buckets)
		}
	}
	public, err := rlwe.NewPRNG(seed)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, s.QueriesBytes(len(queries))+24*len(queries)+rlwe.SeedSize+8)
	for _, q := range queries {
		out = appendMetadata(out, queriesMeta, q.Metadata)
	}
	cf, factor := 1<<s.logCF, s.slotFactor()
	message := make([]int64, s.request.N())
	c := rlwe.NewCryptor(k.request, s.t, s.variance)
	c0, buf := s.request.NewPoly(), s.request.NewBuffer()
	for p := range s.polynomials(len(queries)) {
		for i := range cf {
			message[i] = 0
			if slot := p*cf + i; slot < len(queries)*s.perQuery {
				q := queries[slot/s.perQuery]
				level := slot % s.perQuery / s.perLevel
				if slot%s.perLevel == s.digit(int(q.Bucket), level) {
					message[i] = factor
				}
			}
		}
		c.Encrypt(c0, message, public, private)
		out = s.request.AppendPolynomialField(out, queriesPoly, c0, buf)
	}
	out = protowire.AppendTag(out, queriesSeed, protowire.BytesType)
	return protowire.AppendBytes(out, seed), nil
}

// Queries is a parsed EncryptedQueries. It shares memory with the bytes it was
// parsed from.
type Queries struct {
	Metadata []Metadata
	polys    [][]byte // coefficients of c0, checked when they are expanded
	seed     []byte
}

// ParseQueries reads a serialized EncryptedQueries and checks its shape. Memory beside
// the bytes is a few times their number at most.
func (s *Scheme) ParseQueries(b []byte) (*Queries, error) {
	q := &Queries{}
	var once protoscan.Once
	err := protoscan.Each(b, func(f protoscan.Field) error {
		switch f.Number {
		case queriesMeta:
			data, err := f.Bytes()
			if err != nil {
				return err
			}
			m, err := parseMetadata(data)
			q.Metadata = append(q.Metadata, m)
			return err
		case queriesPoly:
			data, err := f.Bytes()
			if err != nil {
				return err
			}
			coeffs, err := s.request.ParsePolynomial(data)
			if err != nil {
				return fmt.Errorf("ciphertext %d: %w", len(q.polys), err)
			}
			q.polys = append(q.polys, coeffs)
			return nil
		case queriesSeed:
			seed, err := f.Bytes()
			if q.seed = seed; err != nil {
				return err
			}
			return once.Check(f)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("encrypted queries: %w", err)
	}
	if len(q.Metadata) > maxBuckets/s.perQuery {
		return nil, fmt.Errorf("encrypted queries: %d queries are too many", len(q.Metadata))
	}
	if want := s.polynomials(len(q.Metadata)); len(q.polys) != want {
		return nil, fmt.Errorf("encrypted queries: %d ciphertexts for %d queries, must be %d: were they made for other parameters?", len(q.polys), len(q.Metadata), want)
	}
	if len(q.seed) != rlwe.SeedSize {
		return nil, fmt.Errorf("encrypted queries: seed has %d bytes, must have %d", len(q.seed), rlwe.SeedSize)
	}
	for _, m := range q.Metadata {
		if m.ShardID < 0 || m.ShardID >= s.shards {
			return nil, fmt.Errorf("encrypted queries: query %d is for shard %d, must be below %d", m.QueryID, m.ShardID, s.shards)
		}
	}
	return q, nil
}

// parseMetadata reads a QueryMetadata.
func parseMetadata(b []byte) (m Metadata, err error) {
	var once protoscan.Once
	err = protoscan.Each(b, func(f protoscan.Field) (err error) {
		switch f.Number {
		case metaQueryID:
			m.QueryID, err = f.Int32()
		case metaShardID:
			m.ShardID, err = f.Int32()
		default:
			return nil
		}
		if err != nil {
			return err
		}
		return once.Check(f)
	})
	if err != nil {
		return m, fmt.Errorf("query metadata: %w", err)
	}
	return m, nil
}

// errNoQueries says what to do about a call without work.
var errNoQueries = errors.New("no encrypted queries: give at least one EncryptedQueries message")
