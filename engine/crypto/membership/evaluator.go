package membership

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/panelmatch/panelmatch/engine/crypto/membership/internal/protoscan"
	"github.com/panelmatch/panelmatch/engine/crypto/membership/rlwe"
)

// Evaluator is a partner's public key, read and expanded: the part of the holder's
// work that is the same for all shards of an exchange. It is immutable and safe
// for concurrent use.
type Evaluator struct {
	s *Scheme
	x *rlwe.Expander
}

// NewEvaluator reads a serialized PublicKey. It must have been made for the scheme's
// parameters. The evaluator keeps nothing of b.
func (s *Scheme) NewEvaluator(b []byte) (*Evaluator, error) {
	var keys []*rlwe.GaloisKey
	err := protoscan.Each(b, func(f protoscan.Field) error {
		if f.Number != publicGaloisKey {
			return nil
		}
		data, err := f.Bytes()
		if err != nil {
			return err
		}
		if len(keys) == s.logCF {
			return fmt.Errorf("more than %d galois keys (log_compression_factor)", s.logCF)
		}
		k, err := s.request.ParseGaloisKey(data, s.request.ExpansionPower(len(keys)), s.logBase)
		keys = append(keys, k)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("rlwe public key: %w", err)
	}
	if len(keys) != s.logCF {
		return nil, fmt.Errorf("rlwe public key: %d galois keys, must be %d (log_compression_factor)", len(keys), s.logCF)
	}
	x, err := rlwe.NewExpander(s.request, keys)
	if err != nil {
		return nil, fmt.Errorf("rlwe public key: %w", err)
	}
	return &Evaluator{s, x}, nil
}

// DefaultMemory is the memory that a shard may use if Options do not say.
const DefaultMemory = 1 << 30

// Options say how a shard is evaluated. They change no result.
type Options struct {
	// Memory bounds, in bytes, what encoded buckets and expanded queries take; 0 means
	// DefaultMemory. A shard that does not fit is encoded block by block, once for
	// each set of queries that fits. Apply fails if a single query does not fit:
	// Evaluator.MinMemory tells. Not counted: the contents that Add was given, results that
	// wait for their last column, and a few MiB of scratch space for each worker.
	Memory int64
	// Workers is the number of goroutines; 0 means GOMAXPROCS.
	Workers int
	// Unfinalized leaves results under the request modulus, for Scheme.Finalize.
	Unfinalized bool
}

func (o Options) memory() int64 {
	if o.Memory <= 0 {
		return DefaultMemory
	}
	return o.Memory
}

func (o Options) workers() int {
	if o.Workers <= 0 {
		return runtime.GOMAXPROCS(0)
	}
	return o.Workers
}

// polyBytes is the memory that a polynomial under the request modulus takes.
func (s *Scheme) polyBytes() int64 {
	return int64(s.request.Groups() * s.request.GroupWords() * 8)
}

// slotStride is the distance between groups of a query's expanded slots, in words:
// two polynomials a slot, and one more, because groups at distances of a power of
// two would all fall into the same sets of a cache.
func (s *Scheme) slotStride() int { return (2*s.perQuery + 1) * s.request.GroupWords() }

// stateGroups is the number of polynomials that hold the partial sums of a query: one ciphertext for
// each level from 1, or the result itself if there is only level 0.
func (s *Scheme) stateGroups() int {
	if s.levels == 1 {
		return 2
	}
	n := 0
	for j := 1; j < s.levels; j++ {
		n += j + 2
	}
	return n
}

// queryBytes is the memory of one expanded query with its partial sums.
func (s *Scheme) queryBytes() int64 {
	return int64(2*s.perQuery+1+s.stateGroups()) * s.polyBytes()
}

// minBlock is the number of database polynomials that are always encoded at a time.
const minBlock = 16

// MinMemory is the least Options.Memory with which shards can be evaluated.
func (e *Evaluator) MinMemory() int64 {
	return e.s.queryBytes() + (minBlock+1)*e.s.polyBytes()
}

// EncodedBytes is the memory that an encoded database of that many polynomials takes.
func (e *Evaluator) EncodedBytes(polynomials int) int64 {
	return int64(polynomials) * e.s.polyBytes()
}

// bundle draws the second components of a list of queries, in order, and hands out its
// ciphertexts to several goroutines.
type bundle struct {
	s *Scheme
	q *Queries

	g     *rlwe.PRNG
	buf   *rlwe.Buffer
	drawn int       // ciphertexts whose second component was drawn
	last  rlwe.Poly // the last of these
}

func (s *Scheme) newBundle(q *Queries) (*bundle, error) {
	g, err := rlwe.NewPRNG(q.seed)
	if err != nil {
		return nil, err
	}
	return &bundle{s: s, q: q, g: g, buf: s.request.NewBuffer(), last: s.request.NewPoly()}, nil
}

// drawTo advances to ciphertext i and copies its a to dst. Calls for one bundle must
// come with i not falling.
func (b *bundle) drawTo(i int, dst rlwe.Poly) {
	for b.drawn <= i {
		b.s.request.Uniform(b.last, b.g, b.buf)
		b.drawn++
	}
	copy(dst, b.last)
}

// parallel calls f for every i < n, on up to workers goroutines, in rising order of
// i as far as starting goes. It returns the first error, or that of the context.
func parallel(ctx context.Context, workers, n int, f func(worker, i int) error) error {
	workers = min(workers, n)
	if workers <= 1 {
		for i := range n {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := f(0, i); err != nil {
				return err
			}
		}
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := f(w, i); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wait.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
