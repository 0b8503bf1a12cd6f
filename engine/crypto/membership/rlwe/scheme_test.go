package rlwe

import (
	"bytes"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// A slow model of the scheme over math/big: polynomials are coefficients, products are
// schoolbook, key switching and expansion follow their definitions.

type model struct {
	q *big.Int
	n int
}

type bigPoly []*big.Int

func (m model) zero() bigPoly {
	p := make(bigPoly, m.n)
	for i := range p {
		p[i] = new(big.Int)
	}
	return p
}

func (m model) add(x, y bigPoly, sign int64) bigPoly {
	z := m.zero()
	for i := range z {
		z[i].Mul(y[i], big.NewInt(sign)).Add(z[i], x[i]).Mod(z[i], m.q)
	}
	return z
}

// times returns x*y modulo x^n + 1.
func (m model) times(x, y bigPoly) bigPoly {
	z := m.zero()
	v := new(big.Int)
	for i := range x {
		for j := range y {
			v.Mul(x[i], y[j])
			if i+j >= m.n {
				v.Neg(v)
			}
			z[(i+j)%m.n].Add(z[(i+j)%m.n], v)
		}
	}
	for i := range z {
		z[i].Mod(z[i], m.q)
	}
	return z
}

func (m model) substitute(x bigPoly, power int) bigPoly {
	z := m.zero()
	for i := range x {
		to := i * power % (2 * m.n)
		if to >= m.n {
			z[to-m.n].Sub(m.q, x[i]).Mod(z[to-m.n], m.q)
			continue
		}
		z[to].Set(x[i])
	}
	return z
}

// switchKey applies a Galois key, given by its rows, to (d0, d1).
func (m model) switchKey(rows []bigPoly, power, logBase int, d0, d1 bigPoly) (bigPoly, bigPoly) {
	r0, rest := m.substitute(d0, power), m.substitute(d1, power)
	r1 := m.zero()
	base := new(big.Int).Lsh(big.NewInt(1), uint(logBase))
	for i := 0; i < len(rows); i += 2 {
		digit := m.zero()
		for j, v := range rest {
			rest[j], digit[j] = new(big.Int).DivMod(v, base, new(big.Int))
		}
		r0 = m.add(r0, m.times(digit, rows[i]), 1)
		r1 = m.add(r1, m.times(digit, rows[i+1]), 1)
	}
	return r0, r1
}

// read takes a scaled transform to plain coefficients.
func (m model) read(r *Ring, p Poly) bigPoly {
	c := append(Poly(nil), p...)
	r.Inverse(c)
	v := make([]uint128, r.n)
	r.e.store(v, c, r.GroupWords(), false)
	z := m.zero()
	for i := range v {
		z[i] = v[i].big()
	}
	return z
}

func (m model) equal(x, y bigPoly) bool {
	for i := range x {
		if x[i].Cmp(y[i]) != 0 {
			return false
		}
	}
	return true
}

type schemeUnderTest struct {
	r        *Ring
	t        uint64
	variance int
	k        *SecretKey
	keys     []*GaloisKey
	messages [][]byte // the keys, serialized
	rng      *rand.Rand
}

func seedOf(rng *rand.Rand) []byte {
	seed := make([]byte, SeedSize)
	for i := range seed {
		seed[i] = byte(rng.Uint32())
	}
	return seed
}

func newSchemeUnderTest(t *testing.T, r *Ring, pt uint64, logBase, keys int) *schemeUnderTest {
	t.Helper()
	s := &schemeUnderTest{r: r, t: pt, variance: 8, rng: rand.New(rand.NewPCG(9, uint64(logBase)))}
	var err error
	if s.k, err = NewSecretKey(r, SampleSecret(newPRNG(t, seedOf(s.rng)), r.n, 8)); err != nil {
		t.Fatal(err)
	}
	c := NewCryptor(s.k, pt, 8)
	for i := range keys {
		b, err := c.AppendGaloisKey(nil, r.ExpansionPower(i), logBase, seedOf(s.rng), newPRNG(t, seedOf(s.rng)))
		if err != nil {
			t.Fatal(err)
		}
		k, err := r.ParseGaloisKey(b, r.ExpansionPower(i), logBase)
		if err != nil {
			t.Fatal(err)
		}
		s.messages = append(s.messages, b)
		s.keys = append(s.keys, k)
	}
	return s
}

// encrypt returns both components of a fresh ciphertext.
func (s *schemeUnderTest) encrypt(t *testing.T, message []int64) (c0, c1 Poly) {
	t.Helper()
	seed := seedOf(s.rng)
	c0, c1 = s.r.NewPoly(), s.r.NewPoly()
	NewCryptor(s.k, s.t, s.variance).Encrypt(c0, message, newPRNG(t, seed), newPRNG(t, seedOf(s.rng)))
	a := s.r.NewPoly()
	s.r.Uniform(a, newPRNG(t, seed), s.r.NewBuffer())
	s.r.Sub(c1, c1, a)
	return c0, c1
}

// forRings runs a test with the chosen and the plain engine of several moduli.
func forRings(t *testing.T, logN int, f func(t *testing.T, r *Ring)) {
	t.Helper()
	for _, words := range [][]uint64{standardQ, largeModulus(t), otherModuli[1]} {
		for _, make := range []func([]uint64, int) (*Ring, error){NewRing, NewPlainRing} {
			r, err := make(words, logN)
			if err != nil {
				t.Fatal(err)
			}
			t.Run(fmt.Sprintf("%s/%d bits", r.Engine(), r.Modulus().Bits()), func(t *testing.T) { f(t, r) })
		}
	}
}

func TestDecryptUndoesEncrypt(t *testing.T) {
	forRings(t, 6, func(t *testing.T, r *Ring) {
		for _, pt := range []uint64{3, 9, 1<<20 + 1} {
			s := newSchemeUnderTest(t, r, pt, 8, 0)
			message := make([]int64, r.n)
			for i := range message {
				message[i] = s.rng.Int64N(int64(pt))
			}
			message[0], message[1] = 0, int64(pt)-1
			c0, c1 := s.encrypt(t, message)
			// A product with itself has three components.
			sq := []Poly{r.NewPoly(), r.NewPoly(), r.NewPoly()}
			one := make([]int64, r.n)
			one[0] = 1
			d0, d1 := s.encrypt(t, one)
			r.ScaleDown(d0, d0)
			r.ScaleDown(d1, d1)
			tmp := r.NewPoly()
			r.Mul(sq[0], c0, d0)
			r.Mul(sq[1], c0, d1)
			r.Mul(tmp, c1, d0)
			r.Add(sq[1], sq[1], tmp)
			r.Mul(sq[2], c1, d1)
			for name, comps := range map[string][]Poly{"fresh": {c0, c1}, "times one": sq} {
				if name != "fresh" && (pt > 9 || r.m.width < 64) {
					continue // beyond the noise budget
				}
				got := make([]uint64, r.n)
				NewCryptor(s.k, pt, 8).Decrypt(got, comps)
				for i, v := range got {
					if v != uint64(message[i]) {
						t.Fatalf("%s, t = %d: coefficient %d is %d, want %d", name, pt, i, v, message[i])
					}
				}
			}
		}
	})
}

// TestExpansionAgreesWithModel checks every result of every expansion, and that leaving
// out unwanted ones changes nothing.
func TestExpansionAgreesWithModel(t *testing.T) {
	forRings(t, 4, func(t *testing.T, r *Ring) {
		m := model{r.m.q.big(), r.n}
		for _, logBase := range []int{5, 10, 31} {
			const levels = 3
			s := newSchemeUnderTest(t, r, 3, logBase, levels)
			x, err := NewExpander(r, s.keys)
			if err != nil {
				t.Fatal(err)
			}
			message := make([]int64, r.n)
			for i := range x.Outputs() {
				message[i] = s.rng.Int64N(3)
			}
			c0, c1 := s.encrypt(t, message)

			gw := r.GroupWords()
			results := [][2]bigPoly{{m.read(r, c0), m.read(r, c1)}}
			for i, k := range s.keys {
				rows := make([]bigPoly, 2*k.count)
				for j := range rows {
					p := r.NewPoly()
					r.Gather(p, k.rows[j*gw:], 2*k.count*gw)
					rows[j] = m.read(r, p)
				}
				mono := m.zero()
				mono[r.n-1<<i].Sub(m.q, big.NewInt(1))
				next := make([][2]bigPoly, 2*len(results))
				for j, res := range results {
					s0, s1 := m.switchKey(rows, k.power, logBase, res[0], res[1])
					next[j] = [2]bigPoly{m.add(res[0], s0, 1), m.add(res[1], s1, 1)}
					next[j+1<<i] = [2]bigPoly{m.times(m.add(res[0], s0, -1), mono), m.times(m.add(res[1], s1, -1), mono)}
				}
				results = next
			}

			e := x.NewExpansion()
			for _, wanted := range []func(int) bool{
				func(int) bool { return true },
				func(j int) bool { return j < 2 },
				func(j int) bool { return j == 5 },
			} {
				seen := 0
				e.Expand(c0, c1, wanted, func(j int, d0, d1 Poly) {
					seen++
					if !wanted(j) {
						t.Errorf("result %d was not wanted", j)
					}
					if !m.equal(m.read(r, d0), results[j][0]) || !m.equal(m.read(r, d1), results[j][1]) {
						t.Errorf("base 2^%d: result %d differs from the model", logBase, j)
					}
				})
				want := 0
				for j := range x.Outputs() {
					if wanted(j) {
						want++
					}
				}
				if seen != want {
					t.Errorf("%d results, want %d", seen, want)
				}
			}
		}
	})
}

func TestSeedsMakeTheSameKeysWithEveryEngine(t *testing.T) {
	var first [][]byte
	for _, make := range []func([]uint64, int) (*Ring, error){NewRing, NewPlainRing} {
		r, err := make(standardQ, 8)
		if err != nil {
			t.Fatal(err)
		}
		s := newSchemeUnderTest(t, r, 3, 10, 2)
		if first == nil {
			first = s.messages
			continue
		}
		for i := range first {
			if !bytes.Equal(first[i], s.messages[i]) {
				t.Errorf("key %d differs", i)
			}
		}
	}
}

func TestPackingIsCanonical(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for _, words := range [][]uint64{standardQ, standardQ2, largeModulus(t), otherModuli[1], {97}, {18446744073709305857}} {
		m, err := NewModulus(words)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{8, 16, 64} {
			v := make([]uint128, n)
			for i := range v {
				v[i] = randomResidue(&m, rng)
			}
			b := make([]byte, packedLen(n, m.width))
			pack(b, v, m.width)
			stream := new(big.Int)
			for i := n - 1; i >= 0; i-- {
				stream.Lsh(stream, uint(m.width)).Or(stream, v[i].big())
			}
			want := stream.FillBytes(make([]byte, len(b)))
			for i := range b {
				if b[i] != want[len(b)-1-i] {
					t.Fatalf("%d bits: byte %d is %x, want %x", m.width, i, b[i], want[len(b)-1-i])
				}
			}
			got := make([]uint128, n)
			if err := unpack(got, b, &m); err != nil {
				t.Fatal(err)
			}
			for i := range v {
				if got[i] != v[i] {
					t.Fatalf("%d bits: value %d is %v, want %v", m.width, i, got[i].big(), v[i].big())
				}
			}
			if unpack(got, append(bytes.Clone(b), 0), &m) == nil || unpack(got, b[1:], &m) == nil {
				t.Error("a wrong length was accepted")
			}
			// q itself counts as zero, what is above is refused.
			v[n-1] = m.q
			pack(b, v, m.width)
			if err := unpack(got, b, &m); err != nil || !got[n-1].isZero() {
				t.Errorf("q was read as %v, %v", got[n-1].big(), err)
			}
			if v[n-1] = m.q.add(uint128{1, 0}); v[n-1].bitLen() <= m.width {
				pack(b, v, m.width)
				if err := unpack(got, b, &m); err == nil || !strings.Contains(err.Error(), "not below the modulus") {
					t.Errorf("q + 1: %v", err)
				}
			}
		}
	}
}

func TestGaloisKeyForOtherParametersIsRefused(t *testing.T) {
	r, err := NewRing(standardQ, 6)
	if err != nil {
		t.Fatal(err)
	}
	s := newSchemeUnderTest(t, r, 3, 10, 1)
	message := s.messages[0]
	for _, c := range []struct {
		power, base int
		want        string
	}{
		{65, 9, "digits of 10 bits, the parameters say 9"},
		{33, 10, "is for power 65, must be for 33"},
		{65, 11, "more than 10 digits"},
	} {
		if _, err := r.ParseGaloisKey(message, c.power, c.base); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	other, err := NewRing(standardQ, 7)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.ParseGaloisKey(message, 129, 10); err == nil || !strings.Contains(err.Error(), "64 coefficients, must have 128") {
		t.Errorf("other degree: %v", err)
	}
}

func TestTwiddlesOutsideTheBoundAreRefused(t *testing.T) {
	m, err := NewModulus(standardQ)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := makeTwiddle(&m, m.q.sub(uint128{1, 0})); ok {
		t.Error("q - 1 as a factor would overflow")
	}
	if _, ok := makeTwiddle(&m, m.q.shr(1)); !ok {
		t.Error("q/2 is well inside")
	}
}
