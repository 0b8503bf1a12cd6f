package membership

import "slices"

// A shard's columns are evaluated in blocks of polynomials, and a block, for every
// group of coefficients, in pieces: a piece's part of the database and its row sums
// stay in the first-level cache for all queries.

// pieceTerms is the number of database polynomials in a piece.
const pieceTerms = 256

// bucketRef is a bucket with its contents.
type bucketRef struct {
	id       int
	contents []byte
	chunks   int
}

// block is part of a column.
type block struct {
	col     int
	buckets []int32 // positions in the shard's list, rising
	pieces  []piece
	data    []uint64 // encoded: [group][position], one more position of padding; nil if not kept
}

// stride is the distance between groups of data, in words; an odd number of groups.
func (b *block) stride(groupWords int) int { return (len(b.buckets) | 1) * groupWords }

// piece is part of a block: rows of level 0 and what becomes of them.
type piece struct {
	first int      // position of the first term in the block
	off   []uint32 // of each term: where its slot begins
	ends  []uint32 // of each row: where its terms end
	steps []step
}

// step adds to the partial sum of a level what the level below has collected.
type step struct {
	level    int      // 1 to levels-1
	from, to int      // level 1: rows of the piece
	off      []uint32 // one slot for each row, or one for the partial sum of the level below
}

// climber turns rising row numbers into steps: whenever the digit above a level
// changes, the level's partial sum is complete and goes up.
type climber struct {
	s       *Scheme
	parents []int // of each level from 1: the position that its partial sum is for; -1: none
}

func (s *Scheme) newClimber() *climber {
	c := &climber{s: s, parents: make([]int, s.levels)}
	for j := range c.parents {
		c.parents[j] = -1
	}
	return c
}

// slotOffset is where a slot begins in the slots of one group.
func (s *Scheme) slotOffset(level, digit int) uint32 {
	return uint32(2 * (level*s.perLevel + digit) * s.request.GroupWords())
}

// row is called for row r, number at in its piece; rows come in rising order. A row may come twice.
func (c *climber) row(steps []step, r, at int) []step {
	if c.s.levels == 1 {
		return steps
	}
	npl := c.s.perLevel
	off := c.s.slotOffset(1, r%npl)
	if c.parents[1] != r/npl {
		steps = c.finish(steps, 1)
		c.parents[1] = r / npl
	} else if n := len(steps); n > 0 && steps[n-1].level == 1 && steps[n-1].to == at &&
		len(steps[n-1].off) < c.s.request.MaxTerms()/2 {
		steps[n-1].to++
		steps[n-1].off = append(steps[n-1].off, off)
		return steps
	}
	return append(steps, step{level: 1, from: at, to: at + 1, off: []uint32{off}})
}

// finish sends the partial sum of a level, if there is one, to the level above. That
// of the top level is the result and stays.
func (c *climber) finish(steps []step, level int) []step {
	p := c.parents[level]
	if p < 0 || level == c.s.levels-1 {
		return steps
	}
	npl := c.s.perLevel
	if c.parents[level+1] != p/npl {
		steps = c.finish(steps, level+1)
		c.parents[level+1] = p / npl
	}
	c.parents[level] = -1
	return append(steps, step{level: level + 1, off: []uint32{c.s.slotOffset(level+1, p%npl)}})
}

// end sends everything to the top.
func (c *climber) end() []step {
	var steps []step
	for j := 1; j < c.s.levels; j++ {
		steps = c.finish(steps, j)
	}
	return steps
}

// columnPlan is one column of a shard.
type columnPlan struct {
	blocks []*block
	// What follows the last block, without and with a nonce: the nonce's row is the last one.
	plain, nonce []step
	// Estimates for the column, by the presence of a nonce in it.
	plainError, nonceError float64
}

// planColumn cuts a column into blocks of up to limit polynomials. buckets is sorted
// by id.
func (s *Scheme) planColumn(col int, buckets []bucketRef, limit int) columnPlan {
	var plan columnPlan
	climb := s.newClimber()
	rows := map[int]int{} // buckets per row
	var order []int
	var b *block
	lastRow := -1
	for i, ref := range buckets {
		if ref.chunks <= col {
			continue
		}
		if b == nil || len(b.buckets) == limit {
			b = &block{col: col}
			plan.blocks = append(plan.blocks, b)
		}
		if len(b.pieces) == 0 || len(b.pieces[len(b.pieces)-1].off) == min(pieceTerms, s.request.MaxTerms()) {
			b.pieces = append(b.pieces, piece{first: len(b.buckets)})
			lastRow = -1
		}
		p := &b.pieces[len(b.pieces)-1]
		r := ref.id / s.perLevel
		if r != lastRow {
			p.steps = climb.row(p.steps, r, len(p.ends))
			p.ends = append(p.ends, 0)
			lastRow = r
		}
		if rows[r]++; rows[r] == 1 {
			order = append(order, r)
		}
		p.off = append(p.off, s.slotOffset(0, ref.id%s.perLevel))
		p.ends[len(p.ends)-1] = uint32(len(p.off))
		b.buckets = append(b.buckets, int32(i))
	}
	plan.plainError = s.columnError(rows, order)
	if s.nonces {
		withNonce := &climber{s: s, parents: slices.Clone(climb.parents)}
		r := (int(s.buckets) - 1) / s.perLevel
		plan.nonce = withNonce.row(nil, r, 0)
		plan.nonce = append(plan.nonce, withNonce.end()...)
		if rows[r]++; rows[r] == 1 {
			order = append(order, r)
		}
		plan.nonceError = s.columnError(rows, order)
	}
	plan.plain = climb.end()
	return plan
}

// columnError is the estimate for a result of a column, from the number of buckets in
// each row, in the order of the reference's sums.
func (s *Scheme) columnError(rows map[int]int, order []int) float64 {
	slot := s.model.Expanded(s.logCF)
	errs := map[int]float64{}
	for _, r := range order {
		for range rows[r] {
			errs[r] += float64(slot * s.model.Plaintext)
		}
	}
	for range s.levels - 1 {
		next := map[int]float64{}
		var up []int
		for _, r := range order {
			p := r / s.perLevel
			if _, ok := next[p]; !ok {
				up = append(up, p)
			}
			next[p] += float64(errs[r] * slot)
		}
		errs, order = next, up
	}
	return errs[0]
}
