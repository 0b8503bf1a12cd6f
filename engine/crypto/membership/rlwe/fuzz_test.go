package rlwe

import (
	"bytes"
	"testing"
)

func fuzzRing(f *testing.F) *Ring {
	f.Helper()
	r, err := NewRing(standardQ, 4)
	if err != nil {
		f.Fatal(err)
	}
	return r
}

// FuzzParsePolynomial: what is read and written again is the same to a reader, and canonical.
func FuzzParsePolynomial(f *testing.F) {
	r := fuzzRing(f)
	buf := r.NewBuffer()
	p := r.NewPoly()
	g, err := NewPRNG(countingSeed())
	if err != nil {
		f.Fatal(err)
	}
	r.Uniform(p, g, buf)
	f.Add(r.AppendPolynomial(nil, p, buf))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		coeffs, err := r.ParsePolynomial(b)
		if err != nil {
			return
		}
		p, buf := r.NewPoly(), r.NewBuffer()
		if r.Unpack(p, coeffs, buf) != nil {
			return
		}
		once := r.AppendPolynomial(nil, p, buf)
		again, err := r.ParsePolynomial(once)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Unpack(p, again, buf); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(r.AppendPolynomial(nil, p, buf), once) {
			t.Error("what was written is not canonical")
		}
		// q may stand for zero; every other residue has one form.
		if !bytes.Equal(again, coeffs) && !holdsModulus(r, coeffs) {
			t.Error("two encodings of one polynomial")
		}
	})
}

// holdsModulus reports whether a coefficient on the wire is q itself.
func holdsModulus(r *Ring, coeffs []byte) bool {
	m := r.m
	m.q = m.q.add(uint128{1, 0}) // so that q is an ordinary value
	v := make([]uint128, r.n)
	if unpack(v, coeffs, &m) != nil {
		return false
	}
	for _, x := range v {
		if x == r.m.q {
			return true
		}
	}
	return false
}

func FuzzParseGaloisKey(f *testing.F) {
	r := fuzzRing(f)
	k, err := NewSecretKey(r, make([]int64, r.n))
	if err != nil {
		f.Fatal(err)
	}
	private, err := NewPRNG(countingSeed())
	if err != nil {
		f.Fatal(err)
	}
	b, err := NewCryptor(k, 3, 8).AppendGaloisKey(nil, 17, 30, countingSeed(), private)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := r.ParseGaloisKey(b, 17, 30)
		if (k == nil) == (err == nil) {
			t.Errorf("key %v, error %v", k, err)
		}
	})
}

func FuzzParseCiphertext(f *testing.F) {
	r := fuzzRing(f)
	f.Add(r.AppendCiphertext(nil, []Poly{r.NewPoly(), r.NewPoly()}, 1.5, r.NewBuffer()))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := r.ParseCiphertext(b, 3)
		if err == nil && (len(c.Components) == 0 || len(c.Components) > 3) {
			t.Errorf("%d components", len(c.Components))
		}
	})
}
