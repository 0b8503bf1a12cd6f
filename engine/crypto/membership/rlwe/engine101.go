package rlwe

import "math/bits"

// engine101 serves the standard request modulus 2^101 - 1171455 in portable Go.
// A coefficient is two neighbouring words, low and high, so a group is eight
// pairs. Normal form is below 2^102.
type engine101 struct {
	logN, n int
	m       *Modulus
	t       tables101
}

func new101(m *Modulus, logN int, psi uint128) (engine, bool) {
	if m.q != (uint128{q101Low, q101High}) || logN < 4 {
		return nil, false
	}
	t, ok := makeTables101(m, logN, psi)
	return &engine101{logN: logN, n: 1 << logN, m: m, t: t}, ok
}

func (e *engine101) name() string    { return "portable101" }
func (e *engine101) groupWords() int { return 2 * groupSize }

// maxTerms: products of normal forms are below 2^204, and reduce101 takes sums
// below 2^240; cross adds up to two products a term and component.
func (e *engine101) maxTerms() int { return 1 << 30 }

func (e *engine101) load(dst []uint64, stride int, src []uint128, _ bool) {
	for g := range e.n / groupSize {
		d, s := (*group101)(dst[g*stride:]), (*[groupSize]uint128)(src[g*groupSize:])
		for i, v := range s {
			d[2*i], d[2*i+1] = v.lo, v.hi
		}
	}
}

func (e *engine101) store(dst []uint128, src []uint64, stride int, _ bool) {
	for g := range e.n / groupSize {
		s, d := (*group101)(src[g*stride:]), (*[groupSize]uint128)(dst[g*groupSize:])
		for i := range d {
			d[i].lo, d[i].hi = canon101(s[2*i], s[2*i+1])
		}
	}
}

func (e *engine101) loadInts(dst []uint64, stride int, src []int64) {
	for g := range e.n / groupSize {
		d, s := (*group101)(dst[g*stride:]), (*[groupSize]int64)(src[g*groupSize:])
		for i, v := range s {
			// Negative numbers get q added, without a branch: they are secrets.
			sign := uint64(v >> 63)
			lo, c := bits.Add64(uint64(v), sign&q101Low, 0)
			d[2*i], d[2*i+1] = lo, sign+sign&q101High+c
		}
	}
}

func (e *engine101) forward(p []uint64, stride int) { e.t.forward101(p, e.n, stride) }
func (e *engine101) inverse(p []uint64, stride int) { e.t.inverse101(p, e.n, stride) }

func (e *engine101) digits(dst, src []uint64, logBase uint, count int) {
	gw := e.groupWords()
	for i := 0; i < 2*e.n; i += 2 {
		src[i], src[i+1] = canon101(src[i], src[i+1])
	}
	mask := mask128(logBase)
	for d := range count {
		shift := uint(d) * logBase
		for g := range e.n / groupSize {
			s, z := (*group101)(src[g*gw:]), (*group101)(dst[(g*count+d)*gw:])
			for i := 0; i+1 < len(s); i += 2 {
				v := uint128{s[i], s[i+1]}.shr(shift)
				z[i], z[i+1] = v.lo&mask.lo, v.hi&mask.hi
			}
		}
		e.forward(dst[d*gw:], count*gw)
	}
}

func (e *engine101) add(z, x, y []uint64) {
	for i := 0; i+1 < len(z); i += 2 {
		lo, c := bits.Add64(x[i], y[i], 0)
		z[i], z[i+1] = settle101(lo, x[i+1]+y[i+1]+c)
	}
}

func (e *engine101) sub(z, x, y []uint64) {
	kq := multiple101(0)
	for i := 0; i+1 < len(z); i += 2 {
		z[i], z[i+1] = settle101(difference101(x[i], x[i+1], y[i], y[i+1], kq))
	}
}

func (e *engine101) mul(z, x, y []uint64) {
	for i := 0; i+1 < len(z); i += 2 {
		z[i], z[i+1] = mul101(x[i], x[i+1], y[i], y[i+1])
	}
}

func (e *engine101) substitution(power int) []uint32 { return wireSubstitution(e.logN, power) }

func (e *engine101) permute(dst, src []uint64, table []uint32) {
	for i, from := range table {
		dst[2*i], dst[2*i+1] = src[2*from], src[2*from+1]
	}
}

func (e *engine101) keySums(z0, z1, digits, keys []uint64, count int) {
	const gw = 2 * groupSize
	var rows [maxModulusBits]uint32
	off := rows[:count]
	for i := range off {
		off[i] = uint32(i * 2 * gw)
	}
	for g := range e.n / groupSize {
		d, k := digits[g*count*gw:], keys[g*count*2*gw:]
		for i := 0; i < gw; i += 2 {
			at := g*gw + i
			z0[at], z0[at+1] = gather101(d[i:], gw, k[i:], off)
			z1[at], z1[at+1] = gather101(d[i:], gw, k[gw+i:], off)
		}
	}
}

// gather101 returns the sum of products of the coefficients at every step words of
// x with those at the given offsets of y.
func gather101(x []uint64, step int, y []uint64, off []uint32) (uint64, uint64) {
	var a0, a1, a2, a3, c uint64
	j := 0
	for _, o := range off {
		x0, x1, y0, y1 := x[j], x[j+1], y[o], y[o+1]
		j += step
		h00, l00 := bits.Mul64(x0, y0)
		h11, l11 := bits.Mul64(x1, y1)
		a0, c = bits.Add64(a0, l00, 0)
		a1, c = bits.Add64(a1, h00, c)
		a2, c = bits.Add64(a2, l11, c)
		a3, _ = bits.Add64(a3, h11, c)
		h01, l01 := bits.Mul64(x0, y1)
		h10, l10 := bits.Mul64(x1, y0)
		m0, c := bits.Add64(l01, l10, 0)
		m1, _ := bits.Add64(h01, h10, c)
		a1, c = bits.Add64(a1, m0, 0)
		a2, c = bits.Add64(a2, m1, c)
		a3 += c
	}
	return reduce101(a0, a1, a2, a3)
}

func (e *engine101) rowSums(zs [][]uint64, x []uint64, ys [][]uint64, off, ends []uint32) {
	const gw = 2 * groupSize
	for k, z := range zs {
		y, begin := ys[k], uint32(0)
		for r, end := range ends {
			rx, ro, pair := x[int(begin)*gw:], off[begin:end], z[2*r*gw:2*(r+1)*gw]
			begin = end
			if len(ro) == 0 {
				clear(pair)
				continue
			}
			for i := 0; i < gw; i += 2 {
				pair[i], pair[i+1] = gather101(rx[i:], gw, y[i:], ro)
				pair[gw+i], pair[gw+i+1] = gather101(rx[i:], gw, y[gw+i:], ro)
			}
		}
	}
}

func (e *engine101) cross(z, x, y []uint64, off []uint32, comps int) {
	const gw = 2 * groupSize
	for c := range comps {
		for i := 0; i < gw; i += 2 {
			for d := range 2 {
				s0, s1 := gather101(x[c*gw+i:], comps*gw, y[d*gw+i:], off)
				at := (c+d)*gw + i
				lo, carry := bits.Add64(z[at], s0, 0)
				z[at], z[at+1] = settle101(lo, z[at+1]+s1+carry)
			}
		}
	}
}
