package rlwe

import "math/bits"

// engine30 serves primes below 2^30, the standard response modulus among them,
// with one word per coefficient in [0,q). Inside a transform values stay below
// 4q, which is below 2^32, so that Shoup's quotient needs one 64-bit product.
type engine30 struct {
	m       *Modulus
	q       uint64
	barrett uint64 // floor(2^64/q)
	logN, n int
	fwd     []shoup30
	inv     []shoup30
	last    shoup30 // 2^-128 / n
}

// shoup30 is a constant factor w with floor(w * 2^32 / q).
type shoup30 struct{ w, quot uint64 }

func new30(m *Modulus, logN int, psi uint128) (engine, bool) {
	if m.width > 30 || logN < 3 {
		return nil, false
	}
	e := &engine30{m: m, q: m.q.lo, logN: logN, n: 1 << logN}
	e.barrett, _ = bits.Div64(1, 0, e.q)
	e.fwd = e.powers(psi)
	e.inv = e.powers(m.inverse(psi))
	n := m.fromInt(int64(e.n))
	e.last = e.shoup(m.mul(m.inverse(n), m.rInv).lo)
	return e, true
}

func (e *engine30) shoup(w uint64) shoup30 { return shoup30{w, w << 32 / e.q} }

func (e *engine30) powers(root uint128) []shoup30 {
	t := make([]shoup30, e.n)
	for i, w := range rootPowers(e.m, root, e.logN) {
		t[i] = e.shoup(w.lo)
	}
	return t
}

// mulShoup returns x*w mod q in [0,2q) for x < 2^32: the quotient is at most one
// too small.
func mulShoup(x uint64, w shoup30, q uint64) uint64 {
	return x*w.w - x*w.quot>>32*q
}

// once returns x mod q for x < 2q, without a branch.
func once(x, q uint64) uint64 {
	x -= q
	return x + q&uint64(int64(x)>>63)
}

// product returns x*y mod q for x, y < q < 2^30: Barrett's quotient is at most one
// too small, as x*y is below 2^60.
func (e *engine30) product(x, y uint64) uint64 {
	p := x * y
	h, _ := bits.Mul64(p, e.barrett)
	return once(p-h*e.q, e.q)
}

func (e *engine30) name() string    { return "portable30" }
func (e *engine30) groupWords() int { return groupSize }

// maxTerms bounds sums of residues below 2^30 in a 64-bit word.
func (e *engine30) maxTerms() int { return 1 << 30 }

func (e *engine30) load(dst []uint64, stride int, src []uint128, _ bool) {
	for i, v := range src[:e.n] {
		dst[e.at(i, stride)] = v.lo
	}
}

func (e *engine30) store(dst []uint128, src []uint64, stride int, _ bool) {
	for i := range e.n {
		dst[i] = uint128{src[e.at(i, stride)], 0}
	}
}

func (e *engine30) loadInts(dst []uint64, stride int, src []int64) {
	for i, v := range src[:e.n] {
		r := v % int64(e.q)
		dst[e.at(i, stride)] = uint64(r + int64(e.q)&(r>>63))
	}
}

// run returns how many coefficients from a multiple of h on lie side by side.
func (e *engine30) run(h, stride int) int {
	if stride == groupSize {
		return h
	}
	return min(h, groupSize)
}

// at returns the index of coefficient i.
func (e *engine30) at(i, stride int) int { return i/groupSize*stride + i%groupSize }

func (e *engine30) forward(p []uint64, stride int) {
	q := e.q
	k := 1
	for h := e.n / 2; h >= groupSize; h /= 2 {
		m := e.run(h, stride)
		for s := 0; s < e.n; s += 2 * h {
			for j := s; j < s+h; j += m {
				ia, ib := e.at(j, stride), e.at(j+h, stride)
				butterflies30(p[ia:ia+m], p[ib:ib+m], e.fwd[k], q)
			}
			k++
		}
	}
	// The last three layers are inside the groups.
	for g := range groups(e.n) {
		v := (*[groupSize]uint64)(p[g*stride:])
		k := e.n/groupSize + g
		w4, w2, w1 := e.fwd[k], (*[2]shoup30)(e.fwd[2*k:]), (*[4]shoup30)(e.fwd[4*k:])
		for i := range 4 {
			v[i], v[i+4] = butterfly30(v[i], v[i+4], w4, q)
		}
		for i := range 2 {
			v[i], v[i+2] = butterfly30(v[i], v[i+2], w2[0], q)
			v[i+4], v[i+6] = butterfly30(v[i+4], v[i+6], w2[1], q)
		}
		for i := range 4 {
			x, y := butterfly30(v[2*i], v[2*i+1], w1[i], q)
			v[2*i], v[2*i+1] = once(once(x, 2*q), q), once(once(y, 2*q), q)
		}
	}
}

// butterfly30 keeps values below 4q: x is brought below 2q first (Harvey).
func butterfly30(x, y uint64, w shoup30, q uint64) (uint64, uint64) {
	x = once(x, 2*q)
	t := mulShoup(y, w, q)
	return x + t, x - t + 2*q
}

func butterflies30(a, b []uint64, w shoup30, q uint64) {
	b = b[:len(a)]
	for j, x := range a {
		a[j], b[j] = butterfly30(x, b[j], w, q)
	}
}

func (e *engine30) inverse(p []uint64, stride int) {
	q := e.q
	// The first three layers are inside the groups.
	for g := range groups(e.n) {
		v := (*[groupSize]uint64)(p[g*stride:])
		k := e.n/groupSize + g
		w4, w2, w1 := e.inv[k], (*[2]shoup30)(e.inv[2*k:]), (*[4]shoup30)(e.inv[4*k:])
		for i := range 4 {
			v[2*i], v[2*i+1] = inverse30(v[2*i], v[2*i+1], w1[i], q)
		}
		for i := range 2 {
			v[i], v[i+2] = inverse30(v[i], v[i+2], w2[0], q)
			v[i+4], v[i+6] = inverse30(v[i+4], v[i+6], w2[1], q)
		}
		for i := range 4 {
			v[i], v[i+4] = inverse30(v[i], v[i+4], w4, q)
		}
	}
	for h := groupSize; h < e.n; h *= 2 {
		k := e.n / (2 * h)
		m := e.run(h, stride)
		for s := 0; s < e.n; s += 2 * h {
			w := e.inv[k]
			k++
			for j := s; j < s+h; j += m {
				ia, ib := e.at(j, stride), e.at(j+h, stride)
				inverses30(p[ia:ia+m], p[ib:ib+m], w, q)
			}
		}
	}
	for g := range groups(e.n) {
		for i := range groupSize {
			v := &p[g*stride+i]
			*v = once(mulShoup(*v, e.last, q), q)
		}
	}
}

// inverse30 keeps values below 2q.
func inverse30(x, y uint64, w shoup30, q uint64) (uint64, uint64) {
	return once(x+y, 2*q), mulShoup(x-y+2*q, w, q)
}

func inverses30(a, b []uint64, w shoup30, q uint64) {
	b = b[:len(a)]
	for j, x := range a {
		a[j], b[j] = inverse30(x, b[j], w, q)
	}
}

func (e *engine30) digits(dst, src []uint64, logBase uint, count int) {
	mask := uint64(1)<<logBase - 1
	for g := range groups(e.n) {
		for i := range groupSize {
			v := src[g*groupSize+i]
			for d := range count {
				dst[(g*count+d)*groupSize+i] = v & mask
				v >>= logBase
			}
		}
	}
	for d := range count {
		e.forward(dst[d*groupSize:], count*groupSize)
	}
}

func (e *engine30) add(z, x, y []uint64) {
	for i := range z {
		z[i] = once(x[i]+y[i], e.q)
	}
}

func (e *engine30) sub(z, x, y []uint64) {
	for i := range z {
		z[i] = once(x[i]-y[i]+e.q, e.q)
	}
}

func (e *engine30) mul(z, x, y []uint64) {
	for i := range z {
		z[i] = e.product(x[i], y[i])
	}
}

func (e *engine30) substitution(power int) []uint32 { return wireSubstitution(e.logN, power) }

func (e *engine30) permute(dst, src []uint64, table []uint32) {
	for i, from := range table {
		dst[i] = src[from]
	}
}

func (e *engine30) keySums(z0, z1, digits, keys []uint64, count int) {
	for g := range groups(e.n) {
		d, k := digits[g*count*groupSize:], keys[g*count*2*groupSize:]
		for i := range groupSize {
			var s0, s1 uint64
			for r := range count {
				x := d[r*groupSize+i]
				s0 += e.product(x, k[2*r*groupSize+i])
				s1 += e.product(x, k[(2*r+1)*groupSize+i])
			}
			z0[g*groupSize+i], z1[g*groupSize+i] = s0%e.q, s1%e.q
		}
	}
}

func (e *engine30) rowSums(zs [][]uint64, x []uint64, ys [][]uint64, off, ends []uint32) {
	for k, z := range zs {
		y, t := ys[k], 0
		for r, end := range ends {
			var s [2 * groupSize]uint64
			for ; t < int(end); t++ {
				pair := y[off[t]:]
				for i := range groupSize {
					v := x[t*groupSize+i]
					s[i] += e.product(v, pair[i])
					s[groupSize+i] += e.product(v, pair[groupSize+i])
				}
			}
			for i, v := range s {
				z[2*r*groupSize+i] = v % e.q
			}
		}
	}
}

func (e *engine30) cross(z, x, y []uint64, off []uint32, comps int) {
	for t, o := range off {
		for c := range comps {
			for i := range groupSize {
				v := x[(t*comps+c)*groupSize+i]
				for d := range 2 {
					at := &z[(c+d)*groupSize+i]
					*at = once(*at+e.product(v, y[int(o)+d*groupSize+i]), e.q)
				}
			}
		}
	}
}
