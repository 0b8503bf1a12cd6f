package membership

import (
	"context"
	"fmt"
	"sync"

	"github.com/panelmatch/panelmatch/engine/crypto/membership/rlwe"
)

// expandTask is one ciphertext to expand, with the queries of the block that want
// its slots.
type expandTask struct {
	b     *bundle
	index int // ciphertext
}

// expandBlock fills the slots of the queries of a block.
func (e *Evaluator) expandBlock(ctx context.Context, work *workspace, queries []*activeQuery) error {
	var tasks []expandTask
	owner := map[*bundle]map[int]*activeQuery{}
	for _, q := range queries {
		if owner[q.b] == nil {
			owner[q.b] = map[int]*activeQuery{}
		}
		owner[q.b][q.index] = q
		cf := 1 << e.s.logCF
		for p := q.index * e.s.perQuery / cf; p <= ((q.index+1)*e.s.perQuery-1)/cf; p++ {
			if n := len(tasks); n > 0 && tasks[n-1].b == q.b && tasks[n-1].index >= p {
				continue
			}
			tasks = append(tasks, expandTask{b: q.b, index: p})
		}
	}
	var mu sync.Mutex
	next := 0
	return parallel(ctx, work.workers, len(tasks), func(w, _ int) error {
		sc := work.expansion(w)
		// Taking a task and drawing its second component happen together, in order.
		mu.Lock()
		t := tasks[next]
		next++
		t.b.drawTo(t.index, sc.c1)
		mu.Unlock()
		return e.expandOne(sc, t, owner[t.b])
	})
}

// expandOne expands one ciphertext into the slots of the queries that own them.
func (e *Evaluator) expandOne(sc *expansionScratch, t expandTask, owner map[int]*activeQuery) error {
	s := e.s
	if err := s.request.Unpack(sc.c0, t.b.q.polys[t.index], sc.buf); err != nil {
		return fmt.Errorf("encrypted queries, ciphertext %d: %w", t.index, err)
	}
	clear(sc.zero)
	s.request.Sub(sc.c1, sc.zero, sc.c1) // c_1 = -a
	base := t.index << s.logCF
	used := s.usedSlots()
	place := func(j int) (q *activeQuery, slot int, ok bool) {
		slot = base + j
		if q, ok = owner[slot/s.perQuery]; !ok {
			return nil, 0, false
		}
		slot %= s.perQuery
		return q, slot, slot%s.perLevel < used[slot/s.perLevel]
	}
	emit := func(j int, c0, c1 rlwe.Poly) {
		q, slot, ok := place(j)
		if !ok {
			return
		}
		gw, stride := s.request.GroupWords(), s.slotStride()
		if slot >= s.perLevel {
			// From level 1 on two scaled ciphertexts meet: one of them must lose its scale.
			s.request.ScaleDown(sc.s0, c0)
			s.request.ScaleDown(sc.s1, c1)
			c0, c1 = sc.s0, sc.s1
		}
		s.request.Scatter(q.slots[2*slot*gw:], stride, c0)
		s.request.Scatter(q.slots[(2*slot+1)*gw:], stride, c1)
	}
	if len(t.b.q.Metadata)*s.perQuery == len(t.b.q.polys) {
		emit(0, sc.c0, sc.c1) // as many ciphertexts as slots: taken as they are
		return nil
	}
	sc.x.Expand(sc.c0, sc.c1, func(j int) bool { _, _, ok := place(j); return ok }, emit)
	return nil
}
