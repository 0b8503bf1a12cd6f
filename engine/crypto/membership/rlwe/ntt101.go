package rlwe

import "math/bits"

// Transforms modulo 2^101 - c101. Values are pairs of words, low and high; eight
// pairs are a group.
//
// Bounds. mulTwiddle takes factors below 2^107 and returns less than 2^101 + 2^85,
// which is below 2q.
//
// Forward: a butterfly gives a + p and a - p + 2q, so values grow by at most
// 2q < 2^102 a layer: from normal form (below 2^102) at most 2^102 * 16 = 2^106
// after the 15 layers of the largest degree. Nothing is reduced before the last
// layer.
//
// Inverse: sums double. Layers go in rounds of four. A round begins with values
// below 2^102 (settled sums, or products); its layer i = 0..3 has inputs below
// 2^(102+i), to differences it adds 2^(2+i)*q > 2^(102+i) and gets less than
// 2^(104+i), at most 2^107, and the sums of layer 3 are settled again.
//
// makeTwiddle proves each factor of the tables when they are built.

// group101 is a group of eight pairs.
type group101 = [2 * groupSize]uint64

// mulTwiddle returns b*w below 2^101 + 2^85, for b below 2^107. It is written out in
// butterflies101 and inverses101, because the compiler does not inline it.
func mulTwiddle(b0, b1 uint64, w *twiddle) (uint64, uint64) {
	// b0*w + b1*v has three words only, because v carries the 2^64 of b1. The products of
	// weight 2^64 are added up first: their sum is below 2^102, so that no carry
	// leaves the second word.
	h00, l00 := bits.Mul64(b0, w.w0)
	h10, l10 := bits.Mul64(b1, w.v0)
	h01, l01 := bits.Mul64(b0, w.w1)
	h11, l11 := bits.Mul64(b1, w.v1)
	m0, c := bits.Add64(l01, l11, 0)
	m1, _ := bits.Add64(h01, h11, c)
	s0, c := bits.Add64(l00, l10, 0)
	m0, c = bits.Add64(m0, h00, c)
	m1, _ = bits.Add64(m1, 0, c)
	m0, c = bits.Add64(m0, h10, 0)
	m1, _ = bits.Add64(m1, 0, c)
	return fold101(s0, m0, m1)
}

// tables101 are the factors of both transforms of one degree.
type tables101 struct {
	fwd, inv []twiddle // root^brv(k)
	// The last layer of the inverse transform also multiplies by 2^-128/n: the sums by
	// last, the differences by lastDiff.
	last, lastDiff twiddle
}

// makeTables101 reports false if a factor is outside what mulTwiddle can take.
func makeTables101(m *Modulus, logN int, psi uint128) (t tables101, ok bool) {
	ok = true
	make1 := func(w uint128) twiddle {
		tw, fine := makeTwiddle(m, w)
		ok = ok && fine
		return tw
	}
	fill := func(root uint128) []twiddle {
		out := make([]twiddle, 1<<logN)
		for i, w := range rootPowers(m, root, logN) {
			out[i] = make1(w)
		}
		return out
	}
	t.fwd, t.inv = fill(psi), fill(m.inverse(psi))
	scale := m.mul(m.inverse(m.fromInt(1<<logN)), m.rInv)
	t.last = make1(scale)
	t.lastDiff = make1(m.mul(scale, uint128{t.inv[1].w0, t.inv[1].w1}))
	return t, ok
}

// forward101 transforms n >= 16 coefficients in place.
func (t *tables101) forward101(p []uint64, n, stride int) {
	for h := n / 2; h >= groupSize; h /= 2 {
		gap, run := h/groupSize*stride, runOf(h, stride)
		k := n / (2 * h)
		for at := 0; at < n/groupSize*stride; at += 2 * gap {
			w := &t.fwd[k]
			k++
			for j := at; j < at+gap; j += max(stride, run) {
				butterflies101(p[j:j+run], p[j+gap:j+gap+run], w)
			}
		}
	}
	// The last three layers are inside the groups.
	for g := range n / groupSize {
		v := p[g*stride : g*stride+2*groupSize]
		k := n/groupSize + g
		butterflies101(v[:8], v[8:], &t.fwd[k])
		butterflies101(v[:4], v[4:8], &t.fwd[2*k])
		butterflies101(v[8:12], v[12:], &t.fwd[2*k+1])
		for i := range 4 {
			butterflies101(v[4*i:4*i+2], v[4*i+2:4*i+4], &t.fwd[4*k+i])
		}
		settle(v)
	}
}

// runOf is the number of words of h coefficients that lie side by side.
func runOf(h, stride int) int {
	if stride == 2*groupSize {
		return 2 * h
	}
	return 2 * groupSize
}

// butterflies101 sets (a, b) to (a + w*b, a - w*b + 2q) for the pairs of two slices.
func butterflies101(a, b []uint64, w *twiddle) {
	b = b[:len(a)]
	for j := 0; j+1 < len(a); j += 2 {
		b0, b1 := b[j], b[j+1]
		h00, l00 := bits.Mul64(b0, w.w0)
		h10, l10 := bits.Mul64(b1, w.v0)
		h01, l01 := bits.Mul64(b0, w.w1)
		h11, l11 := bits.Mul64(b1, w.v1)
		m0, c := bits.Add64(l01, l11, 0)
		m1, _ := bits.Add64(h01, h11, c)
		s0, c := bits.Add64(l00, l10, 0)
		m0, c = bits.Add64(m0, h00, c)
		m1, _ = bits.Add64(m1, 0, c)
		m0, c = bits.Add64(m0, h10, 0)
		m1, _ = bits.Add64(m1, 0, c)
		h, l := bits.Mul64(m1<<(64-high101)|m0>>high101, c101)
		p0, c := bits.Add64(s0, l, 0)
		p1, _ := bits.Add64(m0&mask101, h, c)
		a0, a1 := a[j], a[j+1]
		d0, c := bits.Sub64(a0, p0, 0)
		d1, _ := bits.Sub64(a1, p1, c)
		a0, c = bits.Add64(a0, p0, 0)
		a1, _ = bits.Add64(a1, p1, c)
		a[j], a[j+1] = a0, a1
		d0, c = bits.Add64(d0, twoQLow, 0)
		d1, _ = bits.Add64(d1, twoQHigh, c)
		b[j], b[j+1] = d0, d1
	}
}

// inverse101 takes a transform of n >= 16 values to coefficients times 2^-128.
func (t *tables101) inverse101(p []uint64, n, stride int) {
	// The first three layers are inside the groups.
	kq0, kq1, kq2 := multiple101(0), multiple101(1), multiple101(2)
	for g := range n / groupSize {
		v := p[g*stride : g*stride+2*groupSize]
		k := n/groupSize + g
		for i := range 4 {
			inverses101(v[4*i:4*i+2], v[4*i+2:4*i+4], &t.inv[4*k+i], kq0.lo, kq0.hi)
		}
		inverses101(v[:4], v[4:8], &t.inv[2*k], kq1.lo, kq1.hi)
		inverses101(v[8:12], v[12:], &t.inv[2*k+1], kq1.lo, kq1.hi)
		inverses101(v[:8], v[8:], &t.inv[k], kq2.lo, kq2.hi)
	}
	layer := 3
	for h := groupSize; h < n/2; h *= 2 {
		gap, run := h/groupSize*stride, runOf(h, stride)
		kq := multiple101(layer)
		k := n / (2 * h)
		for at := 0; at < n/groupSize*stride; at += 2 * gap {
			w := &t.inv[k]
			k++
			for j := at; j < at+gap; j += max(stride, run) {
				inverses101(p[j:j+run], p[j+gap:j+gap+run], w, kq.lo, kq.hi)
				if layer%4 == 3 {
					settle(p[j : j+run])
				}
			}
		}
		layer++
	}
	kq := multiple101(layer)
	gap, run := n/2/groupSize*stride, runOf(n/2, stride)
	for at := 0; at < gap; at += max(stride, run) {
		a, b := p[at:at+run], p[at+gap:at+gap+run]
		for j := 0; j+1 < len(a) && j+1 < len(b); j += 2 {
			a0, a1, b0, b1 := a[j], a[j+1], b[j], b[j+1]
			d0, d1 := difference101(a0, a1, b0, b1, kq)
			a0, c := bits.Add64(a0, b0, 0)
			a[j], a[j+1] = mulTwiddle(a0, a1+b1+c, &t.last)
			b[j], b[j+1] = mulTwiddle(d0, d1, &t.lastDiff)
		}
	}
}

// multiple101 returns the multiple of q that is added to differences in the inverse
// layer of the given index: more than any value in that layer.
func multiple101(layer int) uint128 {
	k := uint(layer%4) + 2
	return uint128{-(uint64(c101) << k), 1<<(high101+k) - 1}
}

// difference101 returns a - b + kq.
func difference101(a0, a1, b0, b1 uint64, kq uint128) (uint64, uint64) {
	d0, c := bits.Sub64(a0, b0, 0)
	d1, _ := bits.Sub64(a1, b1, c)
	d0, c = bits.Add64(d0, kq.lo, 0)
	return d0, d1 + kq.hi + c
}

// settle settles the pairs of a slice.
func settle(p []uint64) {
	for j := 0; j+1 < len(p); j += 2 {
		p[j], p[j+1] = settle101(p[j], p[j+1])
	}
}

// inverses101 sets (a, b) to (a + b, (a - b + kq)*w) for the pairs of two slices.
func inverses101(a, b []uint64, w *twiddle, kq0, kq1 uint64) {
	b = b[:len(a)]
	for j := 0; j+1 < len(a); j += 2 {
		a0, a1 := a[j], a[j+1]
		b0, b1 := b[j], b[j+1]
		x0, c := bits.Add64(a0, b0, 0)
		x1, _ := bits.Add64(a1, b1, c)
		a[j], a[j+1] = x0, x1
		b0, c = bits.Sub64(a0, b0, 0)
		b1, _ = bits.Sub64(a1, b1, c)
		b0, c = bits.Add64(b0, kq0, 0)
		b1, _ = bits.Add64(b1, kq1, c)
		h00, l00 := bits.Mul64(b0, w.w0)
		h10, l10 := bits.Mul64(b1, w.v0)
		h01, l01 := bits.Mul64(b0, w.w1)
		h11, l11 := bits.Mul64(b1, w.v1)
		m0, c := bits.Add64(l01, l11, 0)
		m1, _ := bits.Add64(h01, h11, c)
		s0, c := bits.Add64(l00, l10, 0)
		m0, c = bits.Add64(m0, h00, c)
		m1, _ = bits.Add64(m1, 0, c)
		m0, c = bits.Add64(m0, h10, 0)
		m1, _ = bits.Add64(m1, 0, c)
		h, l := bits.Mul64(m1<<(64-high101)|m0>>high101, c101)
		p0, c := bits.Add64(s0, l, 0)
		p1, _ := bits.Add64(m0&mask101, h, c)
		b[j], b[j+1] = p0, p1
	}
}
