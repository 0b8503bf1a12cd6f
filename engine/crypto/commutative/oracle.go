package commutative

import (
	"bytes"
	"crypto/sha256"
)

// oracle hashes byte strings to points. Its buffer is reused, so that hashing a join key allocates
// nothing once the buffer has grown to the longest. It is not safe for concurrent use.
type oracle struct {
	buf []byte
}

// candidate sets x to
//
//	(SHA-256(1 || s) 2^256 + SHA-256(2 || s)) mod p.
func (o *oracle) candidate(x *element, s []byte) {
	o.buf = append(append(o.buf[:0], 1), s...)
	high := sha256.Sum256(o.buf)
	o.buf[0] = 2
	low := sha256.Sum256(o.buf)
	x.setWide(&high, &low)
}

// hash sets x and y to the point that s hashes to: the first of the candidates for s, for the first
// candidate's bytes, and so on, that is the x of a point, with the even of the two y. A rejected
// candidate is hashed without its leading zero bytes. Half of all candidates are rejected.
func (o *oracle) hash(x, y *element, s []byte) {
	var b, yb [32]byte
	for {
		o.candidate(x, s)
		y.curve(x)
		if y.sqrt(y) {
			break
		}
		x.bytes(&b)
		s = bytes.TrimLeft(b[:], "\x00")
	}
	y.bytes(&yb)
	if yb[31]&1 == 1 {
		var zero element
		y.sub(&zero, y)
	}
}
