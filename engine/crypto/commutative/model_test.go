package commutative

import (
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"math/big"
)

// model is the cipher again, slowly, with math/big and textbook affine formulas: what the tests
// compare with. It shares nothing with the code under test.
type model struct{ p, n, b *big.Int }

type modelPoint struct{ x, y *big.Int }

func newModel() model {
	c := elliptic.P256().Params()
	return model{p: c.P, n: c.N, b: c.B}
}

func (m model) curve(x *big.Int) *big.Int {
	r := new(big.Int).Exp(x, big.NewInt(3), m.p)
	r.Sub(r, new(big.Int).Mul(big.NewInt(3), x))
	return r.Add(r, m.b).Mod(r, m.p)
}

// hash returns the point and the number of candidates it took.
func (m model) hash(s []byte) (modelPoint, int) {
	for tries := 1; ; tries++ {
		high := sha256.Sum256(append([]byte{1}, s...))
		low := sha256.Sum256(append([]byte{2}, s...))
		x := new(big.Int).SetBytes(append(high[:], low[:]...))
		x.Mod(x, m.p)
		if y := new(big.Int).ModSqrt(m.curve(x), m.p); y != nil {
			if y.Bit(0) == 1 {
				y.Sub(m.p, y)
			}
			return modelPoint{x, y}, tries
		}
		s = x.Bytes()
	}
}

func (m model) add(a, b *modelPoint) *modelPoint {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	slope, below := new(big.Int), new(big.Int)
	if a.x.Cmp(b.x) == 0 {
		if new(big.Int).Mod(new(big.Int).Add(a.y, b.y), m.p).Sign() == 0 {
			return nil
		}
		slope.Mul(a.x, a.x)
		slope.Mul(slope, big.NewInt(3)).Sub(slope, big.NewInt(3))
		below.Lsh(a.y, 1)
	} else {
		slope.Sub(a.y, b.y)
		below.Sub(a.x, b.x)
	}
	slope.Mul(slope, below.ModInverse(below.Mod(below, m.p), m.p)).Mod(slope, m.p)
	x := new(big.Int).Mul(slope, slope)
	x.Sub(x, a.x).Sub(x, b.x).Mod(x, m.p)
	y := new(big.Int).Sub(a.x, x)
	y.Mul(y, slope).Sub(y, a.y).Mod(y, m.p)
	return &modelPoint{x, y}
}

func (m model) multiply(k *big.Int, q modelPoint) modelPoint {
	var r *modelPoint
	for i := k.BitLen() - 1; i >= 0; i-- {
		r = m.add(r, r)
		if k.Bit(i) == 1 {
			r = m.add(r, &q)
		}
	}
	return *r
}

func (m model) decode(b []byte) (modelPoint, error) {
	bad := errors.New("no point")
	switch {
	case len(b) == 33 && (b[0] == 2 || b[0] == 3):
		x := new(big.Int).SetBytes(b[1:])
		if x.Cmp(m.p) >= 0 {
			return modelPoint{}, bad
		}
		y := new(big.Int).ModSqrt(m.curve(x), m.p)
		if y == nil {
			return modelPoint{}, bad
		}
		if y.Bit(0) != uint(b[0]&1) {
			y.Sub(m.p, y)
		}
		return modelPoint{x, y}, nil
	case len(b) == 65 && b[0] == 4:
		x, y := new(big.Int).SetBytes(b[1:33]), new(big.Int).SetBytes(b[33:])
		if x.Cmp(m.p) >= 0 || y.Cmp(m.p) >= 0 {
			return modelPoint{}, bad
		}
		if y2 := new(big.Int).Mul(y, y); y2.Mod(y2, m.p).Cmp(m.curve(x)) != 0 {
			return modelPoint{}, bad
		}
		return modelPoint{x, y}, nil
	default:
		return modelPoint{}, bad
	}
}

func (m model) encode(q modelPoint) []byte {
	return append([]byte{2 | byte(q.y.Bit(0))}, q.x.FillBytes(make([]byte, 32))...)
}

func (m model) uncompressed(q modelPoint) []byte {
	return append(append([]byte{4}, q.x.FillBytes(make([]byte, 32))...), q.y.FillBytes(make([]byte, 32))...)
}

func (m model) key(b []byte) (*big.Int, error) {
	k := new(big.Int).SetBytes(b)
	if k.Sign() == 0 || k.Cmp(m.n) >= 0 {
		return nil, errors.New("no key")
	}
	return k, nil
}

func (m model) apply(op Op, key, src []byte) ([]byte, error) {
	k, err := m.key(key)
	if err != nil {
		return nil, err
	}
	var q modelPoint
	switch op {
	case Encrypt:
		q, _ = m.hash(src)
	case Decrypt:
		k = new(big.Int).ModInverse(k, m.n)
		fallthrough
	default:
		if q, err = m.decode(src); err != nil {
			return nil, err
		}
	}
	return m.encode(m.multiply(k, q)), nil
}
