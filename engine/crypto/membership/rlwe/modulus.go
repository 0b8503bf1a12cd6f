package rlwe

import (
	"errors"
	"fmt"
	"math/big"
	"math/bits"
)

// maxModulusBits bounds a modulus: sums of two residues, and signs, fit 128 bits.
const maxModulusBits = 126

// Modulus is a prime below 2^126 with what arithmetic modulo it needs. It is
// immutable.
type Modulus struct {
	q      uint128
	width  int     // bits(q): the width of a residue on the wire
	negInv uint64  // -1/q mod 2^64
	inv    uint128 // 1/q mod 2^128
	r      uint128 // 2^128 mod q
	rInv   uint128 // 2^-128 mod q
	r2     uint128 // 2^256 mod q
}

// NewModulus takes a modulus as the wire has it, in one or two 64-bit words with
// the lowest first. It must be an odd prime below 2^126.
func NewModulus(words []uint64) (Modulus, error) {
	var q uint128
	switch len(words) {
	case 1:
		q.lo = words[0]
	case 2:
		q.lo, q.hi = words[0], words[1]
	default:
		return Modulus{}, fmt.Errorf("modulus has %d words, must have 1 or 2", len(words))
	}
	b := q.big()
	switch {
	case q.bitLen() > maxModulusBits:
		return Modulus{}, fmt.Errorf("modulus %v is too large, must be below 2^%d", b, maxModulusBits)
	case q.lo&1 == 0 || q.bitLen() < 2:
		return Modulus{}, fmt.Errorf("modulus %v is not an odd prime", b)
	case !b.ProbablyPrime(32):
		return Modulus{}, fmt.Errorf("modulus %v is not prime", b)
	}
	two128 := new(big.Int).Lsh(big.NewInt(1), 128)
	r := new(big.Int).Mod(two128, b)
	inv := new(big.Int).ModInverse(b, two128)
	m := Modulus{
		q:     q,
		width: q.bitLen(),
		inv:   fromBig(inv),
		r:     fromBig(r),
		rInv:  fromBig(new(big.Int).ModInverse(r, b)),
		r2:    fromBig(new(big.Int).Mod(new(big.Int).Mul(r, r), b)),
	}
	m.negInv = -m.inv.lo
	return m, nil
}

// Words returns the modulus, lowest word first.
func (m *Modulus) Words() (lo, hi uint64) { return m.q.lo, m.q.hi }

// Bits returns the width of a residue on the wire.
func (m *Modulus) Bits() int { return m.width }

// Mod returns q mod t for 0 < t < 2^63.
func (m *Modulus) Mod(t uint64) uint64 { return m.q.mod(t) }

// Float returns the modulus as the nearest double, as C converts it.
func (m *Modulus) Float() float64 {
	f, _ := new(big.Float).SetInt(m.q.big()).Float64()
	return f
}

// add returns x + y mod q for x, y < q.
func (m *Modulus) add(x, y uint128) uint128 { return m.reduceOnce(x.add(y)) }

// sub returns x - y mod q for x, y < q.
func (m *Modulus) sub(x, y uint128) uint128 {
	lo, b := bits.Sub64(x.lo, y.lo, 0)
	hi, b := bits.Sub64(x.hi, y.hi, b)
	mask := -b
	lo, c := bits.Add64(lo, m.q.lo&mask, 0)
	hi, _ = bits.Add64(hi, m.q.hi&mask, c)
	return uint128{lo, hi}
}

// reduceOnce returns x mod q for x < 2q, without a branch.
func (m *Modulus) reduceOnce(x uint128) uint128 {
	lo, b := bits.Sub64(x.lo, m.q.lo, 0)
	hi, b := bits.Sub64(x.hi, m.q.hi, b)
	mask := -b
	lo, c := bits.Add64(lo, m.q.lo&mask, 0)
	hi, _ = bits.Add64(hi, m.q.hi&mask, c)
	return uint128{lo, hi}
}

// mont returns x*y/2^128 mod q for x, y < q (Montgomery's product, word by word).
func (m *Modulus) mont(x, y uint128) uint128 {
	q0, q1 := m.q.lo, m.q.hi
	// t = x * y.lo; then one word of t is made zero by adding a multiple of q.
	t0, t1, t2 := mul128by64(x, y.lo)
	u := t0 * m.negInv
	h0, l0 := bits.Mul64(u, q0)
	h1, l1 := bits.Mul64(u, q1)
	_, c := bits.Add64(t0, l0, 0)
	t1, c = bits.Add64(t1, h0, c)
	t2 += c // below 2^63: no carry out
	t1, c = bits.Add64(t1, l1, 0)
	t2, _ = bits.Add64(t2, h1, c)
	// t = t / 2^64 + x * y.hi; the same again.
	s0, s1, s2 := mul128by64(x, y.hi)
	s0, c = bits.Add64(s0, t1, 0)
	s1, c = bits.Add64(s1, t2, c)
	s2 += c
	u = s0 * m.negInv
	h0, l0 = bits.Mul64(u, q0)
	h1, l1 = bits.Mul64(u, q1)
	_, c = bits.Add64(s0, l0, 0)
	s1, c = bits.Add64(s1, h0, c)
	s2 += c
	s1, c = bits.Add64(s1, l1, 0)
	s2, _ = bits.Add64(s2, h1, c)
	return m.reduceOnce(uint128{s1, s2})
}

// mul128by64 returns x*y in three words.
func mul128by64(x uint128, y uint64) (z0, z1, z2 uint64) {
	h0, z0 := bits.Mul64(x.lo, y)
	h1, l1 := bits.Mul64(x.hi, y)
	z1, c := bits.Add64(h0, l1, 0)
	return z0, z1, h1 + c
}

// mul returns x*y mod q for x, y < q.
func (m *Modulus) mul(x, y uint128) uint128 { return m.mont(m.mont(x, y), m.r2) }

// pow returns x^e mod q.
func (m *Modulus) pow(x uint128, e *big.Int) uint128 {
	return fromBig(new(big.Int).Exp(x.big(), e, m.q.big()))
}

// inverse returns 1/x mod q for x != 0.
func (m *Modulus) inverse(x uint128) uint128 {
	return fromBig(new(big.Int).ModInverse(x.big(), m.q.big()))
}

// fromInt returns x mod q.
func (m *Modulus) fromInt(x int64) uint128 {
	mag := uint64(x)
	if x < 0 {
		mag = -mag
	}
	v := uint128{mag, 0}
	if m.q.hi == 0 {
		v.lo %= m.q.lo
	}
	if x < 0 && !v.isZero() {
		return m.q.sub(v)
	}
	return v
}

// root returns the 2n-th root of unity that the wire format is built on: the
// first c^((q-1)/2n), c = 2, 3, ..., whose n-th power is not 1.
func (m *Modulus) root(n int) (uint128, error) {
	q := m.q.big()
	e, rest := new(big.Int).DivMod(new(big.Int).Sub(q, big.NewInt(1)), big.NewInt(2*int64(n)), new(big.Int))
	if rest.Sign() != 0 {
		return uint128{}, fmt.Errorf("modulus %v is not 1 modulo %d, so polynomials of %d coefficients have no transform", q, 2*n, n)
	}
	nb := big.NewInt(int64(n))
	// Half of all c will do, so a thousand failures mean a modulus that is not prime.
	for c := int64(2); c < 1000 && uint128.less(uint128{uint64(c), 0}, m.q); c++ {
		psi := m.pow(uint128{uint64(c), 0}, e)
		if p := m.pow(psi, nb); p != (uint128{1, 0}) {
			return psi, nil
		}
	}
	return uint128{}, errors.New("modulus has no suitable root of unity")
}
