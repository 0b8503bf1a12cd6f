package rlwe

import "fmt"

// ExpansionPower is the substitution of the i-th Galois key of an expansion.
func (r *Ring) ExpansionPower(i int) int { return r.n>>i + 1 }

// Expander turns one ciphertext of 2^-k * (m_0 + m_1 x + ...) into 2^k ciphertexts of
// the constants m_j, with k Galois keys. It is immutable and safe for concurrent
// use.
type Expander struct {
	r         *Ring
	keys      []*GaloisKey
	monomials []Poly // plain transforms of x^(-2^i)
}

// NewExpander takes the Galois keys for ExpansionPower(0), ExpansionPower(1), ...
func NewExpander(r *Ring, keys []*GaloisKey) (*Expander, error) {
	if len(keys) > r.logN {
		return nil, fmt.Errorf("%d galois keys, a ring of degree %d takes at most %d", len(keys), r.n, r.logN)
	}
	x := &Expander{r: r, keys: keys}
	for i, k := range keys {
		if k.power != r.ExpansionPower(i) {
			return nil, fmt.Errorf("galois key %d is for power %d, must be for %d", i, k.power, r.ExpansionPower(i))
		}
		c := make([]int64, r.n)
		c[r.n-1<<i] = -1 // x^-e is -x^(N-e)
		p := r.NewPoly()
		r.SetInts(p, c)
		r.Forward(p)
		x.monomials = append(x.monomials, p)
	}
	return x, nil
}

// Outputs is the number of ciphertexts that one expands to.
func (x *Expander) Outputs() int { return 1 << len(x.keys) }

// Expansion is the scratch space of one goroutine that expands.
type Expansion struct {
	x        *Expander
	levels   [][4]Poly // the two results of each level
	s0, s1   Poly      // the substituted ciphertext
	r0, r1   Poly      // the switched one
	digits   []uint64
	switches int // key switches done, for benchmarks
}

// NewExpansion makes scratch space: about k*4 + 4 + digits polynomials.
func (x *Expander) NewExpansion() *Expansion {
	e := &Expansion{x: x, s0: x.r.NewPoly(), s1: x.r.NewPoly(), r0: x.r.NewPoly(), r1: x.r.NewPoly()}
	count := 0
	for _, k := range x.keys {
		count = max(count, k.count)
		var l [4]Poly
		for i := range l {
			l[i] = x.r.NewPoly()
		}
		e.levels = append(e.levels, l)
	}
	e.digits = make([]uint64, count*len(e.s0))
	return e
}

// Expand expands the ciphertext (c0, c1) and calls emit, in no particular order,
// with those results j for which wanted is true. What only unwanted results need
// is not computed. emit must not keep the polynomials.
func (e *Expansion) Expand(c0, c1 Poly, wanted func(j int) bool, emit func(j int, c0, c1 Poly)) {
	e.descend(0, 0, c0, c1, wanted, emit)
}

// needed reports whether a wanted result is below node j of a level.
func (e *Expansion) needed(level, j int, wanted func(int) bool) bool {
	for ; j < e.x.Outputs(); j += 1 << level {
		if wanted(j) {
			return true
		}
	}
	return false
}

func (e *Expansion) descend(level, j int, c0, c1 Poly, wanted func(int) bool, emit func(int, Poly, Poly)) {
	if !e.needed(level, j, wanted) {
		return
	}
	if level == len(e.x.keys) {
		emit(j, c0, c1)
		return
	}
	r, l := e.x.r, &e.levels[level]
	e.switchKey(e.x.keys[level], c0, c1)
	r.Add(l[0], c0, e.r0)
	r.Add(l[1], c1, e.r1)
	if e.needed(level+1, j+1<<level, wanted) {
		r.Sub(l[2], c0, e.r0)
		r.Sub(l[3], c1, e.r1)
		r.Mul(l[2], l[2], e.x.monomials[level])
		r.Mul(l[3], l[3], e.x.monomials[level])
	}
	e.descend(level+1, j, l[0], l[1], wanted, emit)
	e.descend(level+1, j+1<<level, l[2], l[3], wanted, emit)
}

// switchKey sets (r0, r1) to the key's substitution of (c0, c1), under the key itself.
func (e *Expansion) switchKey(k *GaloisKey, c0, c1 Poly) {
	r := e.x.r
	e.switches++
	r.e.permute(e.s0, c0, k.table)
	r.e.permute(e.s1, c1, k.table)
	r.Inverse(e.s1)
	r.e.digits(e.digits, e.s1, k.logBase, k.count)
	r.e.keySums(e.r0, e.r1, e.digits, k.rows, k.count)
	r.Add(e.r0, e.r0, e.s0)
}
