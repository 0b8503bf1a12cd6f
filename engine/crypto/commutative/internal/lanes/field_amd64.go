//go:build !purego

package lanes

import (
	"math/bits"

	"golang.org/x/sys/cpu"
)

// Available says whether this processor can do it. Nothing else may be called if not.
func Available() bool {
	return cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512IFMA
}

// field holds eight elements of the base field in the Montgomery domain with R = 2^260: limb after
// limb of 52 bits, the least significant first, each for all lanes. Limbs are below 2^52 and elements
// below 2^257: not always below p, so that one element has more than one form.
type field [5][Width]uint64

// mul sets z = x y / R. Inputs may be up to 2^258.
//
//go:noescape
func mul(z, x, y *field)

// square sets z to x squared n times, n at least 1.
//
//go:noescape
func square(z, x *field, n int)

// add sets z = x + y.
//
//go:noescape
func add(z, x, y *field)

// sub sets z = x - y.
//
//go:noescape
func sub(z, x, y *field)

// choose sets z to an entry of the table, reading all of them.
//
//go:noescape
func choose(z *point, table *[tableSize]point, index uint64)

const limbMask = 1<<52 - 1

var prime = [4]uint64{0xffffffffffffffff, 0x00000000ffffffff, 0, 0xffffffff00000001}

// The constants, in every lane.
var (
	unit     = broadcast([5]uint64{0x0000000000001, 0x0000000000000, 0x0000000000000, 0x0000000000000, 0x0000000000000}) // 1, which takes out of the domain
	one      = broadcast([5]uint64{0x0000000000010, 0xf000000000000, 0xfffffffffffff, 0xffeffffffffff, 0x00000000fffff}) // R
	rSquared = broadcast([5]uint64{0x0000000000300, 0xffffffff00000, 0xffffefffffffb, 0xfdfffffffffff, 0x0000004ffffff}) // R^2, which takes into the domain
	curveB   = broadcast([5]uint64{0xdf6229c4bddfd, 0xca8843090d89c, 0x212ed6acf005c, 0x83415a220abf7, 0x0c30061dd4874}) // b R
	three    = broadcast([5]uint64{0x0000000000030, 0xd000000000000, 0xfffffffffffff, 0xffcffffffffff, 0x00000002fffff}) // 3 R
	zero     field
)

func broadcast(limbs [5]uint64) (f field) {
	for i, l := range limbs {
		for lane := range f[i] {
			f[i][lane] = l
		}
	}
	return f
}

// set sets z to numbers below p.
func (z *field) set(x *Numbers) {
	for lane, a := range x {
		z[0][lane] = a[0] & limbMask
		z[1][lane] = (a[0]>>52 | a[1]<<12) & limbMask
		z[2][lane] = (a[1]>>40 | a[2]<<24) & limbMask
		z[3][lane] = (a[2]>>28 | a[3]<<36) & limbMask
		z[4][lane] = a[3] >> 16
	}
	mul(z, z, &rSquared)
}

// get sets x to the numbers below p that z stands for.
func (z *field) get(x *Numbers) {
	var t field
	mul(&t, z, &unit) // at most p
	for lane := range x {
		x[lane] = reduce([4]uint64{
			t[0][lane] | t[1][lane]<<52,
			t[1][lane]>>12 | t[2][lane]<<40,
			t[2][lane]>>24 | t[3][lane]<<28,
			t[3][lane]>>36 | t[4][lane]<<16,
		})
	}
}

// reduce returns a, at most p, less p if it is p.
func reduce(a [4]uint64) (r [4]uint64) {
	var b uint64
	for i := range a {
		r[i], b = bits.Sub64(a[i], prime[i], b)
	}
	for i := range a {
		r[i] ^= -b & (r[i] ^ a[i])
	}
	return r
}

// equal returns the lanes in which x and y are the same element.
func equal(x, y *field) (lanes uint8) {
	var d field
	var n Numbers
	sub(&d, x, y)
	d.get(&n)
	for lane, v := range n {
		if v[0]|v[1]|v[2]|v[3] == 0 {
			lanes |= 1 << lane
		}
	}
	return lanes
}

// negate negates the lanes for which mask has all ones; it has all zeros for the others.
func (z *field) negate(mask *[Width]uint64) {
	var n field
	sub(&n, &zero, z)
	for i := range z {
		for lane, m := range mask {
			z[i][lane] ^= m & (z[i][lane] ^ n[i][lane])
		}
	}
}

// sqrt sets z to x^((p+1)/4), a square root in the lanes where x has one, and returns these. z may be x.
func (z *field) sqrt(x *field) (found uint8) {
	var t, u field
	square(&t, x, 1)
	mul(&t, &t, x) // x^(2^2-1)
	for n := 2; n <= 16; n *= 2 {
		square(&u, &t, n)
		mul(&t, &t, &u) // x^(2^2n-1)
	}
	square(&t, &t, 32)
	mul(&t, &t, x)
	square(&t, &t, 96)
	mul(&t, &t, x)
	square(&t, &t, 94)
	square(&u, &t, 1)
	found = equal(&u, x)
	*z = t
	return found
}

// invert sets z to x^(p-2), which is 1/x, or 0 for 0. p - 2 is, in binary: 32 ones, 31 zeros and a one,
// 96 zeros, 94 ones, a zero and a one. z must not be x.
func (z *field) invert(x *field) {
	var x2, x30, x32, t field
	square(&x2, x, 1)
	mul(&x2, &x2, x) // x^(2^2-1)
	square(&t, &x2, 2)
	mul(&t, &t, &x2) // 2^4-1
	square(z, &t, 2)
	mul(&x30, z, &x2) // 2^6-1
	square(z, &t, 4)
	mul(&t, z, &t) // 2^8-1
	square(z, &t, 8)
	mul(z, z, &t) // 2^16-1
	square(&x32, z, 8)
	mul(&t, &x32, &t) // 2^24-1
	square(&x32, &t, 6)
	mul(&x30, &x32, &x30) // 2^30-1
	square(&x32, &x30, 2)
	mul(&x32, &x32, &x2) // 2^32-1

	square(z, &x32, 32)
	mul(z, z, x)
	square(z, z, 96+32)
	mul(z, z, &x32)
	square(z, z, 32)
	mul(z, z, &x32)
	square(z, z, 30)
	mul(z, z, &x30)
	square(z, z, 2)
	mul(z, z, x)
}
