package rlwe

import (
	"errors"
	"fmt"
)

// SecretKey is the secret polynomial under one modulus. It is safe for concurrent
// use. It prints as [redacted].
type SecretKey struct {
	r *Ring
	s Poly // plain transform
}

// SampleSecret draws the coefficients of a secret key.
func SampleSecret(g *PRNG, n, variance int) []int64 {
	v := make([]int64, n)
	g.binomial(v, variance)
	return v
}

// NewSecretKey takes the coefficients of SampleSecret; the same coefficients under
// two moduli make the same key.
func NewSecretKey(r *Ring, coefficients []int64) (*SecretKey, error) {
	if len(coefficients) != r.n {
		return nil, fmt.Errorf("secret key has %d coefficients, must have %d", len(coefficients), r.n)
	}
	k := &SecretKey{r: r, s: r.NewPoly()}
	r.SetInts(k.s, coefficients)
	r.Forward(k.s)
	return k, nil
}

// ParseSecretKey reads a key from the coefficient bytes of the wire. Errors do not
// tell its values.
func ParseSecretKey(r *Ring, coeffs []byte) (*SecretKey, error) {
	k := &SecretKey{r: r, s: r.NewPoly()}
	if err := r.Unpack(k.s, coeffs, r.NewBuffer()); err != nil {
		return nil, errors.New("secret key is malformed: wrong length, or a coefficient above the modulus")
	}
	r.ScaleDown(k.s, k.s)
	return k, nil
}

// Append appends the key as a SerializedNttPolynomial.
func (k *SecretKey) Append(b []byte) []byte {
	p := k.r.NewPoly()
	k.r.ScaleUp(p, k.s)
	return k.r.AppendPolynomial(b, p, k.r.NewBuffer())
}

// Coefficients returns the secret's coefficients as signed integers and fails if one is larger than
// limit: then it is no secret key, or not for this modulus.
func (k *SecretKey) Coefficients(limit int64) ([]int64, error) {
	p := k.r.NewPoly()
	k.r.ScaleUp(p, k.s)
	k.r.Inverse(p)
	v := make([]uint128, k.r.n)
	k.r.e.store(v, p, k.r.GroupWords(), false)
	out := make([]int64, k.r.n)
	bad := false
	for i, x := range v {
		neg := k.r.m.q.sub(x)
		if neg.less(x) {
			out[i] = -int64(neg.lo)
			x = neg
		} else {
			out[i] = int64(x.lo)
		}
		bad = bad || x.hi != 0 || x.lo > uint64(limit)
	}
	if bad {
		return nil, fmt.Errorf("secret key has a coefficient beyond %d", limit)
	}
	return out, nil
}

// String, GoString and Format keep the key out of logs.
func (k *SecretKey) String() string { return "[redacted]" }

// GoString is String.
func (k *SecretKey) GoString() string { return "[redacted]" }

// Format prints [redacted] for every verb.
func (k *SecretKey) Format(s fmt.State, _ rune) { fmt.Fprint(s, "[redacted]") }

// Cryptor encrypts and decrypts with one key, plaintext modulus and error variance.
// It has scratch space, so each goroutine needs one of its own.
type Cryptor struct {
	k        *SecretKey
	t        uint64
	variance int
	buf      *Buffer
	a, m     Poly
}

// NewCryptor makes a cryptor. t is the plaintext modulus.
func NewCryptor(k *SecretKey, t uint64, variance int) *Cryptor {
	return &Cryptor{k: k, t: t, variance: variance, buf: k.r.NewBuffer(), a: k.r.NewPoly(), m: k.r.NewPoly()}
}

// Encrypt writes a*s + t*e + message to c0, scaled, where a is drawn from the public
// generator (and is the receiver's to draw again) and e from the private one. The
// message is N coefficients in [0,t).
func (c *Cryptor) Encrypt(c0 Poly, message []int64, public, private *PRNG) {
	r := c.k.r
	r.Uniform(c.a, public, c.buf)
	r.Mul(c0, c.a, c.k.s)
	c.noise(private)
	for i, v := range message {
		c.buf.ints[i] += v
	}
	c.transformInts()
	r.Add(c0, c0, c.m)
}

// noise draws t*e into buf.ints.
func (c *Cryptor) noise(private *PRNG) {
	private.binomial(c.buf.ints, c.variance)
	for i := range c.buf.ints {
		c.buf.ints[i] *= int64(c.t)
	}
}

// transformInts sets m to the scaled transform of buf.ints.
func (c *Cryptor) transformInts() {
	c.k.r.SetInts(c.m, c.buf.ints)
	c.k.r.Forward(c.m)
	c.k.r.ScaleUp(c.m, c.m)
}

// Decrypt writes the N message coefficients, in [0,t), of a ciphertext whose
// components are scaled transforms; there must be one or more. It is right only
// while the noise is below half the modulus, which nothing can check here.
func (c *Cryptor) Decrypt(message []uint64, components []Poly) {
	c.open(components)
	m := &c.k.r.m
	half := m.q.shr(1)
	shift := c.t - m.q.mod(c.t) // -q mod t, up to a multiple
	for i, u := range c.buf.values {
		v := u.mod(c.t)
		if half.less(u) {
			v += shift
		}
		message[i] = v % c.t
	}
}

// open sets buf.values to the coefficients of the sum of components times powers
// of the key.
func (c *Cryptor) open(components []Poly) {
	r := c.k.r
	copy(c.m, components[len(components)-1])
	for i := len(components) - 2; i >= 0; i-- {
		r.Mul(c.m, c.m, c.k.s)
		r.Add(c.m, c.m, components[i])
	}
	r.Inverse(c.m)
	r.e.store(c.buf.values, c.m, r.GroupWords(), false)
}

// NoiseBits returns the length in bits of the largest coefficient that decryption meets, as
// distance from the nearest multiple of q.
func (c *Cryptor) NoiseBits(components []Poly) int {
	c.open(components)
	n := 0
	for _, u := range c.buf.values {
		if neg := c.k.r.m.q.sub(u); neg.less(u) {
			u = neg
		}
		n = max(n, u.bitLen())
	}
	return n
}
