package membership

import (
	"bytes"
	"context"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/schema/wire/batchpb"
)

// Everything that a partner sends is parsed here with hostile bytes: no panic, and
// what is accepted can be used.

type fuzzSetup struct {
	c derivedCase
	s *Scheme
	k *PrivateKey
	e *Evaluator
}

func newFuzzSetup(f *testing.F) fuzzSetup {
	f.Helper()
	c := readDerived(f, "a")
	s := mustScheme(f, c.request.GetParameters())
	k, err := s.ParsePrivateKey(marshal(f, c.keys.GetPrivateKey()))
	if err != nil {
		f.Fatal(err)
	}
	e, err := s.NewEvaluator(marshal(f, c.request.GetPublicKey()))
	if err != nil {
		f.Fatal(err)
	}
	return fuzzSetup{c, s, k, e}
}

func FuzzPublicKey(f *testing.F) {
	x := newFuzzSetup(f)
	whole := marshal(f, x.c.request.GetPublicKey())
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte{0x0a, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := x.s.NewEvaluator(b)
		if (e == nil) == (err == nil) {
			t.Errorf("evaluator %v, error %v", e, err)
		}
	})
}

func FuzzPrivateKey(f *testing.F) {
	x := newFuzzSetup(f)
	f.Add(marshal(f, x.c.keys.GetPrivateKey()))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := x.s.ParsePrivateKey(b)
		if (k == nil) == (err == nil) {
			t.Errorf("error %v", err)
		}
	})
}

// FuzzQueries also answers the queries it accepts, and checks that the parser sees what the
// generated one sees.
func FuzzQueries(f *testing.F) {
	x := newFuzzSetup(f)
	f.Add(marshal(f, x.c.request.GetQueries()[0]))
	f.Add([]byte{})
	buckets := []Bucket{{3, []byte("three")}, {9, []byte("nine")}}
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := x.s.ParseQueries(b)
		if err != nil {
			return
		}
		var m batchpb.EncryptedQueries
		if err := proto.Unmarshal(b, &m); err != nil {
			t.Fatalf("accepted what the generated parser refuses: %v", err)
		}
		if len(m.GetQueryMetadata()) != len(q.Metadata) || len(m.GetEncryptedQueries()) != len(q.polys) || !bytes.Equal(m.GetPrngSeed(), q.seed) {
			t.Fatal("parsers disagree")
		}
		nonces := map[int32][]byte{1: {1}}
		for i, md := range m.GetQueryMetadata() {
			if md.GetQueryId() != q.Metadata[i].QueryID || md.GetShardId() != q.Metadata[i].ShardID {
				t.Fatal("parsers disagree about metadata")
			}
			nonces[md.GetQueryId()] = []byte("nonce")
		}
		if len(q.Metadata) > 8 {
			return
		}
		sh, err := x.e.NewShard(0, buckets, Options{Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		d := x.k.NewDecrypter()
		// Coefficients may be refused only now; results may decrypt to nonsense.
		_ = sh.Apply(context.Background(), []*Queries{q}, nonces, func(r Result) error {
			_, _, err := d.Decrypt(r.Message)
			return err
		})
	})
}

func FuzzResult(f *testing.F) {
	x := newFuzzSetup(f)
	for _, r := range x.c.response.GetQueryResults() {
		f.Add(marshal(f, r))
	}
	r := proto.Clone(x.c.request).(*batchpb.ApplyQueriesRequest)
	r.FinalizeResults = false
	wide := apply(f, x.s, r, Options{})[0].Message
	f.Add(wide)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, contents, err := x.k.NewDecrypter().Decrypt(b)
		if err == nil && len(contents) > len(b) {
			t.Error("more contents than ciphertext")
		}
		if final, err := x.s.Finalize(b); err == nil {
			if _, err := x.s.parseResult(final, x.s.response); err != nil {
				t.Error(err)
			}
		}
	})
}

// FuzzContents: whatever a bucket holds comes back.
func FuzzContents(f *testing.F) {
	x := newFuzzSetup(f)
	y := mustScheme(f, readDerived(f, "b").request.GetParameters())
	f.Add([]byte("contents"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, s := range []*Scheme{x.s, y} {
			var out []byte
			chunk, coeffs := make([]byte, s.chunk), make([]int64, s.request.N())
			values := make([]uint64, s.request.N())
			for i := range s.chunksOf(b) {
				chunkInto(chunk, b, i)
				s.coefficients(coeffs, chunk)
				for j, c := range coeffs {
					values[j] = uint64(c)
				}
				out = s.bytesOf(out, values)
			}
			if len(b) == 0 {
				continue
			}
			if got, err := unprefix(out); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%x came back as %x, %v", b, got, err)
			}
		}
	})
}
