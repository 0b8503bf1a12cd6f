package commutative

import (
	"bytes"
	"math/big"
	"testing"
)

// Decoding a point and encoding it again must give the same bytes, if they were compressed: there are
// no two encodings of one join key. Multiplying by one is a way to do just that.
func FuzzPoint(f *testing.F) {
	m := newModel()
	one, err := ParseKey([]byte{1})
	if err != nil {
		f.Fatal(err)
	}
	c := New(one, Options{Workers: 1})
	for _, b := range badPoints(f) {
		f.Add(b)
	}
	q, _ := m.hash([]byte("seed"))
	f.Add(m.encode(q))
	f.Add(m.uncompressed(q))
	f.Fuzz(func(t *testing.T, in []byte) {
		want, wantErr := m.decode(in)
		for _, op := range []Op{ReEncrypt, Decrypt} {
			for _, c := range engines(c) {
				out, err := c.All(t.Context(), op, [][]byte{in, in})
				if (err == nil) != (wantErr == nil) {
					t.Fatalf("%x: error %v, the model says %v", in, err, wantErr)
				}
				if err != nil {
					continue
				}
				if got := out[1]; !bytes.Equal(got, m.encode(want)) || !bytes.Equal(got, out[0]) {
					t.Fatalf("%x is encoded as %x", in, got)
				}
				if len(in) == PointSize && !bytes.Equal(out[0], in) {
					t.Fatalf("%x becomes %x", in, out[0])
				}
			}
		}
	})
}

func FuzzParseKey(f *testing.F) {
	m := newModel()
	for _, b := range [][]byte{nil, {0}, {1}, []byte("some-key"), m.n.Bytes(), new(big.Int).Sub(m.n, big.NewInt(1)).Bytes(), make([]byte, 40)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		want, wantErr := m.key(in)
		k, err := ParseKey(in)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%x: error %v, the model says %v", in, err, wantErr)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(k.Bytes(), want.FillBytes(make([]byte, 32))) {
			t.Fatalf("%x is read as %x", in, k.Bytes())
		}
		again, err := ParseKey(k.Bytes())
		if err != nil || *again != *k {
			t.Fatalf("%x is not read back: %v", in, err)
		}
	})
}

func FuzzHashToCurve(f *testing.F) {
	m := newModel()
	key, err := ParseKey([]byte{1})
	if err != nil {
		f.Fatal(err)
	}
	c := New(key, Options{Workers: 1})
	for _, s := range []string{"", "a", "id-50", "join-key-1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var o oracle
		var x, y element
		o.hash(&x, &y, in)
		want, _ := m.hash(in)
		if x.big().Cmp(want.x) != 0 || y.big().Cmp(want.y) != 0 {
			t.Fatalf("%x hashes to %x, %x", in, x.big(), y.big())
		}
		for name, c := range engines(c) {
			out, err := c.All(t.Context(), Encrypt, [][]byte{in, in})
			if err != nil || !bytes.Equal(out[0], m.encode(want)) || !bytes.Equal(out[1], out[0]) {
				t.Fatalf("%x hashes to %x %s, %v", in, out, name, err)
			}
		}
	})
}
