package membership

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/schema/wire/batchpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// prepared is the derived case a, ready for Apply.
type prepared struct {
	s       *Scheme
	e       *Evaluator
	request *batchpb.ApplyQueriesRequest
	queries *Queries
	buckets []Bucket
}

func prepare(t *testing.T) prepared {
	t.Helper()
	c := readDerived(t, "a")
	s := mustScheme(t, c.request.GetParameters())
	e, err := s.NewEvaluator(marshal(t, c.request.GetPublicKey()))
	if err != nil {
		t.Fatal(err)
	}
	q, err := s.ParseQueries(marshal(t, c.request.GetQueries()[0]))
	if err != nil {
		t.Fatal(err)
	}
	p := prepared{s: s, e: e, request: c.request, queries: q}
	for _, b := range c.request.GetRawDatabase().GetShards()[0].GetBuckets() {
		p.buckets = append(p.buckets, Bucket{b.GetBucketId(), b.GetBucketContents()})
	}
	return p
}

func TestShardRefusesWhatItCannotServe(t *testing.T) {
	p := prepare(t)
	for _, c := range []struct {
		id      int32
		buckets []Bucket
		o       Options
		want    string
	}{
		{2, p.buckets, Options{}, "shard 2 does not exist"},
		{-1, p.buckets, Options{}, "shard -1 does not exist"},
		{0, nil, Options{}, "no buckets"},
		{0, []Bucket{{11, nil}}, Options{}, "bucket 11, must be below 11"},
		{0, []Bucket{{-1, nil}}, Options{}, "bucket -1"},
		{0, []Bucket{{10, nil}}, Options{}, "kept for padding nonces"},
		{0, []Bucket{{1, nil}, {2, nil}, {1, nil}}, Options{}, "bucket 1 twice"},
		{0, p.buckets, Options{Memory: 1000}, "one query of 8 slots needs"},
	} {
		if _, err := p.e.NewShard(c.id, c.buckets, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestApplyRefusesMissingPieces(t *testing.T) {
	p := prepare(t)
	sh, err := p.e.NewShard(0, p.buckets, Options{})
	if err != nil {
		t.Fatal(err)
	}
	nonces := p.request.GetPaddingNonces()
	none := func(Result) error { return errors.New("no result expected") }
	for _, c := range []struct {
		queries []*Queries
		nonces  map[int32][]byte
		want    string
	}{
		{nil, nonces, "no encrypted queries"},
		{[]*Queries{p.queries}, nil, "there are none"},
		{[]*Queries{p.queries}, map[int32][]byte{77: {1}}, "has no padding nonce"},
		{[]*Queries{p.queries}, map[int32][]byte{0: make([]byte, 1000)}, "padding nonce"},
	} {
		err := sh.Apply(context.Background(), c.queries, c.nonces, none)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestQueriesForOtherShardsAreSkipped(t *testing.T) {
	p := prepare(t)
	sh, err := p.e.NewShard(1, p.buckets, Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = sh.Apply(context.Background(), []*Queries{p.queries}, p.request.GetPaddingNonces(), func(r Result) error {
		n++
		if r.ShardID != 1 {
			t.Errorf("result for shard %d", r.ShardID)
		}
		return nil
	})
	if err != nil || n != 2 {
		t.Errorf("%d results, %v; want 2", n, err)
	}
}

func TestApplyStopsWithTheContextAndWithEmit(t *testing.T) {
	p := prepare(t)
	sh, err := p.e.NewShard(0, p.buckets, Options{Workers: 3})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	none := func(Result) error { t.Error("a result after the context ended"); return nil }
	if err := sh.Apply(ctx, []*Queries{p.queries}, p.request.GetPaddingNonces(), none); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want cancelled", err)
	}
	full := errors.New("disk full")
	n := 0
	err = sh.Apply(context.Background(), []*Queries{p.queries}, p.request.GetPaddingNonces(), func(Result) error { n++; return full })
	if !errors.Is(err, full) || n != 1 {
		t.Errorf("got %v after %d results", err, n)
	}
}

func TestShardIsUsableAgainAndByManyGoroutines(t *testing.T) {
	p := prepare(t)
	sh, err := p.e.NewShard(0, p.buckets, Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	first := map[int32][]byte{}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			err := sh.Apply(context.Background(), []*Queries{p.queries}, p.request.GetPaddingNonces(), func(r Result) error {
				mu.Lock()
				defer mu.Unlock()
				if was, ok := first[r.QueryID]; ok && !bytes.Equal(was, r.Message) {
					t.Errorf("query %d: another result", r.QueryID)
				}
				first[r.QueryID] = r.Message
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if len(first) != 3 {
		t.Errorf("%d results, want 3", len(first))
	}
}

func TestQueriesForOtherParametersAreRefused(t *testing.T) {
	p := prepare(t)
	good := p.request.GetQueries()[0]
	for _, c := range []struct {
		change func(*batchpb.EncryptedQueries)
		want   string
	}{
		{func(m *batchpb.EncryptedQueries) { m.PrngSeed = m.PrngSeed[:32] }, "seed has 32 bytes"},
		{func(m *batchpb.EncryptedQueries) { m.EncryptedQueries = m.EncryptedQueries[1:] }, "2 ciphertexts for 5 queries, must be 3"},
		{func(m *batchpb.EncryptedQueries) { m.QueryMetadata[0].ShardId = 2 }, "is for shard 2"},
		{func(m *batchpb.EncryptedQueries) { m.EncryptedQueries[1].NumCoeffs = proto.Int32(32) }, "ciphertext 1: polynomial has 32 coefficients"},
		{func(m *batchpb.EncryptedQueries) { m.EncryptedQueries[1].Coeffs = nil }, "has 0 bytes of coefficients"},
	} {
		m := proto.Clone(good).(*batchpb.EncryptedQueries)
		c.change(m)
		if _, err := p.s.ParseQueries(marshal(t, m)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	// Coefficients are looked at when they are used.
	m := proto.Clone(good).(*batchpb.EncryptedQueries)
	for i := range m.EncryptedQueries[0].Coeffs {
		m.EncryptedQueries[0].Coeffs[i] = 0xff
	}
	q, err := p.s.ParseQueries(marshal(t, m))
	if err != nil {
		t.Fatal(err)
	}
	sh, err := p.e.NewShard(0, p.buckets, Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = sh.Apply(context.Background(), []*Queries{q}, p.request.GetPaddingNonces(), func(Result) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "ciphertext 0: coefficient 0 is not below the modulus") {
		t.Errorf("got %v", err)
	}
}

func TestResultsOfOtherShapeAreRefused(t *testing.T) {
	c := readDerived(t, "a")
	s := mustScheme(t, c.request.GetParameters())
	k, err := s.ParsePrivateKey(marshal(t, c.keys.GetPrivateKey()))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		change func(*batchpb.EncryptedQueryResult)
		want   string
	}{
		{func(m *batchpb.EncryptedQueryResult) { m.Ciphertexts = nil }, "has no ciphertexts"},
		{func(m *batchpb.EncryptedQueryResult) { m.Ciphertexts[0].C = m.Ciphertexts[0].C[:2] }, "has 2 components, must have 3"},
		{func(m *batchpb.EncryptedQueryResult) {
			m.Ciphertexts[0].C = append(m.Ciphertexts[0].C, m.Ciphertexts[0].C[0])
		}, "more than 3 components"},
		{func(m *batchpb.EncryptedQueryResult) { m.Ciphertexts[0].PowerOfS = proto.Int32(5) }, "under power 5"},
		{func(m *batchpb.EncryptedQueryResult) { m.Ciphertexts[0].C[0].Coeffs = m.Ciphertexts[0].C[0].Coeffs[1:] }, "bytes of coefficients"},
	} {
		m := proto.Clone(c.response.GetQueryResults()[0]).(*batchpb.EncryptedQueryResult)
		x.change(m)
		if _, _, err := k.NewDecrypter().Decrypt(marshal(t, m)); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want %q", err, x.want)
		}
	}
}

func TestErrorEstimateIgnoresDivisionOfMemory(t *testing.T) {
	s := mustScheme(t, standard(60))
	var refs []bucketRef
	for id := range 59 {
		refs = append(refs, bucketRef{id: id, chunks: 1 + id%3})
	}
	for col := range 3 {
		a, b := s.planColumn(col, refs, 1000), s.planColumn(col, refs, 7)
		if a.plainError != b.plainError || a.nonceError != b.nonceError || math.IsNaN(a.plainError) {
			t.Errorf("column %d: %v and %v", col, a.plainError, b.plainError)
		}
		if len(b.blocks) < len(a.blocks) {
			t.Errorf("column %d: %d blocks", col, len(b.blocks))
		}
	}
}

// TestMemoryStaysInsideTheBudget adds up what a shard would take, for shards that fit and shards
// that do not.
func TestMemoryStaysInsideTheBudget(t *testing.T) {
	p := prepare(t)
	contents := make([]byte, 200*p.s.chunk)
	poly, query := p.s.polyBytes(), p.s.queryBytes()
	for _, size := range []int{1, 3 * p.s.chunk, len(contents)} {
		for memory := p.e.MinMemory(); memory < 1<<24; memory = memory*5/4 + 1 {
			var buckets []Bucket
			for id := range int32(10) {
				buckets = append(buckets, Bucket{id, contents[:size]})
			}
			sh, err := p.e.NewShard(0, buckets, Options{Memory: memory})
			if err != nil {
				t.Fatal(err)
			}
			sh.prepare()
			used := int64(sh.queries) * query
			largest := int64(0)
			for _, c := range sh.columns {
				for _, b := range c.blocks {
					n := int64(b.stride(1)) * poly
					largest = max(largest, n)
					if sh.keep {
						used += n
					}
				}
			}
			if !sh.keep {
				used += int64(len(sh.scratch)) * 8
				if int64(len(sh.scratch))*8 < largest {
					t.Errorf("scratch space of %d bytes for a block of %d", len(sh.scratch)*8, largest)
				}
			}
			if used > memory {
				t.Errorf("%d polynomials in %d bytes: %d used", sh.total, memory, used)
			}
		}
	}
}
