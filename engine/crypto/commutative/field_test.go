package commutative

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

// big returns the number that e stands for.
func (z *element) big() *big.Int {
	var b [32]byte
	z.bytes(&b)
	return new(big.Int).SetBytes(b[:])
}

// someElements are residues at the limits of limbs and of the field, and random ones.
func someElements(rng *rand.Rand, n int) []*big.Int {
	p := newModel().p
	var out []*big.Int
	for _, bit := range []uint{0, 1, 32, 63, 64, 96, 127, 128, 192, 224, 255} {
		v := new(big.Int).Lsh(big.NewInt(1), bit)
		out = append(out, v, new(big.Int).Sub(v, big.NewInt(1)), new(big.Int).Sub(p, v))
	}
	for range n {
		out = append(out, new(big.Int).Mod(new(big.Int).SetBytes(randomBytes(rng, 40)), p))
	}
	return out
}

func fromBig(t *testing.T, v *big.Int) *element {
	t.Helper()
	var e element
	if !e.setBytes((*[32]byte)(v.FillBytes(make([]byte, 32)))) {
		t.Fatalf("%x is not below p", v)
	}
	return &e
}

func TestFieldArithmeticEqualsMathBig(t *testing.T) {
	m := newModel()
	values := someElements(rand.New(rand.NewPCG(5, 6)), 40)
	for _, a := range values {
		x := fromBig(t, a)
		if x.big().Cmp(a) != 0 {
			t.Fatalf("%x is read back as %x", a, x.big())
		}
		var z element
		if z.curve(x); z.big().Cmp(m.curve(a)) != 0 {
			t.Fatalf("curve(%x) = %x", a, z.big())
		}
		root := new(big.Int).ModSqrt(a, m.p)
		if ok := z.sqrt(x); ok != (root != nil) {
			t.Fatalf("sqrt(%x) says %v", a, ok)
		}
		if root != nil && z.big().Cmp(root) != 0 && z.big().Cmp(new(big.Int).Sub(m.p, root)) != 0 {
			t.Fatalf("sqrt(%x) = %x", a, z.big())
		}
		for _, b := range values {
			y := fromBig(t, b)
			want := new(big.Int)
			if z.square(x, 1); z.big().Cmp(want.Mul(a, a).Mod(want, m.p)) != 0 {
				t.Fatalf("%x squared = %x", a, z.big())
			}
			if z.mul(x, y); z.big().Cmp(want.Mul(a, b).Mod(want, m.p)) != 0 {
				t.Fatalf("%x * %x = %x", a, b, z.big())
			}
			if z.add(x, y); z.big().Cmp(want.Add(a, b).Mod(want, m.p)) != 0 {
				t.Fatalf("%x + %x = %x", a, b, z.big())
			}
			if z.sub(x, y); z.big().Cmp(want.Sub(a, b).Mod(want, m.p)) != 0 {
				t.Fatalf("%x - %x = %x", a, b, z.big())
			}
		}
	}
}

func TestWideReductionEqualsMathBig(t *testing.T) {
	p := newModel().p
	rng := rand.New(rand.NewPCG(7, 8))
	inputs := [][]byte{make([]byte, 64), bigOnes(64), append(bigOnes(32), make([]byte, 32)...), append(make([]byte, 32), bigOnes(32)...)}
	for range 1000 {
		inputs = append(inputs, randomBytes(rng, 64))
	}
	for _, in := range inputs {
		var z element
		z.setWide((*[32]byte)(in[:32]), (*[32]byte)(in[32:]))
		if want := new(big.Int).Mod(new(big.Int).SetBytes(in), p); z.big().Cmp(want) != 0 {
			t.Fatalf("%x reduces to %x, want %x", in, z.big(), want)
		}
	}
}

func bigOnes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 0xff
	}
	return b
}

func TestNumbersFromPOnAreNotElements(t *testing.T) {
	p := newModel().p
	for d := range int64(3) {
		var e element
		if e.setBytes((*[32]byte)(new(big.Int).Add(p, big.NewInt(d)).Bytes())) {
			t.Errorf("p + %d is taken", d)
		}
	}
	var e element
	if e.setBytes((*[32]byte)(bigOnes(32))) {
		t.Error("2^256 - 1 is taken")
	}
}
