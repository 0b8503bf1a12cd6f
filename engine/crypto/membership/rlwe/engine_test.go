package rlwe

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"
)

// The table that every engine passes: against a slow model over math/big, in
// wire order, on the inputs that break lazy reductions.

var (
	standardQ  = []uint64{18446744073708380161, 137438953471}
	standardQ2 = []uint64{2056193}
	// Other moduli that are 1 modulo 2^16: 30, 59, 64 and 126 bits.
	otherModuli = [][]uint64{{998244353}, {576460752303439873}}
)

// engineUnderTest is one engine for one modulus and degree.
type engineUnderTest struct {
	engine
	m    *Modulus
	logN int
	psi  uint128
}

// everyEngine returns every engine that can serve the modulus, not only the
// one a ring would choose.
func everyEngine(t testing.TB, words []uint64, logN int) []engineUnderTest {
	t.Helper()
	m, err := NewModulus(words)
	if err != nil {
		t.Fatal(err)
	}
	psi, err := m.root(1 << logN)
	if err != nil {
		t.Fatal(err)
	}
	all := []engineUnderTest{{newGeneric(&m, logN, psi), &m, logN, psi}}
	for _, c := range candidates() {
		if e, ok := c(&m, logN, psi); ok {
			all = append(all, engineUnderTest{e, &m, logN, psi})
		}
	}
	return all
}

func forEveryEngine(t *testing.T, f func(t *testing.T, e engineUnderTest)) {
	t.Helper()
	moduli := append([][]uint64{standardQ, standardQ2, largeModulus(t)}, otherModuli...)
	for _, words := range moduli {
		for _, logN := range []int{3, 4, 6, 9, 10, 12} {
			if logN == 12 && len(words) == 2 && words[1] != standardQ[1] {
				continue // slow, and nothing new
			}
			m, err := NewModulus(words)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.root(1 << logN); err != nil {
				continue
			}
			for _, e := range everyEngine(t, words, logN) {
				t.Run(fmt.Sprintf("%s/%dbit/N=%d", e.name(), m.Bits(), 1<<logN), func(t *testing.T) { f(t, e) })
			}
		}
	}
}

// largeModulus is the largest prime below 2^126 that is 1 modulo 2^13.
func largeModulus(t testing.TB) []uint64 {
	q := new(big.Int).Lsh(big.NewInt(1), maxModulusBits)
	q.Add(q, big.NewInt(1))
	for step := big.NewInt(1 << 13); ; {
		q.Sub(q, step)
		if q.ProbablyPrime(20) {
			v := fromBig(q)
			return []uint64{v.lo, v.hi}
		}
	}
}

// inputs are the classes of polynomials that transforms must get right.
func inputs(m *Modulus, n int) map[string][]uint128 {
	rng := rand.New(rand.NewPCG(1, 2))
	class := func(f func(i int) uint128) []uint128 {
		p := make([]uint128, n)
		for i := range p {
			p[i] = f(i)
		}
		return p
	}
	top := m.q.sub(uint128{1, 0})
	return map[string][]uint128{
		"random": class(func(int) uint128 { return randomResidue(m, rng) }),
		"zero":   class(func(int) uint128 { return uint128{} }),
		"top":    class(func(int) uint128 { return top }),
		"digits": class(func(int) uint128 { return m.fromInt(int64(rng.Uint64() & 1023)) }),
		"bits":   class(func(int) uint128 { return m.fromInt(int64(rng.Uint64() & 1)) }),
		"x": class(func(i int) uint128 {
			if i == 1 {
				return uint128{1, 0}
			}
			return uint128{}
		}),
		"alternating": class(func(i int) uint128 {
			if i&1 == 1 {
				return top
			}
			return uint128{}
		}),
	}
}

func randomResidue(m *Modulus, rng *rand.Rand) uint128 {
	for {
		v := uint128{rng.Uint64(), rng.Uint64()}.and(mask128(uint(m.width)))
		if v.less(m.q) {
			return v
		}
	}
}

// slowTransform evaluates f at psi^(2i+1), position brv(i), by Horner's rule.
func slowTransform(e engineUnderTest, f []uint128, i int) uint128 {
	q := e.m.q.big()
	x := e.m.pow(e.psi, big.NewInt(int64(2*i+1))).big()
	v := new(big.Int)
	for j := len(f) - 1; j >= 0; j-- {
		v.Mul(v, x).Add(v, f[j].big()).Mod(v, q)
	}
	return fromBig(v)
}

func (e engineUnderTest) size() int { return 1 << e.logN }

func (e engineUnderTest) enter(v []uint128, ntt bool) []uint64 {
	p := make([]uint64, groups(e.size())*e.groupWords())
	e.load(p, e.groupWords(), v, ntt)
	return p
}

func (e engineUnderTest) leave(p []uint64, ntt bool) []uint128 {
	v := make([]uint128, e.size())
	e.store(v, p, e.groupWords(), ntt)
	return v
}

func TestForwardEvaluatesInWireOrder(t *testing.T) {
	forEveryEngine(t, func(t *testing.T, e engineUnderTest) {
		n := e.size()
		for name, f := range inputs(e.m, n) {
			// All positions of small transforms, a sample of large ones.
			want := map[int]uint128{}
			for i := 0; i < n; i += max(1, n/16-1) {
				want[i] = slowTransform(e, f, i)
			}
			for _, padding := range []int{0, 1, 10} {
				gw := e.groupWords()
				stride := gw * (padding + 1)
				p := make([]uint64, groups(n)*stride)
				e.load(p, stride, f, false)
				e.forward(p, stride)
				got := make([]uint128, n)
				e.store(got, p, stride, true)
				for i, want := range want {
					if got := got[bitReverse(i, e.logN)]; got != want {
						t.Fatalf("%s, stride %d: position of psi^%d is %v, want %v", name, stride, 2*i+1, got.big(), want.big())
					}
				}
			}
		}
	})
}

func TestInverseUndoesForwardAndScale(t *testing.T) {
	forEveryEngine(t, func(t *testing.T, e engineUnderTest) {
		for name, f := range inputs(e.m, e.size()) {
			gw := e.groupWords()
			stride := 3 * gw
			p := make([]uint64, groups(e.size())*stride)
			e.load(p, stride, f, false)
			e.forward(p, stride)
			e.inverse(p, stride)
			got := make([]uint128, e.size())
			e.store(got, p, stride, false)
			for i := range f {
				if want := e.m.mul(f[i], e.m.rInv); got[i] != want {
					t.Fatalf("%s: coefficient %d is %v, want %v", name, i, got[i].big(), want.big())
				}
			}
		}
	})
}

// TestPointwiseAgreesWithBig also feeds results back, so that operands are
// in every shape that normal form may have.
func TestPointwiseAgreesWithBig(t *testing.T) {
	forEveryEngine(t, func(t *testing.T, e engineUnderTest) {
		q := e.m.q.big()
		all := inputs(e.m, e.size())
		for xn, xv := range all {
			for yn, yv := range all {
				x, y := e.enter(xv, true), e.enter(yv, true)
				z := make([]uint64, len(x))
				check := func(op string, f func(a, b *big.Int) *big.Int) {
					got := e.leave(z, true)
					for i := range got {
						want := f(xv[i].big(), yv[i].big())
						if want.Mod(want, q); got[i] != fromBig(want) {
							t.Fatalf("%s %s %s at %d: %v, want %v", xn, op, yn, i, got[i].big(), want)
						}
					}
				}
				mul := func(a, b *big.Int) *big.Int { return a.Mul(a, b) }
				e.mul(z, x, y)
				check("*", mul)
				e.add(z, x, y)
				check("+", func(a, b *big.Int) *big.Int { return a.Add(a, b) })
				e.sub(z, x, y)
				check("-", func(a, b *big.Int) *big.Int { return a.Sub(a, b) })
				e.mul(z, z, y)
				check("(x-y)*y", func(a, b *big.Int) *big.Int { return a.Sub(a, b).Mul(a, b) })
				e.sub(z, z, x)
				check("(x-y)*y-x", func(a, b *big.Int) *big.Int {
					x := new(big.Int).Set(a)
					return a.Sub(a, b).Mul(a, b).Sub(a, x)
				})
			}
		}
	})
}

func TestLoadIntsTakesNegativeNumbers(t *testing.T) {
	forEveryEngine(t, func(t *testing.T, e engineUnderTest) {
		v := make([]int64, e.size())
		for i := range v {
			v[i] = int64(i-e.size()/2) * 77
		}
		v[0] = 0
		p := make([]uint64, groups(e.size())*e.groupWords())
		e.loadInts(p, e.groupWords(), v)
		for i, got := range e.leave(p, false) {
			want := new(big.Int).Mod(big.NewInt(v[i]), e.m.q.big())
			if got != fromBig(want) {
				t.Fatalf("%d became %v, want %v", v[i], got.big(), want)
			}
		}
	})
}

func TestDigitsAreThoseOfTheCanonicalInteger(t *testing.T) {
	forEveryEngine(t, func(t *testing.T, e engineUnderTest) {
		gw := e.groupWords()
		for name, f := range inputs(e.m, e.size()) {
			for _, base := range []uint{1, 7, 10, uint(e.m.width)} {
				count := (e.m.width + int(base) - 1) / int(base)
				if base == 1 && e.size() > 64 {
					continue
				}
				dst := make([]uint64, groups(e.size())*count*gw)
				e.digits(dst, e.enter(f, false), base, count)
				got, want := make([]uint128, e.size()), make([]uint128, e.size())
				for d := range count {
					e.store(got, dst[d*gw:], count*gw, true)
					for i, v := range f {
						want[i] = v.shr(uint(d) * base).and(mask128(base))
					}
					p := e.enter(want, false)
					e.forward(p, gw)
					e.store(want, p, gw, true)
					for i := range got {
						if got[i] != want[i] {
							t.Fatalf("%s: digit %d of base 2^%d differs at %d", name, d, base, i)
						}
					}
				}
			}
		}
	})
}

func TestSubstitutionMovesCoefficients(t *testing.T) {
	forEveryEngine(t, func(t *testing.T, e engineUnderTest) {
		n, gw := e.size(), e.groupWords()
		f := inputs(e.m, n)["random"]
		for power := n + 1; power > 2 && power&1 == 1; power = (power-1)/2 + 1 {
			want := make([]uint128, n)
			for i, v := range f {
				to := i * power % (2 * n)
				if to >= n {
					v = e.m.sub(uint128{}, v)
				}
				want[to%n] = v
			}
			p := e.enter(f, false)
			e.forward(p, gw)
			sub := make([]uint64, len(p))
			e.permute(sub, p, e.substitution(power))
			e.inverse(sub, gw)
			for i, got := range e.leave(sub, false) {
				if want := e.m.mul(want[i], e.m.rInv); got != want {
					t.Fatalf("power %d: coefficient %d is %v, want %v", power, i, got.big(), want.big())
				}
			}
		}
	})
}

// operands draws polynomials of the classes of inputs, in turn.
func operands(e engineUnderTest, count int) ([][]uint128, [][]uint64) {
	rng := rand.New(rand.NewPCG(3, 4))
	all := inputs(e.m, e.size())
	classes := []string{"random", "top", "random", "alternating", "top"}
	vs, ps := make([][]uint128, count), make([][]uint64, count)
	for i := range vs {
		v := append([]uint128(nil), all[classes[i%len(classes)]]...)
		v[rng.IntN(len(v))] = randomResidue(e.m, rng)
		vs[i], ps[i] = v, e.enter(v, true)
	}
	return vs, ps
}

func TestKeySumsAgreeWithBig(t *testing.T) {
	forEveryEngine(t, func(t *testing.T, e engineUnderTest) {
		const count = 11
		gw, n := e.groupWords(), e.size()
		dv, dp := operands(e, count)
		kv, kp := operands(e, 2*count)
		digits := make([]uint64, groups(n)*count*gw)
		keys := make([]uint64, 2*len(digits))
		for g := range groups(n) {
			for i := range count {
				copy(digits[(g*count+i)*gw:], dp[i][g*gw:(g+1)*gw])
				copy(keys[(g*count+i)*2*gw:], kp[2*i][g*gw:(g+1)*gw])
				copy(keys[((g*count+i)*2+1)*gw:], kp[2*i+1][g*gw:(g+1)*gw])
			}
		}
		z := [2][]uint64{make([]uint64, groups(n)*gw), make([]uint64, groups(n)*gw)}
		e.keySums(z[0], z[1], digits, keys, count)
		for c := range 2 {
			for j, got := range e.leave(z[c], true) {
				want := new(big.Int)
				for i := range count {
					want.Add(want, new(big.Int).Mul(dv[i][j].big(), kv[2*i+c][j].big()))
				}
				if want.Mod(want, e.m.q.big()); got != fromBig(want) {
					t.Fatalf("component %d, coefficient %d: %v, want %v", c, j, got.big(), want)
				}
			}
		}
	})
}

// TestRowSumsAndCrossAgreeWithBig runs rows of several lengths, an empty one among
// them, for one to four queries, and multiplies the row sums by further pairs.
func TestRowSumsAndCrossAgreeWithBig(t *testing.T) {
	forEveryEngine(t, func(t *testing.T, e engineUnderTest) {
		if e.size() > 64 {
			return // a group is a group
		}
		gw, q := e.groupWords(), e.m.q.big()
		ends := []uint32{1, 1, 9, 50}
		terms, slots := int(ends[len(ends)-1]), 13
		xv, xp := operands(e, terms)
		off := make([]uint32, terms)
		for i := range off {
			off[i] = uint32(i * 7 % slots * 2 * gw)
		}
		for queries := 1; queries <= 4; queries++ {
			var zs, ys [][]uint64
			var yv [][][]uint128
			for range queries {
				v, p := operands(e, 2*slots)
				y := make([]uint64, 2*slots*gw)
				for i := range p {
					copy(y[i*gw:], p[i][:gw])
				}
				yv, ys = append(yv, v), append(ys, y)
				zs = append(zs, make([]uint64, 2*len(ends)*gw))
			}
			x := make([]uint64, terms*gw)
			for i := range xp {
				copy(x[i*gw:], xp[i][:gw])
			}
			e.rowSums(zs, x, ys, off, ends)
			for k := range queries {
				sums := modelRows(xv, yv[k], off, ends, gw)
				for i, want := range sums {
					want.Mod(want, q)
					if got := e.leave(pad(e, zs[k][i/8*gw:]), true)[i%8]; got != fromBig(want) {
						t.Fatalf("query %d of %d, lane %d of pair %d: %v, want %v", k, queries, i%8, i/8, got.big(), want)
					}
				}
				// (z has 3 components) += sum of rows (2 components) x pairs of y
				z := make([]uint64, 3*gw)
				yo := []uint32{0, uint32(2 * gw), uint32(4 * gw), uint32(2 * gw)}
				e.cross(z, zs[k], ys[k], yo, 2)
				e.cross(z, zs[k], ys[k], yo[:1], 2)
				want := make([]*big.Int, 24)
				for i := range want {
					want[i] = new(big.Int)
				}
				for r, o := range append(yo, yo[0]) {
					r %= len(ends)
					for lane := range 8 {
						for c := range 2 {
							for d := range 2 {
								v := new(big.Int).Mul(sums[(2*r+c)*8+lane], yv[k][int(o)/gw+d][lane].big())
								want[(c+d)*8+lane].Add(want[(c+d)*8+lane], v)
							}
						}
					}
				}
				for i := range want {
					if got := e.leave(pad(e, z[i/8*gw:]), true)[i%8]; got != fromBig(want[i].Mod(want[i], q)) {
						t.Fatalf("cross, component %d lane %d: %v, want %v", i/8, i%8, got.big(), want[i])
					}
				}
			}
		}
	})
}

// modelRows returns the row sums of both components, eight lanes each.
func modelRows(x, y [][]uint128, off, ends []uint32, gw int) []*big.Int {
	var out []*big.Int
	begin := 0
	for _, end := range ends {
		for c := range 2 {
			for lane := range 8 {
				s := new(big.Int)
				for i := begin; i < int(end); i++ {
					s.Add(s, new(big.Int).Mul(x[i][lane].big(), y[int(off[i])/gw+c][lane].big()))
				}
				out = append(out, s)
			}
		}
		begin = int(end)
	}
	return out
}

// pad makes a whole polynomial whose first group is given.
func pad(e engineUnderTest, group []uint64) []uint64 {
	p := make([]uint64, groups(e.size())*e.groupWords())
	copy(p, group[:e.groupWords()])
	return p
}
