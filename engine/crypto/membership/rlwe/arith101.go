package rlwe

import "math/bits"

// The standard request modulus is q = 2^101 - c101, so 2^101 = c101 (mod q): a
// number is reduced by taking what lies above bit 101 off and adding it back,
// times c101.
const (
	c101     = 1171455
	high101  = 101 - 64 // bits of a residue in its high word
	mask101  = 1<<high101 - 1
	q101Low  = 1<<64 - c101
	q101High = mask101
	twoQLow  = 1<<64 - 2*c101
	twoQHigh = 1<<(high101+1) - 1
)

// twiddle is a constant factor w in [0,q) with its companion w * 2^64 mod q, each
// as low and high word.
type twiddle struct{ w0, w1, v0, v1 uint64 }

// makeTwiddle returns w with its companion and reports whether mulTwiddle is
// exact for it: its sum must stay below 2^165, for factors below 2^107, so that
// what is above bit 101 fits a word.
func makeTwiddle(m *Modulus, w uint128) (twiddle, bool) {
	v := m.mul(w, uint128{0, 1})
	// (2^64-1)*w + (2^43-1)*v < 2^165, as (w + w') * 2^64 with w' rounded up.
	a := uint128{w.lo, w.hi}.add(v.shr(21)).add(uint128{1, 0})
	return twiddle{w.lo, w.hi, v.lo, v.hi}, a.less(uint128{0, 1 << high101})
}

// fold101 reduces s0 + 2^64 s1 + 2^128 s2 once at bit 101. What lies above that
// bit must be below 2^64. The result is below 2^101 + 2^85.
func fold101(s0, s1, s2 uint64) (uint64, uint64) {
	h, l := bits.Mul64(s2<<(64-high101)|s1>>high101, c101)
	r0, c := bits.Add64(s0, l, 0)
	return r0, s1&mask101 + h + c
}

// settle101 brings a value below 2^107 below 2^101 + 2^27.
func settle101(x0, x1 uint64) (uint64, uint64) {
	r0, c := bits.Add64(x0, x1>>high101*c101, 0)
	return r0, x1&mask101 + c
}

// canon101 brings a value below 2^107 into [0,q).
func canon101(x0, x1 uint64) (uint64, uint64) {
	x0, x1 = settle101(x0, x1)
	// Now below 2^101 + 2^27. It is q or more exactly if adding c101 reaches bit 101,
	// and then dropping that bit subtracts q; no multiple above q is possible.
	_, c := bits.Add64(x0, c101, 0)
	over := (x1 + c) >> high101
	x0, c = bits.Add64(x0, over*c101, 0)
	return x0, (x1 + c) & mask101
}

// reduce101 brings a sum of products below 2^240 into normal form, below
// 2^101 + 2^82.
func reduce101(a0, a1, a2, a3 uint64) (uint64, uint64) {
	// Above bit 101: t, below 2^139.
	t0 := a2<<(64-high101) | a1>>high101
	t1 := a3<<(64-high101) | a2>>high101
	t2 := a3 >> high101
	h0, l0 := bits.Mul64(t0, c101)
	h1, l1 := bits.Mul64(t1, c101)
	s0, c := bits.Add64(a0, l0, 0)
	s1, c := bits.Add64(a1&mask101, h0, c)
	s2, _ := bits.Add64(h1, t2*c101, c)
	s1, c = bits.Add64(s1, l1, 0)
	// The sum is below 2^160 + 2^101, so what is above bit 101 is below 2^60.
	return fold101(s0, s1, s2+c)
}

// mul101 returns x*y in normal form for x, y in normal form.
func mul101(x0, x1, y0, y1 uint64) (uint64, uint64) {
	h00, a0 := bits.Mul64(x0, y0)
	h01, l01 := bits.Mul64(x0, y1)
	h10, l10 := bits.Mul64(x1, y0)
	h11, l11 := bits.Mul64(x1, y1)
	// The middle products are below 2^102 each: their sum has two words.
	m0, c := bits.Add64(l01, l10, 0)
	m1, _ := bits.Add64(h01, h10, c)
	a1, c := bits.Add64(h00, m0, 0)
	a2, c := bits.Add64(l11, m1, c)
	return reduce101(a0, a1, a2, h11+c)
}
