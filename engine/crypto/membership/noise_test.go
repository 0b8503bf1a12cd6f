package membership

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/panelmatch/panelmatch/engine/crypto/membership/rlwe"
	"github.com/panelmatch/panelmatch/schema/wire/batchpb"
)

// TestNoiseStaysBelowItsBound runs the worst plaintext, all ones, through whole
// exchanges and measures what decryption meets. The bound must hold, and must not
// be so far off that workable parameters are refused.
func TestNoiseStaysBelowItsBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for name, p := range map[string]*batchpb.Parameters{
		"standard, 60 buckets": standard(60),
		"small, t=9, 3 levels": set(30, func(_ *batchpb.Parameters_ShardParameters, cp *batchpb.Parameters_CryptoParameters) {
			cp.LogDegree, cp.LogT, cp.LevelsOfRecursion, cp.LogCompressionFactor, cp.LogDecompositionModulus = 6, 3, 3, 3, 7
		}),
	} {
		t.Run(name, func(t *testing.T) {
			s := mustScheme(t, p)
			private, public, err := s.GenerateKeys()
			if err != nil {
				t.Fatal(err)
			}
			k, err := s.ParsePrivateKey(private)
			if err != nil {
				t.Fatal(err)
			}
			e, err := s.NewEvaluator(public)
			if err != nil {
				t.Fatal(err)
			}
			var buckets []Bucket
			for id := range s.buckets - 1 {
				ones := make([]byte, s.chunk-lengthBytes)
				for i := range ones {
					ones[i] = 0xff
				}
				buckets = append(buckets, Bucket{id, ones})
			}
			b, err := k.EncryptQueries([]Query{{Metadata{1, 0}, rng.Int32N(s.buckets - 1)}})
			if err != nil {
				t.Fatal(err)
			}
			q, err := s.ParseQueries(b)
			if err != nil {
				t.Fatal(err)
			}
			sh, err := e.NewShard(0, buckets, Options{Unfinalized: true})
			if err != nil {
				t.Fatal(err)
			}
			err = sh.Apply(context.Background(), []*Queries{q}, map[int32][]byte{1: {1}}, func(r Result) error {
				final, err := s.Finalize(r.Message)
				if err != nil {
					return err
				}
				before := measure(t, s, s.request, k.request, r.Message)
				after := measure(t, s, s.response, k.response, final)
				n := s.Noise()
				t.Logf("before the switch %d bits, bound %.1f, allowed %.1f; after it %d, %.1f, %.1f",
					before, n.Request, n.RequestAllowed, after, n.Response, n.ResponseAllowed)
				if float64(before) > n.Request+1 || float64(after) > n.Response+1 {
					t.Error("the bound does not hold")
				}
				if n.Request > float64(before)+16 || n.Response > float64(after)+4 {
					t.Error("the bound is far too high")
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// measure returns the bits of the largest coefficient of the first column.
func measure(t *testing.T, s *Scheme, r *rlwe.Ring, k *rlwe.SecretKey, message []byte) int {
	t.Helper()
	p, err := s.parseResult(message, r)
	if err != nil {
		t.Fatal(err)
	}
	var comps []rlwe.Poly
	for _, c := range p.ciphertexts[0].Components {
		poly := r.NewPoly()
		if err := r.Unpack(poly, c, r.NewBuffer()); err != nil {
			t.Fatal(err)
		}
		comps = append(comps, poly)
	}
	return rlwe.NewCryptor(k, s.t, s.variance).NoiseBits(comps)
}
