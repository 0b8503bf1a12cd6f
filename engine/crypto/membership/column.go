package membership

import (
	"context"

	"github.com/panelmatch/panelmatch/engine/crypto/membership/rlwe"
)

// queryBatch is the number of queries that share one pass over a piece: what the
// registers of a vector engine take, and enough to read the database from memory
// only now and then.
const queryBatch = 3

// columnScratch is what one goroutine needs to evaluate a column.
type columnScratch struct {
	coeffs []int64
	chunk  []byte
	poly   rlwe.Poly
	rows   [][]uint64 // row sums of a batch of queries
	slots  [][]uint64 // slots of a batch, one group
	f      *finalizer
}

// column returns the scratch space of a worker; only that worker may ask.
func (w *workspace) column(worker int) *columnScratch {
	if w.columns[worker] == nil {
		s := w.sh.e.s
		c := &columnScratch{
			coeffs: make([]int64, s.request.N()),
			chunk:  make([]byte, s.chunk),
			poly:   s.request.NewPoly(),
			rows:   make([][]uint64, queryBatch),
			slots:  make([][]uint64, queryBatch),
			f:      s.newFinalizer(),
		}
		for i := range c.rows {
			c.rows[i] = make([]uint64, 2*pieceTerms*s.request.GroupWords())
		}
		w.columns[worker] = c
	}
	return w.columns[worker]
}

// encode makes the plain transform of chunk i of a bucket in sc.poly.
func (s *Scheme) encode(sc *columnScratch, contents []byte, i int) {
	chunkInto(sc.chunk, contents, i)
	s.coefficients(sc.coeffs, sc.chunk)
	s.request.SetInts(sc.poly, sc.coeffs)
	s.request.Forward(sc.poly)
}

// column evaluates one column for the queries of a block and appends its ciphertexts to their
// results.
func (sh *Shard) column(ctx context.Context, w *workspace, queries []*activeQuery, col int) error {
	s := sh.e.s
	plan := &sh.columns[col]
	for _, q := range queries {
		clear(q.state)
	}
	for _, b := range plan.blocks {
		data, err := sh.encoded(ctx, w, b)
		if err != nil {
			return err
		}
		err = parallel(ctx, w.workers, s.request.Groups(), func(worker, g int) error {
			sh.group(w.column(worker), b, data, queries, g)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return parallel(ctx, w.workers, len(queries), func(worker, i int) error {
		sh.close(w.column(worker), plan, queries[i], col)
		return nil
	})
}

// encoded returns the encoded form of a block, which is made if it is not there.
func (sh *Shard) encoded(ctx context.Context, w *workspace, b *block) ([]uint64, error) {
	if b.data != nil {
		return b.data, nil
	}
	r := sh.e.s.request
	stride := b.stride(r.GroupWords())
	data := sh.scratch
	if sh.keep {
		data = make([]uint64, r.Groups()*stride)
	}
	err := parallel(ctx, w.workers, len(b.buckets), func(worker, i int) error {
		sc := w.column(worker)
		sh.e.s.encode(sc, sh.buckets[b.buckets[i]].contents, b.col)
		r.Scatter(data[i*r.GroupWords():], stride, sc.poly)
		return nil
	})
	if err == nil && sh.keep {
		b.data = data
	}
	return data, err
}

// group evaluates one group of coefficients of a block: all levels, as far as the
// block reaches, for all queries.
func (sh *Shard) group(sc *columnScratch, b *block, data []uint64, queries []*activeQuery, g int) {
	s := sh.e.s
	gw := s.request.GroupWords()
	x := data[g*b.stride(gw):]
	for i := range b.pieces {
		p := &b.pieces[i]
		for at := 0; at < len(queries); at += queryBatch {
			batch := queries[at:min(at+queryBatch, len(queries))]
			for k, q := range batch {
				sc.slots[k] = q.slots[g*s.slotStride():]
			}
			s.request.RowSums(sc.rows[:len(batch)], x[p.first*gw:], sc.slots[:len(batch)], p.off, p.ends)
			for k, q := range batch {
				s.climb(s.groupState(q, g), sc.rows[k], sc.slots[k], len(p.ends), p.steps)
			}
		}
	}
}

// groupState is the part of a query's partial sums for one group.
func (s *Scheme) groupState(q *activeQuery, g int) []uint64 {
	n := s.stateGroups() * s.request.GroupWords()
	return q.state[g*n : (g+1)*n]
}

// levelState is the partial sum of a level from 1: level+2 components.
func (s *Scheme) levelState(state []uint64, level int) []uint64 {
	at := 0
	for j := 1; j < level; j++ {
		at += j + 2
	}
	gw := s.request.GroupWords()
	return state[at*gw : (at+level+2)*gw]
}

// climb adds row sums, two components each, to the partial sums of one group.
func (s *Scheme) climb(state, rows, slots []uint64, count int, steps []step) {
	gw := s.request.GroupWords()
	if s.levels == 1 {
		for i := range count {
			s.request.Add(state, state, rows[2*i*gw:2*(i+1)*gw])
		}
		return
	}
	for i := range steps {
		st := &steps[i]
		z := s.levelState(state, st.level)
		if st.level == 1 {
			s.request.Cross(z, rows[2*st.from*gw:], slots, st.off, 2)
			continue
		}
		below := s.levelState(state, st.level-1)
		s.request.Cross(z, below, slots, st.off, st.level+1)
		clear(below)
	}
}

// close adds the nonce to a query's column, completes its sums and writes the ciphertext.
func (sh *Shard) close(sc *columnScratch, plan *columnPlan, q *activeQuery, col int) {
	s := sh.e.s
	r, gw := s.request, s.request.GroupWords()
	steps, count, estimate := plan.plain, 0, plan.plainError
	if s.chunksOf(q.nonce) > col {
		s.encode(sc, q.nonce, col)
		steps, count, estimate = plan.nonce, 1, plan.nonceError
	}
	off := []uint32{s.slotOffset(0, (int(s.buckets)-1)%s.perLevel)}
	for g := range r.Groups() {
		if count == 0 && len(steps) == 0 {
			break
		}
		sc.slots[0] = q.slots[g*s.slotStride():]
		if count == 1 {
			r.RowSums(sc.rows[:1], sc.poly[g*gw:], sc.slots[:1], off, []uint32{1})
		}
		s.climb(s.groupState(q, g), sc.rows[0], sc.slots[0], count, steps)
	}
	top := (s.stateGroups() - s.levels - 1) * gw
	for c, p := range sc.f.wide {
		r.Gather(p, q.state[top+c*gw:], s.stateGroups()*gw)
	}
	if sh.o.Unfinalized {
		q.out = sc.f.appendWide(q.out, estimate)
		return
	}
	q.out = sc.f.append(q.out, estimate)
}
