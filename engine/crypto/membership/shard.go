package membership

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/panelmatch/panelmatch/engine/crypto/membership/rlwe"
)

// Bucket is a bucket of a shard. Contents may be empty: then the bucket is as good as
// absent.
type Bucket struct {
	ID       int32
	Contents []byte
}

// Shard is one shard of the holder's database, made ready for queries. Its encoded
// form is built once, at the first Apply, if Options.Memory allows. Apply may be
// called from several goroutines; calls wait for each other.
type Shard struct {
	e       *Evaluator
	id      int32
	o       Options
	buckets []bucketRef // by id
	width   int         // columns: polynomials of the largest bucket
	total   int         // polynomials

	mu      sync.Mutex
	keep    bool         // encoded blocks are kept
	queries int          // queries per block
	columns []columnPlan // made at the first Apply
	scratch []uint64     // the encoded block in use, if they are not kept
}

// NewShard takes the buckets of a shard, in any order. It keeps their contents, which
// must not be changed while the shard is in use.
func (e *Evaluator) NewShard(id int32, buckets []Bucket, o Options) (*Shard, error) {
	s := e.s
	if id < 0 || id >= s.shards {
		return nil, fmt.Errorf("shard %d does not exist, must be below %d", id, s.shards)
	}
	if len(buckets) == 0 {
		return nil, fmt.Errorf("shard %d has no buckets: an empty database cannot be queried", id)
	}
	if minimum := e.MinMemory(); o.memory() < minimum {
		return nil, fmt.Errorf("memory for a shard is %d bytes, one query of %d slots needs %d", o.memory(), s.perQuery, minimum)
	}
	sh := &Shard{e: e, id: id, o: o, buckets: make([]bucketRef, len(buckets))}
	for i, b := range buckets {
		switch {
		case b.ID < 0 || b.ID >= s.buckets:
			return nil, fmt.Errorf("shard %d has bucket %d, must be below %d", id, b.ID, s.buckets)
		case s.nonces && b.ID == s.buckets-1:
			return nil, fmt.Errorf("shard %d has bucket %d, which is kept for padding nonces", id, b.ID)
		}
		if err := checkContents(b.Contents); err != nil {
			return nil, fmt.Errorf("shard %d, bucket %d: %w", id, b.ID, err)
		}
		ref := bucketRef{int(b.ID), b.Contents, s.chunksOf(b.Contents)}
		sh.buckets[i] = ref
		sh.width = max(sh.width, ref.chunks)
		sh.total += ref.chunks
	}
	slices.SortFunc(sh.buckets, func(a, b bucketRef) int { return a.id - b.id })
	for i := 1; i < len(sh.buckets); i++ {
		if sh.buckets[i].id == sh.buckets[i-1].id {
			return nil, fmt.Errorf("shard %d has bucket %d twice", id, sh.buckets[i].id)
		}
	}
	return sh, nil
}

// Columns is the number of ciphertexts in each result.
func (sh *Shard) Columns() int { return sh.width }

// Polynomials is the number of polynomials in the encoded shard.
func (sh *Shard) Polynomials() int { return sh.total }

// prepare divides the memory between encoded buckets and queries, and plans the columns.
func (sh *Shard) prepare() {
	if sh.columns != nil {
		return
	}
	s, memory := sh.e.s, sh.o.memory()
	poly, query := s.polyBytes(), s.queryBytes()
	encoded := int64(sh.total+sh.width) * poly // a position of padding per column
	sh.keep = encoded <= memory/4*3 && encoded+query <= memory
	limit := sh.total + 1
	if !sh.keep {
		encoded = max(memory/4, (minBlock+1)*poly)
		encoded = min(encoded, memory-query)
		limit = int(encoded/poly) - 1
	}
	sh.queries = max(1, int((memory-encoded)/query))
	sh.columns = make([]columnPlan, sh.width)
	for col := range sh.columns {
		sh.columns[col] = s.planColumn(col, sh.buckets, limit)
	}
	if !sh.keep {
		sh.scratch = make([]uint64, (limit|1)*s.request.Groups()*s.request.GroupWords())
	}
}

// activeQuery is a query that is being evaluated.
type activeQuery struct {
	Metadata
	b     *bundle
	index int // in its bundle
	nonce []byte

	slots []uint64 // expanded: [group][slot][component], with padding
	state []uint64 // partial sums: [group][level][component]
	out   []byte   // the result, as far as it is written
}

// Apply evaluates all queries for this shard; those for other shards are skipped.
// nonces has the contents of the last bucket for each query id, if the parameters have
// padding nonces, and must be empty otherwise. emit gets the results, in the order of the
// queries, from the goroutine that calls Apply, and may keep them; its error stops the work.
func (sh *Shard) Apply(ctx context.Context, queries []*Queries, nonces map[int32][]byte, emit func(Result) error) error {
	active, err := sh.collect(queries, nonces)
	if err != nil {
		return err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.prepare()
	work := sh.newWorkspace()
	for len(active) > 0 {
		now := active[:min(len(active), sh.queries)]
		active = active[len(now):]
		work.lend(now)
		if err := sh.e.expandBlock(ctx, work, now); err != nil {
			return fmt.Errorf("shard %d: %w", sh.id, err)
		}
		for col := range sh.columns {
			if err := sh.column(ctx, work, now, col); err != nil {
				return fmt.Errorf("shard %d: %w", sh.id, err)
			}
		}
		for _, q := range now {
			if err := emit(Result{q.Metadata, q.out}); err != nil {
				return err
			}
		}
		clear(now) // results are the caller's now
	}
	return nil
}

// collect lists the queries for this shard, with their nonces.
func (sh *Shard) collect(queries []*Queries, nonces map[int32][]byte) ([]*activeQuery, error) {
	s := sh.e.s
	if len(queries) == 0 {
		return nil, errNoQueries
	}
	switch {
	case s.nonces && len(nonces) == 0:
		return nil, errors.New("parameters enable padding nonces, but there are none")
	case !s.nonces && len(nonces) > 0:
		return nil, errors.New("there are padding nonces, but the parameters do not enable them")
	}
	var active []*activeQuery
	for _, list := range queries {
		b, err := s.newBundle(list)
		if err != nil {
			return nil, err
		}
		for i, m := range list.Metadata {
			if m.ShardID != sh.id {
				continue
			}
			q := &activeQuery{Metadata: m, b: b, index: i}
			if s.nonces {
				nonce, ok := nonces[m.QueryID]
				if !ok {
					return nil, fmt.Errorf("query %d has no padding nonce", m.QueryID)
				}
				if s.chunksOf(nonce) > sh.width && sh.width > 0 {
					return nil, fmt.Errorf("padding nonce of %d bytes needs more columns than the shard has (%d)", len(nonce), sh.width)
				}
				q.nonce = nonce
			}
			q.out = appendMetadata(nil, resultMeta, m)
			active = append(active, q)
		}
	}
	return active, nil
}

// workspace is the memory of one Apply.
type workspace struct {
	sh         *Shard
	workers    int
	slots      [][]uint64 // lent to the queries of a block
	states     [][]uint64
	expansions []*expansionScratch
	columns    []*columnScratch
}

func (sh *Shard) newWorkspace() *workspace {
	n := sh.o.workers()
	return &workspace{
		sh: sh, workers: n,
		expansions: make([]*expansionScratch, n),
		columns:    make([]*columnScratch, n),
	}
}

// lend gives memory to the queries of a block.
func (w *workspace) lend(queries []*activeQuery) {
	s := w.sh.e.s
	r := s.request
	for i, q := range queries {
		if i == len(w.slots) {
			w.slots = append(w.slots, make([]uint64, r.Groups()*s.slotStride()))
			w.states = append(w.states, make([]uint64, r.Groups()*s.stateGroups()*r.GroupWords()))
		}
		q.slots, q.state = w.slots[i], w.states[i]
		if need := w.sh.width*s.ResultBytes(1) + len(q.out); !w.sh.o.Unfinalized && cap(q.out) < need {
			q.out = append(make([]byte, 0, need), q.out...)
		}
	}
}

// expansionScratch is what one goroutine needs to expand ciphertexts.
type expansionScratch struct {
	x              *rlwe.Expansion
	buf            *rlwe.Buffer
	c0, c1, s0, s1 rlwe.Poly
	zero           rlwe.Poly
}

// expansion returns the scratch space of a worker; only that worker may ask.
func (w *workspace) expansion(worker int) *expansionScratch {
	if w.expansions[worker] == nil {
		r := w.sh.e.s.request
		w.expansions[worker] = &expansionScratch{
			x: w.sh.e.x.NewExpansion(), buf: r.NewBuffer(),
			c0: r.NewPoly(), c1: r.NewPoly(), s0: r.NewPoly(), s1: r.NewPoly(), zero: r.NewPoly(),
		}
	}
	return w.expansions[worker]
}
