package membership

import (
	"bytes"
	"context"
	"crypto/sha512"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/panelmatch/panelmatch/engine/crypto/membership/rlwe"
	"github.com/panelmatch/panelmatch/schema/wire/batchpb"
)

// derivedCase is one complete recorded run: see testdata/README.md.
type derivedCase struct {
	label    string
	keys     *batchpb.GenerateKeysResponse
	request  *batchpb.ApplyQueriesRequest
	response *batchpb.ApplyQueriesResponse
	plain    *batchpb.DecryptQueriesResponse
}

func forDerivedCases(t *testing.T, f func(t *testing.T, c derivedCase)) {
	t.Helper()
	for _, label := range []string{"a", "b"} {
		t.Run(label, func(t *testing.T) { f(t, readDerived(t, label)) })
	}
}

func readDerived(t testing.TB, label string) derivedCase {
	t.Helper()
	c := derivedCase{
		label:    label,
		keys:     &batchpb.GenerateKeysResponse{},
		request:  &batchpb.ApplyQueriesRequest{},
		response: &batchpb.ApplyQueriesResponse{},
		plain:    &batchpb.DecryptQueriesResponse{},
	}
	for name, m := range map[string]proto.Message{
		"generate-keys-response.pb":   c.keys,
		"apply-queries-request.pb":    c.request,
		"apply-queries-response.pb":   c.response,
		"decrypt-queries-response.pb": c.plain,
	} {
		b, err := os.ReadFile(filepath.Join("testdata", "derived", "rlwe-small-"+label, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := proto.Unmarshal(b, m); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustScheme(t testing.TB, p *batchpb.Parameters) *Scheme {
	t.Helper()
	s, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// labelled returns the generator that the derived cases name by a label.
func labelled(t testing.TB, format string, args ...any) *rlwe.PRNG {
	t.Helper()
	g, err := rlwe.NewPRNG(labelSeed(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func labelSeed(format string, args ...any) []byte {
	seed := sha512.Sum512(fmt.Appendf(nil, format, args...))
	return seed[:]
}

// apply answers an ApplyQueriesRequest the way the reference does, shard by shard.
func apply(t testing.TB, s *Scheme, r *batchpb.ApplyQueriesRequest, o Options) []Result {
	t.Helper()
	e, err := s.NewEvaluator(marshal(t, r.GetPublicKey()))
	if err != nil {
		t.Fatal(err)
	}
	var queries []*Queries
	for _, m := range r.GetQueries() {
		q, err := s.ParseQueries(marshal(t, m))
		if err != nil {
			t.Fatal(err)
		}
		queries = append(queries, q)
	}
	shards := slices.Clone(r.GetRawDatabase().GetShards())
	slices.SortFunc(shards, func(a, b *batchpb.RawDatabaseShard) int { return int(a.GetShardIndex() - b.GetShardIndex()) })
	o.Unfinalized = !r.GetFinalizeResults()
	var out []Result
	for _, shard := range shards {
		var buckets []Bucket
		for _, b := range shard.GetBuckets() {
			buckets = append(buckets, Bucket{b.GetBucketId(), b.GetBucketContents()})
		}
		sh, err := e.NewShard(shard.GetShardIndex(), buckets, o)
		if err != nil {
			t.Fatal(err)
		}
		err = sh.Apply(context.Background(), queries, r.GetPaddingNonces(), func(r Result) error {
			out = append(out, r)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestDerivedKeysAreGenerated(t *testing.T) {
	forDerivedCases(t, func(t *testing.T, c derivedCase) {
		s := mustScheme(t, c.request.GetParameters())
		private, public, err := s.generateKeys(seeds{
			secret: labelled(t, "case-%s/secret", c.label),
			galois: func(i int) ([]byte, *rlwe.PRNG) {
				return labelSeed("case-%s/galois/%d", c.label, i), labelled(t, "case-%s/galois-error/%d", c.label, i)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := marshal(t, c.keys.GetPrivateKey()); !bytes.Equal(private, want) {
			t.Error("private key differs")
		}
		if want := marshal(t, c.keys.GetPublicKey()); !bytes.Equal(public, want) {
			t.Error("public key differs")
		}
	})
}

func TestDerivedQueriesAreEncrypted(t *testing.T) {
	forDerivedCases(t, func(t *testing.T, c derivedCase) {
		s := mustScheme(t, c.request.GetParameters())
		k, err := s.ParsePrivateKey(marshal(t, c.keys.GetPrivateKey()))
		if err != nil {
			t.Fatal(err)
		}
		want := c.request.GetQueries()[0]
		// Which buckets were asked for follows from the slots that are 1.
		queries := slotsAskedFor(t, s, k, want)
		got, err := k.encryptQueries(queries, labelSeed("case-%s/query", c.label), labelled(t, "case-%s/query-error", c.label))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, marshal(t, want)) {
			t.Error("encrypted queries differ")
		}
	})
}

// slotsAskedFor decrypts queries and checks that each level has one slot set.
func slotsAskedFor(t testing.TB, s *Scheme, k *PrivateKey, m *batchpb.EncryptedQueries) []Query {
	t.Helper()
	q, err := s.ParseQueries(marshal(t, m))
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.newBundle(q)
	if err != nil {
		t.Fatal(err)
	}
	c := rlwe.NewCryptor(k.request, s.t, s.variance)
	buf, c0, a, c1 := s.request.NewBuffer(), s.request.NewPoly(), s.request.NewPoly(), s.request.NewPoly()
	var slots []uint64
	for i := range q.polys {
		b.drawTo(i, a)
		if err := s.request.Unpack(c0, q.polys[i], buf); err != nil {
			t.Fatal(err)
		}
		clear(c1)
		s.request.Sub(c1, c1, a)
		v := make([]uint64, s.request.N())
		c.Decrypt(v, []rlwe.Poly{c0, c1})
		slots = append(slots, v[:1<<s.logCF]...)
	}
	var out []Query
	for i, m := range q.Metadata {
		query := Query{Metadata: m}
		unit := 1
		for j := range s.levels {
			ones := 0
			for d, v := range slots[i*s.perQuery+j*s.perLevel:][:s.perLevel] {
				switch v {
				case 0:
				case uint64(s.slotFactor()):
					ones++
					query.Bucket += int32(d * unit)
				default:
					t.Fatalf("query %d: slot is %d", i, v)
				}
			}
			if ones != 1 {
				t.Fatalf("query %d has %d slots set at level %d", i, ones, j)
			}
			unit *= s.perLevel
		}
		out = append(out, query)
	}
	return out
}

// TestDerivedResponsesAreReproduced compares byte for byte, with every division of memory
// and work.
func TestDerivedResponsesAreReproduced(t *testing.T) {
	forDerivedCases(t, func(t *testing.T, c derivedCase) {
		s := mustScheme(t, c.request.GetParameters())
		e, err := s.NewEvaluator(marshal(t, c.request.GetPublicKey()))
		if err != nil {
			t.Fatal(err)
		}
		for name, o := range map[string]Options{
			"plenty of memory": {Workers: 1},
			"least memory":     {Workers: 1, Memory: e.MinMemory()},
			"two at a time":    {Workers: 3, Memory: 2 * e.MinMemory()},
			"many workers":     {Workers: 8},
		} {
			got := apply(t, s, c.request, o)
			want := c.response.GetQueryResults()
			if len(got) != len(want) {
				t.Fatalf("%s: %d results, want %d", name, len(got), len(want))
			}
			for i := range got {
				if !bytes.Equal(got[i].Message, marshal(t, want[i])) {
					m := &batchpb.EncryptedQueryResult{}
					if err := proto.Unmarshal(got[i].Message, m); err != nil {
						t.Fatal(err)
					}
					t.Errorf("%s: result %d (query %d) differs: %.600s", name, i, got[i].QueryID, cmp.Diff(want[i], m, protocmp.Transform()))
				}
			}
		}
	})
}

func TestDerivedResponsesAreReproducedInTwoSteps(t *testing.T) {
	forDerivedCases(t, func(t *testing.T, c derivedCase) {
		s := mustScheme(t, c.request.GetParameters())
		r := proto.Clone(c.request).(*batchpb.ApplyQueriesRequest)
		r.FinalizeResults = false
		for i, wide := range apply(t, s, r, Options{}) {
			got, err := s.Finalize(wide.Message)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, marshal(t, c.response.GetQueryResults()[i])) {
				t.Errorf("result %d differs", i)
			}
		}
	})
}

func TestDerivedResponsesAreDecrypted(t *testing.T) {
	forDerivedCases(t, func(t *testing.T, c derivedCase) {
		s := mustScheme(t, c.request.GetParameters())
		k, err := s.ParsePrivateKey(marshal(t, c.keys.GetPrivateKey()))
		if err != nil {
			t.Fatal(err)
		}
		d := k.NewDecrypter()
		for i, r := range c.response.GetQueryResults() {
			m, contents, err := d.Decrypt(marshal(t, r))
			if err != nil {
				t.Fatal(err)
			}
			want := c.plain.GetResult()[i]
			if m.QueryID != want.GetQueryMetadata().GetQueryId() || m.ShardID != want.GetQueryMetadata().GetShardId() || !bytes.Equal(contents, want.GetResult()) {
				t.Errorf("result %d is %v %q, want %v", i, m, contents, want)
			}
		}
	})
}
