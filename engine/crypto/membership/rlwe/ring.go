package rlwe

import "fmt"

// Limits of a ring's degree, as base-2 logarithms. The lower one is ours: below
// it a group of coefficients would not be full.
const (
	MinLogDegree = 3
	MaxLogDegree = 15
)

// Poly is a polynomial, as transform or as coefficients, in the form of the ring
// that made it. Its words mean nothing outside that ring.
type Poly []uint64

// Ring is Z_q[x]/(x^N+1) for N = 2^logN, with the engine for q. It is immutable
// and safe for concurrent use.
type Ring struct {
	m    Modulus
	logN int
	n    int
	e    engine
	up   Poly // transform of the constant 2^128
	down Poly // transform of the constant 2^-128
}

// NewRing makes a ring modulo the prime given by its words, lowest first. The
// prime must be 1 modulo 2N.
func NewRing(words []uint64, logN int) (*Ring, error) {
	m, err := NewModulus(words)
	if err != nil {
		return nil, err
	}
	if logN < MinLogDegree || logN > MaxLogDegree {
		return nil, fmt.Errorf("log_degree is %d, must be from %d to %d", logN, MinLogDegree, MaxLogDegree)
	}
	return makeRing(m, logN, newEngine)
}

// NewPlainRing is NewRing with the plainest engine, which serves every modulus: several
// times slower for the standard ones, and what results of the others are
// compared with.
func NewPlainRing(words []uint64, logN int) (*Ring, error) {
	r, err := NewRing(words, logN)
	if err != nil {
		return nil, err
	}
	return makeRing(r.m, logN, newPlainEngine)
}

func makeRing(m Modulus, logN int, choose func(*Modulus, int) (engine, error)) (_ *Ring, err error) {
	r := &Ring{m: m, logN: logN, n: 1 << logN}
	if r.e, err = choose(&r.m, logN); err != nil {
		return nil, err
	}
	r.up, r.down = r.constant(m.r), r.constant(m.rInv)
	return r, nil
}

// constant returns the transform of a constant.
func (r *Ring) constant(v uint128) Poly {
	all := make([]uint128, r.n)
	for i := range all {
		all[i] = v
	}
	p := r.NewPoly()
	r.e.load(p, r.GroupWords(), all, true)
	return p
}

// Modulus returns the ring's modulus.
func (r *Ring) Modulus() *Modulus { return &r.m }

// N returns the number of coefficients.
func (r *Ring) N() int { return r.n }

// LogN returns the base-2 logarithm of N.
func (r *Ring) LogN() int { return r.logN }

// Engine names the arithmetic in use, for logs and benchmarks.
func (r *Ring) Engine() string { return r.e.name() }

// GroupWords is the number of words in a group of coefficients, and the stride of
// a polynomial whose groups are neighbours.
func (r *Ring) GroupWords() int { return r.e.groupWords() }

// Groups is the number of groups in a polynomial.
func (r *Ring) Groups() int { return groups(r.n) }

// MaxTerms is the number of products that one row of RowSums, or one call of
// Cross, may add up.
func (r *Ring) MaxTerms() int { return r.e.maxTerms() }

// NewPoly returns zero.
func (r *Ring) NewPoly() Poly { return make(Poly, r.Groups()*r.GroupWords()) }

// Forward transforms coefficients in place.
func (r *Ring) Forward(p Poly) { r.e.forward(p, r.GroupWords()) }

// Inverse takes a scaled transform to plain coefficients, in place.
func (r *Ring) Inverse(p Poly) { r.e.inverse(p, r.GroupWords()) }

// Add sets z to x + y; z may be an operand.
func (r *Ring) Add(z, x, y Poly) { r.e.add(z, x, y) }

// Sub sets z to x - y; z may be an operand.
func (r *Ring) Sub(z, x, y Poly) { r.e.sub(z, x, y) }

// Mul sets z to the point-wise product of transforms; z may be an operand.
func (r *Ring) Mul(z, x, y Poly) { r.e.mul(z, x, y) }

// ScaleUp makes a plain transform scaled; z may be x.
func (r *Ring) ScaleUp(z, x Poly) { r.e.mul(z, x, r.up) }

// ScaleDown makes a scaled transform plain; z may be x.
func (r *Ring) ScaleDown(z, x Poly) { r.e.mul(z, x, r.down) }

// SetInts sets p to the plain coefficients v, of which there must be N.
func (r *Ring) SetInts(p Poly, v []int64) { r.e.loadInts(p, r.GroupWords(), v) }

// Scatter copies p group by group to dst, where groups are stride words apart.
func (r *Ring) Scatter(dst []uint64, stride int, p Poly) {
	gw := r.GroupWords()
	for at := 0; len(p) >= gw; at += stride {
		copy(dst[at:at+gw], p)
		p = p[gw:]
	}
}

// Gather is the inverse of Scatter.
func (r *Ring) Gather(p Poly, src []uint64, stride int) {
	gw := r.GroupWords()
	for at := 0; len(p) >= gw; at += stride {
		copy(p[:gw], src[at:at+gw])
		p = p[gw:]
	}
}

// RowSums works on one group of coefficients, for several queries at once. Row i of
// query k is the sum, over the terms t in [ends[i-1], ends[i]), of the product of
// group t of x and the pair of groups at word off[t] of ys[k]; it is written to the
// pair of groups i of zs[k]. A row may have up to MaxTerms terms.
func (r *Ring) RowSums(zs [][]uint64, x []uint64, ys [][]uint64, off, ends []uint32) {
	r.e.rowSums(zs, x, ys, off, ends)
}

// Cross works on one group of coefficients. It adds to z, comps+1 groups, the
// products of the vectors in x, comps groups each, with the pairs of groups at
// the words off of y: one vector and one pair a term, up to MaxTerms terms.
func (r *Ring) Cross(z, x, y []uint64, off []uint32, comps int) {
	r.e.cross(z, x, y, off, comps)
}

// Unpack reads a scaled transform from the bytes of the wire. buf is scratch space.
func (r *Ring) Unpack(p Poly, coeffs []byte, buf *Buffer) error {
	if err := unpack(buf.values, coeffs, &r.m); err != nil {
		return err
	}
	r.e.load(p, r.GroupWords(), buf.values, true)
	return nil
}

// PackedLen is the length of a polynomial's coefficients on the wire.
func (r *Ring) PackedLen() int { return packedLen(r.n, r.m.width) }

// Pack writes a scaled transform to dst, which must be PackedLen long.
func (r *Ring) Pack(dst []byte, p Poly, buf *Buffer) {
	r.e.store(buf.values, p, r.GroupWords(), true)
	pack(dst, buf.values, r.m.width)
}

// Uniform draws a scaled transform from the generator.
func (r *Ring) Uniform(p Poly, g *PRNG, buf *Buffer) {
	g.uniform(buf.values, &r.m)
	r.e.load(p, r.GroupWords(), buf.values, true)
}

// Buffer is scratch space for the conversions of rings of one degree. It must not
// be used by two goroutines at once.
type Buffer struct {
	values []uint128
	ints   []int64
}

// NewBuffer makes scratch space for rings of this degree.
func (r *Ring) NewBuffer() *Buffer {
	return &Buffer{values: make([]uint128, r.n), ints: make([]int64, r.n)}
}
