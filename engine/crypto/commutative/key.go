package commutative

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
)

// ErrKey is the error of ParseKey. It says nothing about the bytes.
var ErrKey = errors.New("not a commutative cipher key; it must be a big-endian integer, at least 1 and below the order of P-256")

const redacted = "[redacted]"

// Key is a secret scalar in [1, n-1]. It prints as [redacted] whatever the verb. A Key is immutable:
// use it from any number of goroutines.
type Key struct {
	k scalar
}

// ParseKey reads a key: one big-endian integer of any length, leading zero bytes allowed. The reference
// writes keys without leading zeros, and has short ones. The time depends on len(b) only.
func ParseKey(b []byte) (*Key, error) {
	var last [32]byte
	var above byte
	if n := len(b) - len(last); n > 0 {
		for _, v := range b[:n] {
			above |= v
		}
		b = b[n:]
	}
	copy(last[len(last)-len(b):], b)
	k := scalar(number(last[:]))
	// All of it is computed before any of it is looked at: what leaks is that the key is refused.
	if ok := k.belowN() & k.nonZero() & zeroByte(above); ok != 1 {
		return nil, ErrKey
	}
	return &Key{k: k}, nil
}

// GenerateKey returns a key that is uniform in [1, n-1], from crypto/rand.
func GenerateKey() (*Key, error) {
	for {
		var b [32]byte
		if _, err := io.ReadFull(rand.Reader, b[:]); err != nil {
			return nil, fmt.Errorf("read randomness for a commutative cipher key: %w", err)
		}
		// n is close to 2^256: one draw in 2^32 is refused.
		if k, err := ParseKey(b[:]); err == nil {
			return k, nil
		}
	}
}

// Bytes returns the key as 32 big-endian bytes, leading zeros kept: every reader takes them.
func (k *Key) Bytes() []byte {
	b := k.k.bytes()
	return b[:]
}

// String returns [redacted].
func (k *Key) String() string { return redacted }

// Format prints [redacted].
func (k *Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue returns [redacted].
func (k *Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// scalar is an integer modulo the order n of P-256, least significant limb first. Its arithmetic is
// constant time.
type scalar [4]uint64

var (
	order = scalar{0xf3b9cac2fc632551, 0xbce6faada7179e84, 0xffffffffffffffff, 0xffffffff00000000}
	// orderR2 is 2^512 mod n.
	orderR2 = scalar{0x83244c95be79eea2, 0x4699799c49bd6fa6, 0x2845b2392b6bec59, 0x66e12d94f3d95620}
)

// orderInverse is -1/n mod 2^64.
const orderInverse = 0xccd1c8aaee00bc4f

func (k *scalar) bytes() (b [32]byte) {
	putNumber(b[:], (*[4]uint64)(k))
	return b
}

// belowN returns 1 if k < n, else 0.
func (k *scalar) belowN() uint64 {
	var b uint64
	for i := range k {
		_, b = bits.Sub64(k[i], order[i], b)
	}
	return b
}

// nonZero returns 1 if k is not 0, else 0.
func (k *scalar) nonZero() uint64 {
	v := k[0] | k[1] | k[2] | k[3]
	return (v | -v) >> 63
}

// zeroByte returns 1 if v is 0, else 0.
func zeroByte(v byte) uint64 { return (uint64(v) - 1) >> 63 }

// mul sets k = x y / 2^256 mod n, for x and y below n.
func (k *scalar) mul(x, y *scalar) {
	var t [6]uint64
	for _, a := range x {
		t[5] = mulAdd(&t, a, y)
		t[5] += mulAdd(&t, t[0]*orderInverse, &order)
		copy(t[:5], t[1:])
	}
	var r scalar
	var b uint64
	for i := range r {
		r[i], b = bits.Sub64(t[i], order[i], b)
	}
	_, b = bits.Sub64(t[4], 0, b)
	for i := range r {
		k[i] = r[i] ^ -b&(r[i]^t[i])
	}
}

// mulAdd adds a y to the low five limbs of t and returns the carry.
func mulAdd(t *[6]uint64, a uint64, y *scalar) uint64 {
	var carry uint64
	for i, v := range y {
		hi, lo := bits.Mul64(a, v)
		var c uint64
		lo, c = bits.Add64(lo, carry, 0)
		hi += c
		t[i], c = bits.Add64(t[i], lo, 0)
		carry = hi + c
	}
	var c uint64
	t[4], c = bits.Add64(t[4], carry, 0)
	return c
}

// inverse returns 1/k mod n as k^(n-2). The exponent is public: only it decides what is done when.
func (k *scalar) inverse() scalar {
	exponent := order
	exponent[0] -= 2
	var base, r scalar
	base.mul(k, &orderR2)
	r = base
	for i := 254; i >= 0; i-- { // the top bit of n-2 is set
		r.mul(&r, &r)
		if exponent[i/64]>>(i%64)&1 == 1 {
			r.mul(&r, &base)
		}
	}
	r.mul(&r, &scalar{1})
	return r
}
