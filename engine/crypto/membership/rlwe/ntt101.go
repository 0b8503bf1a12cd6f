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

// blockSize is the number of coefficients whose transform stays in the first-level
// cache, once the layers that reach further are done.
const blockSize = 512

// mulTwiddle returns b*w below 2^101 + 2^85, for b below 2^107.
func mulTwiddle(b0, b1 uint64, w *twiddle) (uint64, uint64) {
	// b0*w + b1*v has three words only, because v carries the 2^64 of b1.
	h00, l00 := bits.Mul64(b0, w.w0)
	h10, l10 := bits.Mul64(b1, w.v0)
	s0, c := bits.Add64(l00, l10, 0)
	s1, c := bits.Add64(h00, h10, c)
	h01, l01 := bits.Mul64(b0, w.w1)
	s1, d := bits.Add64(s1, l01, 0)
	s2, _ := bits.Add64(h01, c, d)
	h11, l11 := bits.Mul64(b1, w.v1)
	s1, c = bits.Add64(s1, l11, 0)
	s2, _ = bits.Add64(s2, h11, c)
	return fold101(s0, s1, s2)
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
	h := n / 2
	for ; h >= blockSize; h /= 2 {
		t.forwardLayer(p, n, stride, h, n/(2*h))
	}
	block := min(n, blockSize)
	for b := 0; b < n; b += block {
		q := p[b/groupSize*stride:]
		for h := block / 2; h >= groupSize; h /= 2 {
			t.forwardLayer(q, block, stride, h, (n+b)/(2*h))
		}
		for j := 0; j < block; j += groupSize {
			k := (n + b + j) / groupSize
			g := (*group101)(q[j/groupSize*stride:])
			forwardTail(g, &t.fwd[k], (*[2]twiddle)(t.fwd[2*k:]), (*[4]twiddle)(t.fwd[4*k:]))
		}
	}
}

// forwardLayer is the layer of distance h over n coefficients; k is its first factor.
func (t *tables101) forwardLayer(p []uint64, n, stride, h, k int) {
	gap := h / groupSize * stride
	for s := 0; s < n; s += 2 * h {
		w := &t.fwd[k]
		k++
		at := s / groupSize * stride
		for range h / groupSize {
			butterflies101((*group101)(p[at:]), (*group101)(p[at+gap:]), w)
			at += stride
		}
	}
}

// butterflies101 sets (a, b) to (a + w*b, a - w*b + 2q) for eight coefficients. The
// product is mulTwiddle's, written out: the compiler does not inline it.
func butterflies101(a, b *group101, w *twiddle) {
	for j := 0; j < len(a); j += 2 {
		b0, b1 := b[j], b[(j+1)%len(b)]
		h00, l00 := bits.Mul64(b0, w.w0)
		h10, l10 := bits.Mul64(b1, w.v0)
		s0, c := bits.Add64(l00, l10, 0)
		s1, c := bits.Add64(h00, h10, c)
		h01, l01 := bits.Mul64(b0, w.w1)
		s1, d := bits.Add64(s1, l01, 0)
		s2, _ := bits.Add64(h01, c, d)
		h11, l11 := bits.Mul64(b1, w.v1)
		s1, c = bits.Add64(s1, l11, 0)
		s2, _ = bits.Add64(s2, h11, c)
		h, l := bits.Mul64(s2<<(64-high101)|s1>>high101, c101)
		p0, c := bits.Add64(s0, l, 0)
		p1, _ := bits.Add64(s1&mask101, h, c)
		a0, a1 := a[j], a[(j+1)%len(a)]
		d0, c := bits.Sub64(a0, p0, 0)
		d1, _ := bits.Sub64(a1, p1, c)
		a0, c = bits.Add64(a0, p0, 0)
		a1, _ = bits.Add64(a1, p1, c)
		a[j], a[(j+1)%len(a)] = a0, a1
		d0, c = bits.Add64(d0, twoQLow, 0)
		d1, _ = bits.Add64(d1, twoQHigh, c)
		b[j], b[(j+1)%len(b)] = d0, d1
	}
}

// forwardTail is the last three layers, inside one group, and settles the results.
func forwardTail(g *group101, w4 *twiddle, w2 *[2]twiddle, w1 *[4]twiddle) {
	for j := range 4 {
		butterfly101(g, 2*j, 2*j+8, w4)
	}
	for j := range 4 {
		i := j/2*8 + j%2*2
		butterfly101(g, i, i+4, &w2[j/2])
	}
	for j := range 4 {
		butterfly101(g, 4*j, 4*j+2, &w1[j])
	}
	settleGroup(g)
}

// butterfly101 is one butterfly between the coefficients at words a and b of g.
func butterfly101(g *group101, a, b int, w *twiddle) {
	p0, p1 := mulTwiddle(g[b&15], g[(b+1)&15], w)
	a0, a1 := g[a&15], g[(a+1)&15]
	x0, c := bits.Add64(a0, p0, 0)
	g[a&15], g[(a+1)&15] = x0, a1+p1+c
	y0, c := bits.Sub64(a0, p0, 0)
	y1, _ := bits.Sub64(a1, p1, c)
	y0, c = bits.Add64(y0, twoQLow, 0)
	g[b&15], g[(b+1)&15] = y0, y1+twoQHigh+c
}

// inverse101 takes a transform of n >= 16 values to coefficients times 2^-128.
func (t *tables101) inverse101(p []uint64, n, stride int) {
	block := min(n, blockSize)
	for b := 0; b < n; b += block {
		q := p[b/groupSize*stride:]
		for j := 0; j < block; j += groupSize {
			k := (n + b + j) / groupSize
			g := (*group101)(q[j/groupSize*stride:])
			inverseHead(g, &t.inv[k], (*[2]twiddle)(t.inv[2*k:]), (*[4]twiddle)(t.inv[4*k:]))
		}
		for h := groupSize; h < block && h < n/2; h *= 2 {
			t.inverseLayer(q, block, stride, h, (n+b)/(2*h))
		}
	}
	for h := block; h < n/2; h *= 2 {
		t.inverseLayer(p, n, stride, h, n/(2*h))
	}
	// The last layer; its index is logN-1.
	kq := multiple101(bits.Len(uint(n)) - 2)
	gap := n / 2 / groupSize * stride
	for g := range n / 2 / groupSize {
		a, b := (*group101)(p[g*stride:]), (*group101)(p[g*stride+gap:])
		for j := 0; j+1 < len(a); j += 2 {
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

// inverseLayer is the layer of distance h over n coefficients; k is its first factor.
func (t *tables101) inverseLayer(p []uint64, n, stride, h, k int) {
	layer := bits.Len(uint(h)) - 1
	kq, settle := multiple101(layer), layer%4 == 3
	gap := h / groupSize * stride
	for s := 0; s < n; s += 2 * h {
		w := &t.inv[k]
		k++
		at := s / groupSize * stride
		for range h / groupSize {
			a := (*group101)(p[at:])
			inverses101(a, (*group101)(p[at+gap:]), w, kq)
			if settle {
				settleGroup(a)
			}
			at += stride
		}
	}
}

func settleGroup(g *group101) {
	for j := 0; j < len(g); j += 2 {
		g[j], g[(j+1)%len(g)] = settle101(g[j], g[(j+1)%len(g)])
	}
}

// inverses101 sets (a, b) to (a + b, (a - b + kq)*w) for eight coefficients. The
// product is mulTwiddle's, written out.
func inverses101(a, b *group101, w *twiddle, kq uint128) {
	for j := 0; j < len(a); j += 2 {
		a0, a1 := a[j], a[(j+1)%len(a)]
		b0, b1 := b[j], b[(j+1)%len(b)]
		x0, c := bits.Add64(a0, b0, 0)
		x1, _ := bits.Add64(a1, b1, c)
		a[j], a[(j+1)%len(a)] = x0, x1
		b0, c = bits.Sub64(a0, b0, 0)
		b1, _ = bits.Sub64(a1, b1, c)
		b0, c = bits.Add64(b0, kq.lo, 0)
		b1, _ = bits.Add64(b1, kq.hi, c)
		h00, l00 := bits.Mul64(b0, w.w0)
		h10, l10 := bits.Mul64(b1, w.v0)
		s0, c := bits.Add64(l00, l10, 0)
		s1, c := bits.Add64(h00, h10, c)
		h01, l01 := bits.Mul64(b0, w.w1)
		s1, d := bits.Add64(s1, l01, 0)
		s2, _ := bits.Add64(h01, c, d)
		h11, l11 := bits.Mul64(b1, w.v1)
		s1, c = bits.Add64(s1, l11, 0)
		s2, _ = bits.Add64(s2, h11, c)
		h, l := bits.Mul64(s2<<(64-high101)|s1>>high101, c101)
		p0, c := bits.Add64(s0, l, 0)
		p1, _ := bits.Add64(s1&mask101, h, c)
		b[j], b[(j+1)%len(b)] = p0, p1
	}
}

// inverseHead is the first three layers, inside one group.
func inverseHead(g *group101, w4 *twiddle, w2 *[2]twiddle, w1 *[4]twiddle) {
	for j := range 4 {
		inverseButterfly101(g, 4*j, 4*j+2, &w1[j], multiple101(0))
	}
	for j := range 4 {
		i := j/2*8 + j%2*2
		inverseButterfly101(g, i, i+4, &w2[j/2], multiple101(1))
	}
	for j := range 4 {
		inverseButterfly101(g, 2*j, 2*j+8, w4, multiple101(2))
	}
}

// inverseButterfly101 is one butterfly between the coefficients at words a and b of g.
func inverseButterfly101(g *group101, a, b int, w *twiddle, kq uint128) {
	a0, a1, b0, b1 := g[a&15], g[(a+1)&15], g[b&15], g[(b+1)&15]
	d0, d1 := difference101(a0, a1, b0, b1, kq)
	x0, c := bits.Add64(a0, b0, 0)
	g[a&15], g[(a+1)&15] = x0, a1+b1+c
	g[b&15], g[(b+1)&15] = mulTwiddle(d0, d1, w)
}
