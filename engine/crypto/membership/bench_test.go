package membership

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/schema/wire/batchpb"
)

// Benchmarks in the units of a deployment, standard parameters, one worker.

// party is both sides of a benchmark.
type party struct {
	s       *Scheme
	k       *PrivateKey
	e       *Evaluator
	private []byte
	public  []byte
}

func newParty(b *testing.B, buckets int32) party {
	b.Helper()
	p := standard(buckets)
	p.ShardParameters.EnablePaddingNonces = false
	s := mustScheme(b, p)
	private, public, err := s.GenerateKeys()
	if err != nil {
		b.Fatal(err)
	}
	k, err := s.ParsePrivateKey(private)
	if err != nil {
		b.Fatal(err)
	}
	e, err := s.NewEvaluator(public)
	if err != nil {
		b.Fatal(err)
	}
	return party{s, k, e, private, public}
}

func (p party) queries(b *testing.B, n int) *Queries {
	b.Helper()
	var all []Query
	for i := range n {
		all = append(all, Query{Metadata{int32(i + 1), 0}, rand.Int32N(p.s.buckets)})
	}
	m, err := p.k.EncryptQueries(all)
	if err != nil {
		b.Fatal(err)
	}
	q, err := p.s.ParseQueries(m)
	if err != nil {
		b.Fatal(err)
	}
	return q
}

func fullShard(buckets int32, size int) []Bucket {
	var out []Bucket
	for id := range buckets {
		contents := make([]byte, size)
		for i := range contents {
			contents[i] = byte(rand.Uint32())
		}
		out = append(out, Bucket{id, contents})
	}
	return out
}

func BenchmarkNewScheme(b *testing.B) {
	p := standard(8192)
	for b.Loop() {
		mustScheme(b, proto.Clone(p).(*batchpb.Parameters))
	}
}

func BenchmarkGenerateKeys(b *testing.B) {
	s := mustScheme(b, standard(8192))
	for b.Loop() {
		if _, _, err := s.GenerateKeys(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}

func BenchmarkNewEvaluator(b *testing.B) {
	p := newParty(b, 11)
	for b.Loop() {
		if _, err := p.s.NewEvaluator(p.public); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncryptQueries(b *testing.B) {
	for _, buckets := range []int32{512, 2048, 8192} {
		b.Run(fmt.Sprintf("buckets=%d", buckets), func(b *testing.B) {
			p := newParty(b, buckets)
			const n = 8
			queries := make([]Query, n)
			size := 0
			for b.Loop() {
				m, err := p.k.EncryptQueries(queries)
				if err != nil {
					b.Fatal(err)
				}
				size = len(m)
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "queries/s")
			b.ReportMetric(float64(size)/n, "bytes/query")
		})
	}
}

// BenchmarkApplyQueries evaluates 8 queries against a shard that is encoded already (warm) or
// not (cold).
func BenchmarkApplyQueries(b *testing.B) {
	for _, buckets := range []int32{512, 2048, 8192} {
		for _, size := range []int{64, 508, 4096} {
			for _, cold := range []bool{false, true} {
				if buckets == 8192 && size == 4096 && !cold {
					continue // 4.5 GiB encoded: more than the budget, so it is never warm
				}
				name := fmt.Sprintf("buckets=%d/bytes=%d/cold=%v", buckets, size, cold)
				b.Run(name, func(b *testing.B) { benchApply(b, buckets, size, cold) })
			}
		}
	}
}

func benchApply(b *testing.B, buckets int32, size int, cold bool) {
	const n = 8
	p := newParty(b, buckets)
	database := fullShard(buckets, size)
	q := p.queries(b, n)
	o := Options{Workers: 1, Memory: 2 << 30}
	results, bytes := 0, 0
	run := func(sh *Shard) {
		err := sh.Apply(context.Background(), []*Queries{q}, nil, func(r Result) error {
			results++
			bytes += len(r.Message)
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	sh, err := p.e.NewShard(0, database, o)
	if err != nil {
		b.Fatal(err)
	}
	if !cold {
		run(sh)
		results, bytes = 0, 0
	}
	for b.Loop() {
		if cold {
			if sh, err = p.e.NewShard(0, database, o); err != nil {
				b.Fatal(err)
			}
		}
		run(sh)
	}
	perSecond := float64(results) / b.Elapsed().Seconds()
	b.ReportMetric(perSecond, "queries/s")
	b.ReportMetric(perSecond*float64(buckets)*float64(size)/1e6, "MB/s")
	b.ReportMetric(float64(bytes)/float64(results), "bytes/result")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapSys)/(1<<20), "MiB-heap")
}

func BenchmarkDecryptResults(b *testing.B) {
	for _, columns := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("columns=%d", columns), func(b *testing.B) {
			p := newParty(b, 4)
			sh, err := p.e.NewShard(0, fullShard(4, columns*p.s.chunk-lengthBytes), Options{})
			if err != nil {
				b.Fatal(err)
			}
			var message []byte
			err = sh.Apply(context.Background(), []*Queries{p.queries(b, 1)}, nil, func(r Result) error {
				message = r.Message
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			d := p.k.NewDecrypter()
			for b.Loop() {
				if _, _, err := d.Decrypt(message); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "results/s")
		})
	}
}
