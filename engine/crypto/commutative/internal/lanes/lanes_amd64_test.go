//go:build !purego

package lanes

import (
	"crypto/elliptic"
	"math/big"
	"math/rand/v2"
	"testing"

	"filippo.io/nistec"
)

var p256 = elliptic.P256().Params()

func toBig(a [4]uint64) *big.Int {
	v := new(big.Int)
	for i := 3; i >= 0; i-- {
		v.Lsh(v, 64).Or(v, new(big.Int).SetUint64(a[i]))
	}
	return v
}

func fromBig(v *big.Int) (a [4]uint64) {
	v = new(big.Int).Set(v)
	for i := range a {
		a[i] = v.Uint64()
		v.Rsh(v, 64)
	}
	return a
}

// someNumbers are numbers below the modulus: at the limits of limbs and words, and random ones.
func someNumbers(rng *rand.Rand, modulus *big.Int, n int) []*big.Int {
	var out []*big.Int
	for _, bit := range []uint{0, 1, 5, 52, 64, 96, 104, 128, 156, 192, 208, 224, 255} {
		v := new(big.Int).Lsh(big.NewInt(1), bit)
		out = append(out, v, new(big.Int).Sub(v, big.NewInt(1)), new(big.Int).Sub(modulus, v))
	}
	for range n {
		v := new(big.Int)
		for range 5 {
			v.Lsh(v, 64).Or(v, new(big.Int).SetUint64(rng.Uint64()))
		}
		out = append(out, v.Mod(v, modulus))
	}
	return out
}

// inLanes calls f with all of the values, eight at a time, each value in a lane by turns.
func inLanes(values []*big.Int, f func(a []*big.Int, n *Numbers)) {
	for at := 0; at < len(values); at += 3 {
		var a []*big.Int
		var n Numbers
		for lane := range n {
			a = append(a, values[(at+lane)%len(values)])
			n[lane] = fromBig(a[lane])
		}
		f(a, &n)
	}
}

func checkField(t *testing.T, what string, z *field, want func(lane int) *big.Int) {
	t.Helper()
	for i, limb := range z {
		for lane, v := range limb {
			if v>>52 != 0 || i == 4 && v >= 1<<49 {
				t.Fatalf("%s: limb %d of lane %d is %x", what, i, lane, v)
			}
		}
	}
	var n Numbers
	z.get(&n)
	for lane := range n {
		w := want(lane)
		if got := toBig(n[lane]); got.Cmp(w.Mod(w, p256.P)) != 0 {
			t.Fatalf("%s: lane %d: got %x, want %x", what, lane, got, w)
		}
	}
}

func TestFieldEqualsMathBigInEveryLane(t *testing.T) {
	if !Available() {
		t.Log("this processor has no AVX-512 IFMA")
		return
	}
	p := p256.P
	values := someNumbers(rand.New(rand.NewPCG(1, 2)), p, 60)
	inLanes(values, func(a []*big.Int, an *Numbers) {
		var x, y, z, w field
		x.set(an)
		checkField(t, "set and get", &x, func(i int) *big.Int { return new(big.Int).Set(a[i]) })
		square(&z, &x, 1)
		checkField(t, "square", &z, func(i int) *big.Int { return new(big.Int).Mul(a[i], a[i]) })
		square(&z, &x, 5)
		checkField(t, "square 5 times", &z, func(i int) *big.Int { return new(big.Int).Exp(a[i], big.NewInt(32), p) })
		z.invert(&x)
		checkField(t, "invert", &z, func(i int) *big.Int {
			return new(big.Int).Exp(a[i], new(big.Int).Sub(p, big.NewInt(2)), p)
		})
		found := z.sqrt(&x)
		square(&w, &z, 1)
		var n Numbers
		w.get(&n)
		for lane := range n {
			has := new(big.Int).ModSqrt(a[lane], p) != nil
			if has != (found>>lane&1 == 1) || has && toBig(n[lane]).Cmp(a[lane]) != 0 {
				t.Fatalf("square root of %x: %v", a[lane], found>>lane&1)
			}
		}
		inLanes(values, func(b []*big.Int, bn *Numbers) {
			y.set(bn)
			mul(&z, &x, &y)
			checkField(t, "mul", &z, func(i int) *big.Int { return new(big.Int).Mul(a[i], b[i]) })
			add(&z, &x, &y)
			checkField(t, "add", &z, func(i int) *big.Int { return new(big.Int).Add(a[i], b[i]) })
			add(&w, &z, &z)
			checkField(t, "add twice", &w, func(i int) *big.Int { s := new(big.Int).Add(a[i], b[i]); return s.Add(s, s) })
			sub(&z, &x, &y)
			checkField(t, "sub", &z, func(i int) *big.Int { return new(big.Int).Sub(a[i], b[i]) })
			sub(&w, &z, &w)
			mul(&w, &w, &z)
			checkField(t, "sub twice and mul", &w, func(i int) *big.Int {
				d, s := new(big.Int).Sub(a[i], b[i]), new(big.Int).Add(a[i], b[i])
				return s.Add(s, s).Sub(d, s).Mul(s, d)
			})
		})
	})
}

// Inputs at the limits of what the functions promise to take, not only those that set gives.
func TestFieldTakesElementsUpToItsBounds(t *testing.T) {
	if !Available() {
		t.Log("this processor has no AVX-512 IFMA")
		return
	}
	top := new(big.Int).Lsh(big.NewInt(1), 257)
	radix := new(big.Int).ModInverse(new(big.Int).Lsh(big.NewInt(1), 260), p256.P)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, base := range []*big.Int{top, new(big.Int).Lsh(p256.P, 1), p256.P, new(big.Int).Lsh(big.NewInt(1), 256)} {
		for d := int64(1); d < 20; d++ {
			a := new(big.Int).Sub(base, big.NewInt(d))
			b := new(big.Int).Sub(top, new(big.Int).SetUint64(1+rng.Uint64()>>rng.UintN(64)))
			var x, y, z field
			for i := range x {
				for lane := range x[i] {
					mask := big.NewInt(limbMask)
					x[i][lane] = new(big.Int).And(new(big.Int).Rsh(a, uint(52*i)), mask).Uint64()
					y[i][lane] = new(big.Int).And(new(big.Int).Rsh(b, uint(52*i)), mask).Uint64()
				}
			}
			// What stands in a field is R times its value.
			mul(&z, &x, &y)
			checkField(t, "mul", &z, func(int) *big.Int { v := new(big.Int).Mul(a, b); return v.Mul(v, radix).Mul(v, radix) })
			square(&z, &y, 1)
			checkField(t, "square", &z, func(int) *big.Int { v := new(big.Int).Mul(b, b); return v.Mul(v, radix).Mul(v, radix) })
			add(&z, &x, &y)
			checkField(t, "add", &z, func(int) *big.Int { v := new(big.Int).Add(a, b); return v.Mul(v, radix) })
			sub(&z, &x, &y)
			checkField(t, "sub", &z, func(int) *big.Int { v := new(big.Int).Sub(a, b); return v.Mul(v, radix) })
			sub(&z, &zero, &y)
			checkField(t, "negate", &z, func(int) *big.Int { v := new(big.Int).Neg(b); return v.Mul(v, radix) })
		}
	}
}

func TestScalarIsTheSumOfItsDigits(t *testing.T) {
	if !Available() {
		t.Log("this processor has no AVX-512 IFMA")
		return
	}
	for _, k := range someNumbers(rand.New(rand.NewPCG(5, 6)), p256.N, 1000) {
		if k.Sign() == 0 {
			continue
		}
		n := fromBig(k)
		s := NewScalar(&n)
		v := big.NewInt(1)
		for i := digits - 1; i >= 0; i-- {
			v.Lsh(v, windowBits).Add(v, big.NewInt(2*int64(s.digit[i])-31))
		}
		if s.opposite != 0 {
			v.Sub(p256.N, v)
		}
		if v.Cmp(k) != 0 {
			t.Fatalf("%x is written as %x", k, v)
		}
	}
}

// edgeScalars are those that lead to the special case at the end, and their neighbours.
func edgeScalars() []*big.Int {
	var out []*big.Int
	for d := int64(1); d < 130; d++ {
		out = append(out, big.NewInt(d), new(big.Int).Sub(p256.N, big.NewInt(d)))
	}
	half := new(big.Int).Rsh(p256.N, 1)
	for d := int64(-3); d < 4; d++ {
		out = append(out, new(big.Int).Add(half, big.NewInt(d)))
	}
	return out
}

func TestProductsEqualNistecs(t *testing.T) {
	if !Available() {
		t.Log("this processor has no AVX-512 IFMA")
		return
	}
	rng := rand.New(rand.NewPCG(7, 8))
	scalars := append(edgeScalars(), someNumbers(rng, p256.N, 100)...)
	var p Points
	for _, k := range scalars {
		if k.Sign() == 0 {
			continue
		}
		var x, y, gx, gy Numbers
		var want [Width][]byte
		for lane := range x {
			q, err := nistec.NewP256Point().ScalarBaseMult(new(big.Int).SetUint64(rng.Uint64()>>rng.UintN(63) | 1).FillBytes(make([]byte, 32)))
			if err != nil {
				t.Fatal(err)
			}
			b := q.Bytes()
			x[lane], y[lane] = fromBig(new(big.Int).SetBytes(b[1:33])), fromBig(new(big.Int).SetBytes(b[33:]))
			if _, err := q.ScalarMult(q, k.FillBytes(make([]byte, 32))); err != nil {
				t.Fatal(err)
			}
			want[lane] = q.Bytes()
		}
		p.Set(&x, &y)
		n := fromBig(k)
		s := NewScalar(&n)
		p.Multiply(&s)
		p.Affine(&gx, &gy)
		for lane := range gx {
			if toBig(gx[lane]).Cmp(new(big.Int).SetBytes(want[lane][1:33])) != 0 || toBig(gy[lane]).Cmp(new(big.Int).SetBytes(want[lane][33:])) != 0 {
				t.Fatalf("%x times point %x: got %x, %x, want %x", k, toBig(x[lane]), toBig(gx[lane]), toBig(gy[lane]), want[lane])
			}
		}
	}
}

func TestRootsAreTheEvenOnes(t *testing.T) {
	if !Available() {
		t.Log("this processor has no AVX-512 IFMA")
		return
	}
	inLanes(someNumbers(rand.New(rand.NewPCG(9, 10)), p256.P, 200), func(a []*big.Int, x *Numbers) {
		var y Numbers
		found := Roots(&y, x)
		for lane, v := range a {
			w := new(big.Int).Exp(v, big.NewInt(3), p256.P)
			w.Sub(w, new(big.Int).Mul(big.NewInt(3), v)).Add(w, p256.B).Mod(w, p256.P)
			root := new(big.Int).ModSqrt(w, p256.P)
			if root != nil && root.Bit(0) == 1 {
				root.Sub(p256.P, root)
			}
			if (root != nil) != (found>>lane&1 == 1) || root != nil && root.Cmp(toBig(y[lane])) != 0 {
				t.Fatalf("lane %d, x = %x: %v, y = %x, want %x", lane, v, found>>lane&1, toBig(y[lane]), root)
			}
			if root != nil && toBig(Opposite(y[lane], 1)).Cmp(new(big.Int).Sub(p256.P, root)) != 0 {
				t.Fatalf("opposite of %x", root)
			}
		}
	})
}

func BenchmarkLanes(b *testing.B) {
	if !Available() {
		return
	}
	x, y, z := curveB, three, field{}
	b.Run("mul", func(b *testing.B) {
		for b.Loop() {
			mul(&z, &x, &y)
		}
	})
	b.Run("square", func(b *testing.B) {
		for b.Loop() {
			square(&z, &x, 100)
		}
	})
	b.Run("add", func(b *testing.B) {
		for b.Loop() {
			add(&z, &x, &y)
		}
	})
	b.Run("choose", func(b *testing.B) {
		var p Points
		for b.Loop() {
			choose(&p.q, &p.table, 5)
		}
	})
	var n Numbers
	for lane := range n {
		n[lane] = [4]uint64{uint64(lane)}
	}
	b.Run("roots", func(b *testing.B) {
		var y Numbers
		for b.Loop() {
			Roots(&y, &n)
		}
	})
	b.Run("multiply", func(b *testing.B) {
		var p Points
		var out Numbers
		p.Set(&n, &n)
		s := NewScalar(&[4]uint64{0x123456789abcdef1, 0x123456789abcdef2, 0x123456789abcdef3, 0x123456789abcdef4})
		for b.Loop() {
			p.Multiply(&s)
			p.Affine(&out, &out)
		}
	})
}
