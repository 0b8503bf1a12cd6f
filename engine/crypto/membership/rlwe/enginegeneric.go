package rlwe

// generic serves any prime below 2^126. A coefficient is kept as Montgomery's
// representative (times 2^128), canonical, in two neighbouring words; it is the
// slow, plain engine that the others are compared with.
type generic struct {
	m       *Modulus
	logN, n int
	fwd     []uint128 // psi^brv(k), in Montgomery form
	inv     []uint128 // psi^-brv(k), likewise
	last    uint128   // 2^-128 / n, likewise
}

func newGeneric(m *Modulus, logN int, psi uint128) *generic {
	e := &generic{m: m, logN: logN, n: 1 << logN}
	e.fwd = e.powers(psi)
	e.inv = e.powers(m.inverse(psi))
	n := m.fromInt(int64(e.n))
	e.last = e.enter(m.mul(m.inverse(n), m.rInv))
	return e
}

// powers returns root^brv(k) for all k, in Montgomery form.
func (e *generic) powers(root uint128) []uint128 {
	t := make([]uint128, e.n)
	for i, w := range rootPowers(e.m, root, e.logN) {
		t[i] = e.enter(w)
	}
	return t
}

// rootPowers returns root^brv(k) for k < 2^logN.
func rootPowers(m *Modulus, root uint128, logN int) []uint128 {
	t := make([]uint128, 1<<logN)
	w, step := m.fromInt(1), m.mul(root, m.r)
	for i := range t {
		t[bitReverse(i, logN)] = w
		w = m.mont(w, step)
	}
	return t
}

func (e *generic) enter(x uint128) uint128 { return e.m.mont(x, e.m.r2) }
func (e *generic) leave(x uint128) uint128 { return e.m.mont(x, uint128{1, 0}) }

func (e *generic) name() string    { return "generic" }
func (e *generic) groupWords() int { return 2 * groupSize }
func (e *generic) maxTerms() int   { return 1 << 30 } // nothing is accumulated lazily

// at returns the index of coefficient i.
func (e *generic) at(i, stride int) int { return i/groupSize*stride + 2*(i%groupSize) }

func get(p []uint64, i int) uint128    { return uint128{p[i], p[i+1]} }
func put(p []uint64, i int, x uint128) { p[i], p[i+1] = x.lo, x.hi }

func (e *generic) load(dst []uint64, stride int, src []uint128, _ bool) {
	for i := range e.n {
		put(dst, e.at(i, stride), e.enter(src[i]))
	}
}

func (e *generic) store(dst []uint128, src []uint64, stride int, _ bool) {
	for i := range e.n {
		dst[i] = e.leave(get(src, e.at(i, stride)))
	}
}

func (e *generic) loadInts(dst []uint64, stride int, src []int64) {
	for i := range e.n {
		put(dst, e.at(i, stride), e.enter(e.m.fromInt(src[i])))
	}
}

func (e *generic) forward(p []uint64, stride int) {
	k := 1
	for h := e.n / 2; h >= 1; h /= 2 {
		for s := 0; s < e.n; s += 2 * h {
			w := e.fwd[k]
			k++
			for j := s; j < s+h; j++ {
				ia, ib := e.at(j, stride), e.at(j+h, stride)
				a, b := get(p, ia), e.m.mont(get(p, ib), w)
				put(p, ia, e.m.add(a, b))
				put(p, ib, e.m.sub(a, b))
			}
		}
	}
}

func (e *generic) inverse(p []uint64, stride int) {
	for h := 1; h < e.n; h *= 2 {
		k := e.n / (2 * h)
		for s := 0; s < e.n; s += 2 * h {
			w := e.inv[k]
			k++
			for j := s; j < s+h; j++ {
				ia, ib := e.at(j, stride), e.at(j+h, stride)
				a, b := get(p, ia), get(p, ib)
				put(p, ia, e.m.add(a, b))
				put(p, ib, e.m.mont(e.m.sub(a, b), w))
			}
		}
	}
	for i := range e.n {
		j := e.at(i, stride)
		put(p, j, e.m.mont(get(p, j), e.last))
	}
}

func (e *generic) digits(dst, src []uint64, logBase uint, count int) {
	gw := e.groupWords()
	mask := mask128(logBase)
	for i := range e.n {
		v := e.leave(get(src, e.at(i, gw)))
		at := e.at(i, count*gw)
		for d := range count {
			put(dst, at+d*gw, e.enter(v.and(mask)))
			v = v.shr(logBase)
		}
	}
	for d := range count {
		e.forward(dst[d*gw:], count*gw)
	}
}

func (e *generic) add(z, x, y []uint64) {
	for i := 0; i < len(z); i += 2 {
		put(z, i, e.m.add(get(x, i), get(y, i)))
	}
}

func (e *generic) sub(z, x, y []uint64) {
	for i := 0; i < len(z); i += 2 {
		put(z, i, e.m.sub(get(x, i), get(y, i)))
	}
}

func (e *generic) mul(z, x, y []uint64) {
	for i := 0; i < len(z); i += 2 {
		put(z, i, e.m.mont(get(x, i), get(y, i)))
	}
}

func (e *generic) substitution(power int) []uint32 { return wireSubstitution(e.logN, power) }

func (e *generic) permute(dst, src []uint64, table []uint32) {
	for i, from := range table {
		put(dst, 2*i, get(src, 2*int(from)))
	}
}

func (e *generic) keySums(z0, z1, digits, keys []uint64, count int) {
	gw := e.groupWords()
	for g := range groups(e.n) {
		d, k := digits[g*count*gw:], keys[g*count*2*gw:]
		for i := 0; i < gw; i += 2 {
			var s0, s1 uint128
			for r := range count {
				x := get(d, r*gw+i)
				s0 = e.m.add(s0, e.m.mont(x, get(k, 2*r*gw+i)))
				s1 = e.m.add(s1, e.m.mont(x, get(k, (2*r+1)*gw+i)))
			}
			put(z0, g*gw+i, s0)
			put(z1, g*gw+i, s1)
		}
	}
}

func (e *generic) rowSums(zs [][]uint64, x []uint64, ys [][]uint64, off, ends []uint32) {
	gw := e.groupWords()
	for k, z := range zs {
		y, t := ys[k], 0
		for r, end := range ends {
			pair := z[2*r*gw : 2*(r+1)*gw]
			clear(pair)
			for ; t < int(end); t++ {
				for i := 0; i < gw; i += 2 {
					v, o := get(x, t*gw+i), int(off[t])+i
					put(pair, i, e.m.add(get(pair, i), e.m.mont(v, get(y, o))))
					put(pair, gw+i, e.m.add(get(pair, gw+i), e.m.mont(v, get(y, o+gw))))
				}
			}
		}
	}
}

func (e *generic) cross(z, x, y []uint64, off []uint32, comps int) {
	gw := e.groupWords()
	for t, o := range off {
		for c := range comps {
			for i := 0; i < gw; i += 2 {
				v := get(x, (t*comps+c)*gw+i)
				for d := range 2 {
					at := (c+d)*gw + i
					put(z, at, e.m.add(get(z, at), e.m.mont(v, get(y, int(o)+d*gw+i))))
				}
			}
		}
	}
}
