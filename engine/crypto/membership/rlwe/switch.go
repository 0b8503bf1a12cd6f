package rlwe

import (
	"fmt"
	"math/bits"
)

// Switcher takes ciphertexts from one modulus to a smaller one, which divides the
// noise by the quotient of both. It is immutable and safe for concurrent use.
type Switcher struct {
	from, to *Ring
	t        uint64
	toQ      uint128 // the smaller modulus
	factor   uint128 // toQ * 2^128 modulo the larger one
	fast     bool
}

// NewSwitcher makes a switcher between rings of one degree. The moduli must be
// equal modulo t, so that the message survives.
func NewSwitcher(from, to *Ring, t uint64) (*Switcher, error) {
	switch {
	case from.n != to.n:
		return nil, fmt.Errorf("rings have degrees %d and %d, must have one", from.n, to.n)
	case !to.m.q.less(from.m.q):
		return nil, fmt.Errorf("modulus %v is not smaller than %v", to.m.q.big(), from.m.q.big())
	case from.m.Mod(t) != to.m.Mod(t):
		return nil, fmt.Errorf("moduli are %d and %d modulo %d, must be equal", from.m.Mod(t), to.m.Mod(t), t)
	}
	return &Switcher{
		from: from, to: to, t: t,
		toQ:    to.m.q,
		factor: from.m.mul(to.m.q, from.m.r),
		fast:   from.m.q == uint128{q101Low, q101High} && to.m.width <= 26,
	}, nil
}

// Switch takes p, a scaled transform of the larger ring, which it overwrites, to z, one of the
// smaller ring.
func (s *Switcher) Switch(z, p Poly, buf *Buffer) {
	s.from.Inverse(p)
	s.from.e.store(buf.values, p, s.from.GroupWords(), false)
	switch {
	case s.fast && s.t == 3:
		for i, u := range buf.values {
			v := s.scale101(u)
			buf.values[i] = s.round(v, mod3(u.sub(v)))
		}
	case s.fast:
		for i, u := range buf.values {
			v := s.scale101(u)
			buf.values[i] = s.round(v, u.sub(v).mod(s.t))
		}
	default:
		for i, u := range buf.values {
			v := s.scale(u)
			buf.values[i] = s.round(v, u.sub(v).mod(s.t))
		}
	}
	s.to.e.load(z, s.to.GroupWords(), buf.values, false)
	s.to.Forward(z)
	s.to.ScaleUp(z, z)
}

// scale returns floor(u*q'/q) without a division: the remainder of u*q' is known from modular
// arithmetic, the rest is a multiple of q, and its quotient is below 2^128.
func (s *Switcher) scale(u uint128) uint128 {
	m := &s.from.m
	rest := m.mont(u, s.factor)
	return u.mulLow(s.toQ).sub(rest).mulLow(m.inv)
}

// scale101 is scale for the standard modulus and q' < 2^26, where u*q' is below
// 2^127: above bit 101 of it is the quotient, or that is one too small.
func (s *Switcher) scale101(u uint128) uint128 {
	h, lo := bits.Mul64(u.lo, s.toQ.lo)
	h += u.hi * s.toQ.lo
	v := h >> high101
	// The rest, plus c101: it reaches bit 101 exactly if q fits once more.
	_, c := bits.Add64(lo, (v+1)*c101, 0)
	return uint128{v + (h&mask101+c)>>high101, 0}
}

// mod3 returns x mod 3; 2^64 is 1 modulo 3.
func mod3(x uint128) uint64 { return (x.lo%3 + x.hi%3) % 3 }

// round makes the switched value equal to the old one modulo t, given the
// difference d of both modulo t: up by d, or down if d is t/2 or more.
func (s *Switcher) round(v uint128, d uint64) uint128 {
	v.lo, v.hi = addWord(v, d)
	if d >= s.t/2 {
		v = v.add(s.toQ)
		v.lo, v.hi = subWord(v, s.t)
	}
	if !v.less(s.toQ) {
		v = v.sub(s.toQ)
	}
	return v
}

func addWord(x uint128, y uint64) (uint64, uint64) {
	lo, c := bits.Add64(x.lo, y, 0)
	return lo, x.hi + c
}

func subWord(x uint128, y uint64) (uint64, uint64) {
	lo, c := bits.Sub64(x.lo, y, 0)
	return lo, x.hi - c
}
