package membership

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/crypto/membership/internal/protoscan"
	"github.com/panelmatch/panelmatch/engine/crypto/membership/rlwe"
	"github.com/panelmatch/panelmatch/schema/wire/batchpb"
)

// standard returns the one parameter set that the reference uses, for one shard.
func standard(buckets int32) *batchpb.Parameters {
	return &batchpb.Parameters{
		ShardParameters: &batchpb.Parameters_ShardParameters{
			NumberOfShards: 1, NumberOfBucketsPerShard: buckets, EnablePaddingNonces: true,
		},
		CryptoParameters: &batchpb.Parameters_CryptoParameters{
			RequestModulus:  []uint64{18446744073708380161, 137438953471},
			ResponseModulus: []uint64{2056193},
			LogDegree:       12, LogT: 1, Variance: 8, LevelsOfRecursion: 2,
			LogCompressionFactor: 4, LogDecompositionModulus: 10,
		},
	}
}

// set returns the standard parameters, changed.
func set(buckets int32, change func(*batchpb.Parameters_ShardParameters, *batchpb.Parameters_CryptoParameters)) *batchpb.Parameters {
	p := standard(buckets)
	change(p.ShardParameters, p.CryptoParameters)
	return p
}

// database makes the buckets of a shard: sizes up to max bytes, some empty, some absent.
func database(rng *rand.Rand, s *Scheme, max int) []Bucket {
	var out []Bucket
	last := s.buckets
	if s.nonces {
		last--
	}
	for id := range last {
		if rng.IntN(4) == 0 && id > 0 {
			continue
		}
		contents := make([]byte, rng.IntN(max+1))
		for i := range contents {
			contents[i] = byte(rng.Uint32())
		}
		out = append(out, Bucket{id, contents})
	}
	if len(out[0].Contents) == 0 {
		out[0].Contents = []byte("not empty")
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// exchange runs the whole protocol on every shard and checks every answer. It returns the results.
func exchange(t *testing.T, s *Scheme, rng *rand.Rand, perShard, maxBytes int, o Options) {
	t.Helper()
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
	// Two lists; the queries of all shards mixed in both.
	asked := map[int32]Query{}
	nonces := map[int32][]byte{}
	var lists []*Queries
	for range 2 {
		var queries []Query
		for range perShard * int(s.shards) {
			q := Query{Metadata{int32(rng.Uint32()), rng.Int32N(s.shards)}, rng.Int32N(s.buckets)}
			if rng.IntN(8) == 0 {
				q.Bucket = s.buckets - 1
			}
			asked[q.QueryID] = q
			if s.nonces {
				nonces[q.QueryID] = fmt.Appendf(nil, "nonce %d", q.QueryID)[:1+rng.IntN(6)]
			}
			queries = append(queries, q)
		}
		b, err := k.EncryptQueries(queries)
		if err != nil {
			t.Fatal(err)
		}
		list, err := s.ParseQueries(b)
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, list)
	}
	d := k.NewDecrypter()
	answers := 0
	for shard := range s.shards {
		buckets := database(rng, s, maxBytes)
		sh, err := e.NewShard(shard, buckets, o)
		if err != nil {
			t.Fatal(err)
		}
		err = sh.Apply(context.Background(), lists, nonces, func(r Result) error {
			m, got, err := d.Decrypt(r.Message)
			if err != nil {
				return err
			}
			q := asked[m.QueryID]
			if m != q.Metadata || m != r.Metadata || m.ShardID != shard {
				return fmt.Errorf("result is for %v, query was %v", m, q)
			}
			var want []byte
			if i := slices.IndexFunc(buckets, func(b Bucket) bool { return b.ID == q.Bucket }); i >= 0 {
				want = buckets[i].Contents
			}
			if s.nonces && q.Bucket == s.buckets-1 {
				want = nonces[q.QueryID]
			}
			if !bytes.Equal(got, want) {
				return fmt.Errorf("bucket %d of shard %d decrypts to %x, want %x", q.Bucket, shard, got, want)
			}
			answers++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if answers != len(asked) {
		t.Errorf("%d answers to %d queries", answers, len(asked))
	}
}

func TestEveryQueryGetsItsBucket(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		levels, logT, logN, logCF, logBase int32
		buckets, shards                    int32
		nonces                             bool
	}{
		{1, 1, 6, 2, 10, 5, 1, true},
		{1, 3, 6, 4, 7, 9, 2, false},
		{2, 1, 7, 3, 10, 20, 3, true},
		{2, 3, 6, 6, 5, 17, 2, true},
		{2, 1, 6, 1, 20, 2, 1, true},
		{3, 1, 6, 4, 7, 50, 2, true},
		{3, 3, 6, 3, 7, 28, 2, false},
		{4, 1, 5, 3, 4, 40, 1, true},
		{5, 1, 5, 3, 2, 33, 1, true},
	} {
		t.Run(fmt.Sprintf("L=%d t=%d N=%d", c.levels, 1<<c.logT+1, 1<<c.logN), func(t *testing.T) {
			p := set(c.buckets, func(sp *batchpb.Parameters_ShardParameters, cp *batchpb.Parameters_CryptoParameters) {
				sp.NumberOfShards, sp.EnablePaddingNonces = c.shards, c.nonces
				cp.LevelsOfRecursion, cp.LogT, cp.LogDegree = c.levels, c.logT, c.logN
				cp.LogCompressionFactor, cp.LogDecompositionModulus = c.logCF, c.logBase
				if c.levels > 3 {
					cp.ResponseModulus = []uint64{576460752303210497} // 59 bits: more levels, more rounding
				}
			})
			s := mustScheme(t, p)
			exchange(t, s, rng, 3, 4*s.chunk, Options{})
		})
	}
}

func TestOtherModuliWork(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for name, q := range map[string][]uint64{
		"126 bits": largestModulus,
		"64 bits":  {18446744073709305857},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustScheme(t, set(10, func(_ *batchpb.Parameters_ShardParameters, cp *batchpb.Parameters_CryptoParameters) {
				cp.RequestModulus, cp.LogDegree, cp.LogDecompositionModulus = q, 5, 4
			}))
			exchange(t, s, rng, 3, 3*s.chunk, Options{})
		})
	}
}

// TestStandardSetIsBitExact compares the fast engines, in one exchange of full size, with the
// plain engine, which the derived cases tie to the reference's bytes.
func TestStandardSetIsBitExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	p := standard(11)
	fast := mustScheme(t, p)
	plain, err := newScheme(p, rlwe.NewPlainRing)
	if err != nil {
		t.Fatal(err)
	}
	from := func() seeds {
		return seeds{labelled(t, "secret"), func(i int) ([]byte, *rlwe.PRNG) { return labelSeed("galois %d", i), labelled(t, "error %d", i) }}
	}
	private, public, err := fast.generateKeys(from())
	if err != nil {
		t.Fatal(err)
	}
	private2, public2, err := plain.generateKeys(from())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(private, private2) || !bytes.Equal(public, public2) {
		t.Fatal("keys differ")
	}
	if len(private) != 62484 || len(public) != 2276144 {
		t.Errorf("keys have %d and %d bytes, want 62484 and 2276144", len(private), len(public))
	}
	buckets := database(rng, fast, 1200)
	nonces := map[int32][]byte{7: []byte("seven"), 8: []byte("eight"), 9: []byte("nine")}
	asked := []Query{{Metadata{7, 0}, 10}, {Metadata{8, 0}, buckets[0].ID}, {Metadata{9, 0}, buckets[1].ID}}
	var answers [2][]Result
	for i, s := range []*Scheme{fast, plain} {
		k, err := s.ParsePrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		b, err := k.encryptQueries(asked, labelSeed("queries"), labelled(t, "query errors"))
		if err != nil {
			t.Fatal(err)
		}
		q, err := s.ParseQueries(b)
		if err != nil {
			t.Fatal(err)
		}
		e, err := s.NewEvaluator(public)
		if err != nil {
			t.Fatal(err)
		}
		sh, err := e.NewShard(0, buckets, Options{})
		if err != nil {
			t.Fatal(err)
		}
		d := k.NewDecrypter()
		err = sh.Apply(context.Background(), []*Queries{q}, nonces, func(r Result) error {
			answers[i] = append(answers[i], r)
			_, got, err := d.Decrypt(r.Message)
			want := nonces[7]
			if n := len(answers[i]) - 2; n >= 0 {
				want = buckets[n].Contents
			}
			if !bytes.Equal(got, want) {
				t.Errorf("query %d: got %x, want %x", r.QueryID, got, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range answers[0] {
		if !bytes.Equal(answers[0][i].Message, answers[1][i].Message) {
			t.Errorf("result %d differs between engines", i)
		}
		if n, want := len(answers[0][i].Message), fast.ResultBytes(3)+4; n != want {
			t.Errorf("result has %d bytes, ResultBytes says %d", n, want)
		}
	}
}

func TestDerivedResponsesAreReproducedByThePlainEngine(t *testing.T) {
	forDerivedCases(t, func(t *testing.T, c derivedCase) {
		s, err := newScheme(c.request.GetParameters(), rlwe.NewPlainRing)
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range apply(t, s, c.request, Options{}) {
			if !bytes.Equal(got.Message, marshal(t, c.response.GetQueryResults()[i])) {
				t.Errorf("result %d differs", i)
			}
		}
	})
}

// TestRecordedResultIsDecrypted opens a result that the reference made in a recorded exchange.
func TestRecordedResultIsDecrypted(t *testing.T) {
	read := func(name string) []byte {
		b, err := os.ReadFile("rlwe/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	s := mustScheme(t, standard(11))
	k, err := s.ParsePrivateKey(read("mp-serialized-rlwe-private-key"))
	if err != nil {
		t.Fatal(err)
	}
	record, n := protowire.ConsumeBytes(read("edp-encrypted-query-results.first"))
	if n < 0 {
		t.Fatal("no record")
	}
	var result []byte
	if err := protoscan.Each(record, func(f protoscan.Field) error {
		if f.Number == 2 {
			result = f.Data
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	m, contents, err := k.NewDecrypter().Decrypt(result)
	if err != nil {
		t.Fatal(err)
	}
	if m.QueryID != 1999836383 || len(contents) != 844 {
		t.Errorf("query %d with %d bytes, want 1999836383 with 844", m.QueryID, len(contents))
	}
	var items [][]byte
	if err := protoscan.Each(contents, func(f protoscan.Field) error {
		items = append(items, f.Data)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := "\x9e\xed\x0d\xb0\xb9\xc5\x20\x3a\xfe\x39\xcf\xf7\x68\x39\xe6\xd9"
	if len(items) != 13 || !bytes.HasPrefix(items[1], []byte(want)) {
		t.Errorf("%d items, the second begins with %x", len(items), items[1][:16])
	}
	// The estimates of the recording follow from which buckets reach each column.
	p, err := s.parseResult(result, s.response)
	if err != nil {
		t.Fatal(err)
	}
	for col, want := range []float64{57090.5771946433, 57089.783530216715, 57088.59303357684} {
		if got := p.ciphertexts[col].Error; got != want {
			t.Errorf("estimate of column %d is %v, want %v", col, got, want)
		}
	}
	var full []bucketRef
	for id := range 10 {
		full = append(full, bucketRef{id: id, chunks: 1})
	}
	plan := s.planColumn(0, full, 100)
	if got := s.model.Switched(plan.nonceError); got != p.ciphertexts[0].Error {
		t.Errorf("estimate for eleven buckets is %v, want %v", got, p.ciphertexts[0].Error)
	}
}

func TestImpossibleParametersAreRefusedWithTheReason(t *testing.T) {
	for _, c := range []struct {
		change func(*batchpb.Parameters_ShardParameters, *batchpb.Parameters_CryptoParameters)
		want   string
	}{
		{func(sp *batchpb.Parameters_ShardParameters, _ *batchpb.Parameters_CryptoParameters) {
			sp.NumberOfShards = 0
		}, "number_of_shards is 0"},
		{func(sp *batchpb.Parameters_ShardParameters, _ *batchpb.Parameters_CryptoParameters) {
			sp.NumberOfBucketsPerShard = -1
		}, "number_of_buckets_per_shard is -1"},
		{func(sp *batchpb.Parameters_ShardParameters, _ *batchpb.Parameters_CryptoParameters) {
			sp.NumberOfBucketsPerShard = 1
		}, "the last bucket is the nonce's"},
		{func(_ *batchpb.Parameters_ShardParameters, cp *batchpb.Parameters_CryptoParameters) {
			cp.LogDegree = 16
		}, "log_degree is 16"},
		{func(_ *batchpb.Parameters_ShardParameters, cp *batchpb.Parameters_CryptoParameters) {
			cp.LogCompressionFactor = 0
		}, "log_compression_factor is 0"},
		{func(_ *batchpb.Parameters_ShardParameters, cp *batchpb.Parameters_CryptoParameters) {
			cp.LogCompressionFactor = 13
		}, "log_compression_factor is 13"},
		{func(_ *batchpb.Parameters_ShardParameters, cp *batchpb.Parameters_CryptoParameters) {
			cp.Variance = 257
		}, "variance is 257"},
		{func(_ *batchpb.Parameters_ShardParameters, cp *batchpb.Parameters_CryptoParameters) {
			cp.RequestModulus = nil
		}, "request_modulus: modulus has 0 words"},
		{func(_ *batchpb.Parameters_ShardParameters, cp *batchpb.Parameters_CryptoParameters) {
			cp.RequestModulus[0] -= 8192
		}, "is not prime"},
		{func(_ *batchpb.Parameters_ShardParameters, cp *batchpb.Parameters_CryptoParameters) {
			cp.RequestModulus[1] = 1 << 62
		}, "must be below 2^126"},
		{func(_ *batchpb.Parameters_ShardParameters, cp *batchpb.Parameters_CryptoParameters) {
			cp.ResponseModulus[0] = 2056199
		}, "response_modulus"},
		{func(_ *batchpb.Parameters_ShardParameters, cp *batchpb.Parameters_CryptoParameters) { cp.LogT = 2 }, "do not fit plaintext modulus 5"},
		{func(_ *batchpb.Parameters_ShardParameters, cp *batchpb.Parameters_CryptoParameters) {
			cp.LevelsOfRecursion = 3
		}, "noise"},
		{func(_ *batchpb.Parameters_ShardParameters, cp *batchpb.Parameters_CryptoParameters) {
			cp.LogDecompositionModulus = 40
		}, "noise reaches"},
		{func(sp *batchpb.Parameters_ShardParameters, _ *batchpb.Parameters_CryptoParameters) {
			sp.NumberOfBucketsPerShard = 1 << 30
		}, ""},
	} {
		_, err := New(set(11, c.change))
		if c.want == "" {
			if err != nil {
				t.Errorf("unexpected: %v", err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want an error with %q", err, c.want)
		}
	}
	if _, err := New(&batchpb.Parameters{}); err == nil || !strings.Contains(err.Error(), "shard_parameters is missing") || !strings.Contains(err.Error(), "crypto_parameters is missing") {
		t.Errorf("empty parameters: %v", err)
	}
	if _, err := New(nil); err == nil {
		t.Error("no parameters were accepted")
	}
}

func TestStepMustNameOneBucketLess(t *testing.T) {
	s := mustScheme(t, standard(11))
	if err := s.CheckStep(1, 10); err != nil {
		t.Error(err)
	}
	if err := s.CheckStep(1, 11); err == nil || !strings.Contains(err.Error(), "must be one less") {
		t.Errorf("equal bucket counts: %v", err)
	}
	if err := s.CheckStep(2, 10); err == nil || !strings.Contains(err.Error(), "shard_count is 2") {
		t.Errorf("other shard count: %v", err)
	}
	p := standard(11)
	p.ShardParameters.EnablePaddingNonces = false
	s = mustScheme(t, p)
	if s.CheckStep(1, 11) != nil || s.CheckStep(1, 10) == nil {
		t.Error("without nonces the counts must be equal")
	}
}

func TestSlotsPerLevelAgreesWithC(t *testing.T) {
	type row struct{ buckets, levels, want int }
	for _, c := range []row{
		{1, 1, 1},
		{11, 1, 11},
		{11, 2, 4},
		{16, 2, 4},
		{17, 2, 5},
		{8192, 2, 91},
		{1, 3, 1},
		{27, 3, 3},
		{28, 3, 4},
		{64, 3, 4},
		{125, 3, 5},
		{81, 4, 3},
		{1024, 5, 4},
		// Exact fifth powers, where C's 1.0/5 is above a fifth.
		{3125, 5, 6},
		{7776, 5, 7},
		{16807, 5, 8},
		{32768, 5, 9},
		{3124, 5, 5},
		{243, 5, 3},
		{1 << 30, 2, 1 << 15},
		{1 << 30, 30, 2},
	} {
		if got := slotsPerLevel(c.buckets, c.levels); got != c.want {
			t.Errorf("%d buckets, %d levels: %d slots, want %d", c.buckets, c.levels, got, c.want)
		}
	}
}

func TestChunksRepeatTheStaleTail(t *testing.T) {
	contents := []byte("abcdefghijklmnop") // with its prefix: 20 bytes
	for _, c := range []struct {
		i    int
		want string
	}{{0, "\x10\x00\x00\x00abcd"}, {1, "efghijkl"}, {2, "mnopijkl"}} {
		got := make([]byte, 8)
		chunkInto(got, contents, c.i)
		if string(got) != c.want {
			t.Errorf("chunk %d is %q, want %q", c.i, got, c.want)
		}
	}
	got := bytes.Repeat([]byte{0xff}, 8)
	if chunkInto(got, []byte("x"), 0); string(got) != "\x01\x00\x00\x00x\x00\x00\x00" {
		t.Errorf("a single chunk is %q", got)
	}
	// The prefix may be longer than a chunk.
	got = make([]byte, 3)
	for i, want := range []string{"\x06\x00\x00", "\x00in", "put", "\x00ut"} {
		if chunkInto(got, []byte("input\x00"), i); string(got) != want {
			t.Errorf("small chunk %d is %q, want %q", i, got, want)
		}
	}
}

func TestLengthPrefix(t *testing.T) {
	if got, err := unprefix([]byte("\x05\x00\x00\x00input")); err != nil || string(got) != "input" {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "\x00\x00\x00", "\x06\x00\x00\x00input", "\xff\xff\xff\xffinput"} {
		if _, err := unprefix([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestPrivateKeyIsCheckedAndNeverPrinted(t *testing.T) {
	s := mustScheme(t, standard(11))
	private, _, err := s.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	k, err := s.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, k); got != "[redacted]" {
			t.Errorf("%s prints %.40q", verb, got)
		}
	}
	var pk batchpb.PrivateKey
	if err := proto.Unmarshal(private, &pk); err != nil {
		t.Fatal(err)
	}
	other, _, err := s.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	var pk2 batchpb.PrivateKey
	if err := proto.Unmarshal(other, &pk2); err != nil {
		t.Fatal(err)
	}
	pk.ResponseKey = pk2.ResponseKey
	if _, err := s.ParsePrivateKey(marshal(t, &pk)); err == nil || !strings.Contains(err.Error(), "not the same secret") {
		t.Errorf("mixed keys: %v", err)
	}
	if _, err := s.ParsePrivateKey(nil); err == nil {
		t.Error("no key was accepted")
	}
}
