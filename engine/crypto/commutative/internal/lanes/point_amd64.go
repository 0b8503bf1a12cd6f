//go:build !purego

package lanes

import "math/bits"

const (
	windowBits = 5
	tableSize  = 1 << (windowBits - 1) // the odd multiples 1 to 31
	digits     = 51                    // and a top digit, which is always 1
)

// order is the number of points, n.
var order = [4]uint64{0xf3b9cac2fc632551, 0xbce6faada7179e84, 0xffffffffffffffff, 0xffffffff00000000}

// Scalar is what points are multiplied by: k, as the sum of 32^51 and 51 odd digits from -31 to 31, the
// digit i times 32^i, less nothing if k is odd. If k is even it is n - k that is so written, and the
// product is negated. It is secret.
type Scalar struct {
	digit    [digits]uint8 // 0 to 31, for -31 to 31
	opposite uint64        // all ones if n - k is written
}

// NewScalar writes k, least significant limb first, which is at least 1 and below n.
func NewScalar(k *[4]uint64) Scalar {
	s := Scalar{opposite: k[0]&1 - 1}
	var odd [4]uint64
	var b uint64
	for i := range odd {
		odd[i], b = bits.Sub64(order[i], k[i], b)
	}
	for i := range odd {
		odd[i] = k[i] ^ s.opposite&(k[i]^odd[i])
	}
	// An odd k is 2 (k div 64) + 1 times 32 plus (k mod 64) - 32: the digit is odd, and so is what is
	// left. Digit i is thus in the five bits above bit 5i.
	for i := range s.digit {
		at := windowBits*i + 1
		v := odd[at/64] >> (at % 64)
		if at/64 < 3 {
			v |= odd[at/64+1] << (63 - at%64) << 1
		}
		s.digit[i] = uint8(v & 31)
	}
	return s
}

// point holds eight points, in Jacobian coordinates (x/z^2, y/z^3), or homogeneous ones (x/z, y/z) at
// the end.
type point struct{ x, y, z field }

// Points are eight points. The zero value is none. What is not the point at infinity stays so.
type Points struct {
	at    point
	table [tableSize]point
	q     point
	t     [12]field
}

// Roots sets y, for each of the x, which are below p, to the even y of the points there, below p, and
// returns the lanes in which there is one.
func Roots(y, x *Numbers) (found uint8) {
	var f, g field
	f.set(x)
	square(&g, &f, 1)
	sub(&g, &g, &three)
	mul(&g, &g, &f)
	add(&g, &g, &curveB)
	found = g.sqrt(&g)
	g.get(y)
	for lane := range y {
		y[lane] = Opposite(y[lane], y[lane][0]&1)
	}
	return found
}

// Opposite returns p - y if flip is 1, and y if it is 0. y is at least 1 and below p.
func Opposite(y [4]uint64, flip uint64) [4]uint64 {
	var b uint64
	for i := range y {
		var v uint64
		v, b = bits.Sub64(prime[i], y[i], b)
		y[i] ^= -flip & (y[i] ^ v)
	}
	return y
}

// Set sets the points by coordinates below p, which must be those of points.
func (p *Points) Set(x, y *Numbers) {
	p.at.x.set(x)
	p.at.y.set(y)
	p.at.z = one
}

// Multiply multiplies all points by a scalar. They must be as Set leaves them.
//
// The point that is built is a multiple by an odd number a of the point given, from 1, each time made
// 32 a + d with an odd d from -31 to 31. Neither 32 a nor d is 0 modulo n, and they are not each other
// or its opposite, since a is below n/32 until the last step: Jacobian coordinates need no special
// cases. In the last step 32 a can be d + n. There the formulas are complete.
func (p *Points) Multiply(s *Scalar) {
	p.fillTable()
	for i := digits - 1; i >= 0; i-- {
		for range windowBits {
			p.double(&p.at, &p.at)
		}
		// 16 to 31 stand for 1 to 31, 15 to 0 for -1 to -31.
		negative := uint64(s.digit[i]>>4) - 1
		index := uint64(s.digit[i]&15) ^ negative&15
		choose(&p.q, &p.table, index)
		var mask [Width]uint64
		for lane := range mask {
			mask[lane] = negative
		}
		p.q.y.negate(&mask)
		if i > 0 {
			p.add(&p.at, &p.at, &p.q)
		}
	}
	p.homogeneous(&p.at)
	p.homogeneous(&p.q)
	p.addComplete()
	var mask [Width]uint64
	for lane := range mask {
		mask[lane] = s.opposite
	}
	p.at.y.negate(&mask)
}

// Affine returns the coordinates of what Multiply has made.
func (p *Points) Affine(x, y *Numbers) {
	p.t[0].invert(&p.at.z)
	mul(&p.t[1], &p.at.x, &p.t[0])
	p.t[1].get(x)
	mul(&p.t[1], &p.at.y, &p.t[0])
	p.t[1].get(y)
}

// fillTable makes the odd multiples. Each is less than n times the point, and they differ: the
// additions are not special.
func (p *Points) fillTable() {
	p.table[0] = p.at
	p.double(&p.q, &p.at)
	for i := 1; i < tableSize; i++ {
		p.add(&p.table[i], &p.table[i-1], &p.q)
	}
}

// double sets r = 2 a, in Jacobian coordinates. r may be a. There is no point of order two.
func (p *Points) double(r, a *point) {
	delta, gamma, beta, alpha, t, u := &p.t[0], &p.t[1], &p.t[2], &p.t[3], &p.t[4], &p.t[5]
	square(delta, &a.z, 1)
	square(gamma, &a.y, 1)
	mul(beta, &a.x, gamma)
	sub(t, &a.x, delta)
	add(u, &a.x, delta)
	mul(t, t, u)
	add(alpha, t, t)
	add(alpha, alpha, t) // 3 (x^2 - z^4)

	add(t, &a.y, &a.z)
	square(t, t, 1)
	sub(t, t, gamma)
	sub(&r.z, t, delta) // 2 y z

	add(beta, beta, beta)
	add(beta, beta, beta) // 4 x y^2
	add(u, beta, beta)
	square(t, alpha, 1)
	sub(&r.x, t, u) // alpha^2 - 8 x y^2

	sub(t, beta, &r.x)
	mul(t, t, alpha)
	add(gamma, gamma, gamma)
	square(gamma, gamma, 1)
	add(gamma, gamma, gamma) // 8 y^4
	sub(&r.y, t, gamma)
}

// add sets r = a + b, in Jacobian coordinates, where a is neither b nor its opposite. r may be a.
func (p *Points) add(r, a, b *point) {
	az2, bz2, u1, s1, h, d, t := &p.t[0], &p.t[1], &p.t[2], &p.t[3], &p.t[4], &p.t[5], &p.t[6]
	square(az2, &a.z, 1)
	square(bz2, &b.z, 1)
	mul(u1, &a.x, bz2)
	mul(h, &b.x, az2)
	sub(h, h, u1)
	mul(bz2, bz2, &b.z)
	mul(s1, &a.y, bz2)
	mul(az2, az2, &a.z)
	mul(d, &b.y, az2)
	sub(d, d, s1)
	mul(t, &a.z, &b.z)
	mul(&r.z, t, h)

	square(t, h, 1)
	mul(u1, u1, t) // u1 h^2
	mul(t, t, h)   // h^3
	mul(s1, s1, t)
	square(h, d, 1)
	sub(h, h, t)
	sub(h, h, u1)
	sub(&r.x, h, u1)
	sub(t, u1, &r.x)
	mul(t, t, d)
	sub(&r.y, t, s1)
}

// homogeneous changes the coordinates from Jacobian: (x/z^2, y/z^3) = (x z / z^3, y / z^3).
func (p *Points) homogeneous(a *point) {
	mul(&a.x, &a.x, &a.z)
	square(&p.t[0], &a.z, 1)
	mul(&a.z, &a.z, &p.t[0])
}

// addComplete adds p.q to p.at, both in homogeneous coordinates, whatever they are: algorithm 4 of
// Renes, Costello and Batina, "Complete addition formulas for prime order elliptic curves".
func (p *Points) addComplete() {
	a, b := &p.at, &p.q
	t0, t1, t2, t3, t4, x, y, z := &p.t[0], &p.t[1], &p.t[2], &p.t[3], &p.t[4], &p.t[5], &p.t[6], &p.t[7]
	mul(t0, &a.x, &b.x)
	mul(t1, &a.y, &b.y)
	mul(t2, &a.z, &b.z)
	p.cross(t3, &a.x, &a.y, &b.x, &b.y, t0, t1)
	p.cross(t4, &a.y, &a.z, &b.y, &b.z, t1, t2)
	p.cross(y, &a.x, &a.z, &b.x, &b.z, t0, t2)
	mul(z, &curveB, t2)
	sub(x, y, z)
	add(z, x, x)
	add(x, x, z)
	sub(z, t1, x)
	add(x, t1, x)
	mul(y, &curveB, y)
	add(t1, t2, t2)
	add(t2, t1, t2)
	sub(y, y, t2)
	sub(y, y, t0)
	add(t1, y, y)
	add(y, t1, y)
	add(t1, t0, t0)
	add(t0, t1, t0)
	sub(t0, t0, t2)
	mul(t1, t4, y)
	mul(t2, t0, y)
	mul(y, x, z)
	add(&a.y, y, t2)
	mul(x, t3, x)
	sub(&a.x, x, t1)
	mul(z, t4, z)
	mul(t1, t3, t0)
	add(&a.z, z, t1)
}

// cross sets z = (a + b)(c + d) - ac - bd.
func (p *Points) cross(z, a, b, c, d, ac, bd *field) {
	u, v := &p.t[8], &p.t[9]
	add(u, a, b)
	add(v, c, d)
	mul(z, u, v)
	add(u, ac, bd)
	sub(z, z, u)
}
