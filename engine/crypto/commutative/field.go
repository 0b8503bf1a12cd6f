package commutative

import "math/bits"

// element is an element of the base field of P-256, p = 2^256 - 2^224 + 2^192 + 2^96 - 1, below p, in
// the Montgomery domain with R = 2^256, least significant limb first.
//
// All arithmetic is constant time. -1/p mod 2^64 is 1, so a Montgomery step needs no multiplication to
// find its quotient, and p's limbs make the step itself cheap.
type element [4]uint64

const (
	p0 = 0xffffffffffffffff
	p1 = 0x00000000ffffffff
	p3 = 0xffffffff00000001
)

var (
	// one is R mod p.
	one = element{0x0000000000000001, 0xffffffff00000000, 0xffffffffffffffff, 0x00000000fffffffe}
	// curveB is the curve's b, times R.
	curveB = element{0xd89cdf6229c4bddf, 0xacf005cd78843090, 0xe5a220abf7212ed6, 0xdc30061d04874834}
	// rSquared is R^2 mod p, rCubed is R^3 mod p: the factors into the domain for the low and the high
	// half of a 512-bit number.
	rSquared = element{0x0000000000000003, 0xfffffffbffffffff, 0xfffffffffffffffe, 0x00000004fffffffd}
	rCubed   = element{0xfffffffd0000000a, 0xffffffedfffffff7, 0x00000005fffffffc, 0x0000001800000001}
)

// mul sets z = x y / R. One of x and y may be any 256-bit number, the other must be below p.
func (z *element) mul(x, y *element) {
	y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
	var t0, t1, t2, t3, t4 uint64
	for _, a := range x {
		var c, k uint64
		h0, l0 := bits.Mul64(a, y0)
		h1, l1 := bits.Mul64(a, y1)
		h2, l2 := bits.Mul64(a, y2)
		h3, l3 := bits.Mul64(a, y3)
		l1, c = bits.Add64(l1, h0, 0)
		l2, c = bits.Add64(l2, h1, c)
		l3, c = bits.Add64(l3, h2, c)
		h3 += c
		t0, c = bits.Add64(t0, l0, 0)
		t1, c = bits.Add64(t1, l1, c)
		t2, c = bits.Add64(t2, l2, c)
		t3, c = bits.Add64(t3, l3, c)
		t4, k = bits.Add64(t4, h3, c)

		// (t + t0 p) / 2^64: the low limb cancels, 2^96 t0 and t0 (2^256 - 2^224 + 2^192) remain.
		m := t0
		hi, lo := bits.Mul64(m, p3)
		t0, c = bits.Add64(t1, m<<32, 0)
		t1, c = bits.Add64(t2, m>>32, c)
		t2, c = bits.Add64(t3, lo, c)
		t3, c = bits.Add64(t4, hi, c)
		t4 = k + c
	}
	z.reduce(t0, t1, t2, t3, t4)
}

// reduce sets z to the number t below 2p, less p if it is not below p.
func (z *element) reduce(t0, t1, t2, t3, t4 uint64) {
	r0, b := bits.Sub64(t0, p0, 0)
	r1, b := bits.Sub64(t1, p1, b)
	r2, b := bits.Sub64(t2, 0, b)
	r3, b := bits.Sub64(t3, p3, b)
	_, b = bits.Sub64(t4, 0, b)
	keep := -b // all ones if t < p
	z[0] = r0 ^ keep&(r0^t0)
	z[1] = r1 ^ keep&(r1^t1)
	z[2] = r2 ^ keep&(r2^t2)
	z[3] = r3 ^ keep&(r3^t3)
}

// square squares x n times.
func (z *element) square(x *element, n int) {
	t0, t1, t2, t3 := x[0], x[1], x[2], x[3]
	for range n {
		t0, t1, t2, t3 = squareOnce(t0, t1, t2, t3)
	}
	*z = element{t0, t1, t2, t3}
}

// squareOnce is mul(x, x) with the products of two different limbs taken once: nearly all the time of a
// square root goes here.
func squareOnce(x0, x1, x2, x3 uint64) (r0, r1, r2, r3 uint64) {
	var c uint64
	// The products of two different limbs, twice.
	t2, t1 := bits.Mul64(x0, x1)
	t3, l := bits.Mul64(x0, x2)
	t2, c = bits.Add64(t2, l, 0)
	t4, l := bits.Mul64(x0, x3)
	t3, c = bits.Add64(t3, l, c)
	t4 += c
	h, l := bits.Mul64(x1, x2)
	t3, c = bits.Add64(t3, l, 0)
	t4, c = bits.Add64(t4, h, c)
	t5 := c
	h, l = bits.Mul64(x1, x3)
	t4, c = bits.Add64(t4, l, 0)
	t5, _ = bits.Add64(t5, h, c)
	t6, l := bits.Mul64(x2, x3)
	t5, c = bits.Add64(t5, l, 0)
	t6 += c
	t7 := t6 >> 63
	t6 = t6<<1 | t5>>63
	t5 = t5<<1 | t4>>63
	t4 = t4<<1 | t3>>63
	t3 = t3<<1 | t2>>63
	t2 = t2<<1 | t1>>63
	t1 <<= 1
	// The squares.
	h, t0 := bits.Mul64(x0, x0)
	t1, c = bits.Add64(t1, h, 0)
	h, l = bits.Mul64(x1, x1)
	t2, c = bits.Add64(t2, l, c)
	t3, c = bits.Add64(t3, h, c)
	h, l = bits.Mul64(x2, x2)
	t4, c = bits.Add64(t4, l, c)
	t5, c = bits.Add64(t5, h, c)
	h, l = bits.Mul64(x3, x3)
	t6, c = bits.Add64(t6, l, c)
	t7 += h + c
	// Four Montgomery steps, as in mul, on the low half: each takes the lowest limb away, and what it
	// carries out is the new top one.
	t0, t1, t2, t3 = step(t0, t1, t2, t3)
	t0, t1, t2, t3 = step(t0, t1, t2, t3)
	t0, t1, t2, t3 = step(t0, t1, t2, t3)
	t0, t1, t2, t3 = step(t0, t1, t2, t3)
	t0, c = bits.Add64(t0, t4, 0)
	t1, c = bits.Add64(t1, t5, c)
	t2, c = bits.Add64(t2, t6, c)
	t3, t4 = bits.Add64(t3, t7, c)

	var z element
	z.reduce(t0, t1, t2, t3, t4)
	return z[0], z[1], z[2], z[3]
}

// step returns (t + t0 p) / 2^64, which is below 2^256.
func step(t0, t1, t2, t3 uint64) (r0, r1, r2, r3 uint64) {
	hi, lo := bits.Mul64(t0, p3)
	r0, c := bits.Add64(t1, t0<<32, 0)
	r1, c = bits.Add64(t2, t0>>32, c)
	r2, c = bits.Add64(t3, lo, c)
	return r0, r1, r2, hi + c
}

// add sets z = x + y.
func (z *element) add(x, y *element) {
	t0, c := bits.Add64(x[0], y[0], 0)
	t1, c := bits.Add64(x[1], y[1], c)
	t2, c := bits.Add64(x[2], y[2], c)
	t3, c := bits.Add64(x[3], y[3], c)
	z.reduce(t0, t1, t2, t3, c)
}

// sub sets z = x - y.
func (z *element) sub(x, y *element) {
	t0, b := bits.Sub64(x[0], y[0], 0)
	t1, b := bits.Sub64(x[1], y[1], b)
	t2, b := bits.Sub64(x[2], y[2], b)
	t3, b := bits.Sub64(x[3], y[3], b)
	mask := -b
	var c uint64
	z[0], c = bits.Add64(t0, mask, 0)
	z[1], c = bits.Add64(t1, mask&p1, c)
	z[2], c = bits.Add64(t2, 0, c)
	z[3], _ = bits.Add64(t3, mask&p3, c)
}

func (z *element) equal(x *element) bool {
	return (z[0]^x[0])|(z[1]^x[1])|(z[2]^x[2])|(z[3]^x[3]) == 0
}

// setWide sets z to the residue of a 512-bit big-endian number, given as its two halves.
func (z *element) setWide(high, low *[32]byte) {
	h, l := element(number(high[:])), element(number(low[:]))
	h.mul(&h, &rCubed)
	l.mul(&l, &rSquared)
	z.add(&h, &l)
}

// setBytes sets z to a big-endian number and says whether it is below p. If not, z is of no use.
func (z *element) setBytes(b *[32]byte) bool {
	*z = number(b[:])
	below := z.belowP()
	z.mul(z, &rSquared)
	return below
}

func (z *element) belowP() bool {
	_, b := bits.Sub64(z[0], p0, 0)
	_, b = bits.Sub64(z[1], p1, b)
	_, b = bits.Sub64(z[2], 0, b)
	_, b = bits.Sub64(z[3], p3, b)
	return b == 1
}

// number returns the number below p that z stands for.
func (z *element) number() [4]uint64 {
	var t element
	t.mul(z, &element{1})
	return t
}

// bytes writes z as a big-endian number.
func (z *element) bytes(b *[32]byte) {
	n := z.number()
	putNumber(b[:], &n)
}

// sqrt sets z to a square root of x and says whether x has one. If not, z is of no use. p is 3 mod 4,
// so x^((p+1)/4) is a root if there is any; (p+1)/4 = ((2^32-1) 2^32 + 1) 2^96 + 1) 2^94.
func (z *element) sqrt(x *element) bool {
	var t, u element
	t.square(x, 1)
	t.mul(&t, x) // x^(2^2-1)
	for n := 2; n <= 16; n *= 2 {
		u.square(&t, n)
		t.mul(&t, &u) // x^(2^2n-1)
	}
	t.square(&t, 32)
	t.mul(&t, x)
	t.square(&t, 96)
	t.mul(&t, x)
	t.square(&t, 94)
	u.square(&t, 1)
	ok := u.equal(x) // before z is set: it may be x
	*z = t
	return ok
}

// curve sets z = x^3 - 3x + b, the square of the y of a point at x.
func (z *element) curve(x *element) {
	var t element
	t.square(x, 1)
	t.sub(&t, &one)
	t.sub(&t, &one)
	t.sub(&t, &one) // x^2 - 3
	t.mul(&t, x)
	z.add(&t, &curveB)
}
