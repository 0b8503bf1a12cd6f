package rlwe

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/panelmatch/panelmatch/engine/crypto/membership/internal/protoscan"
)

// Recorded and derived vectors: see testdata/README.md.

func standardRing(t testing.TB, words []uint64) *Ring {
	t.Helper()
	r, err := NewRing(words, 12)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decimal(s string) uint128 {
	v, ok := new(big.Int).SetString(s, 10)
	if !ok {
		panic(s)
	}
	return fromBig(v)
}

func checkValues(t *testing.T, what string, got []uint128, want map[int]string) {
	t.Helper()
	for i, s := range want {
		if got[i] != decimal(s) {
			t.Errorf("%s: value %d is %v, want %s", what, i, got[i].big(), s)
		}
	}
}

func countingSeed() []byte {
	seed := make([]byte, SeedSize)
	for i := range seed {
		seed[i] = byte(i)
	}
	return seed
}

func newPRNG(t testing.TB, seed []byte) *PRNG {
	t.Helper()
	g, err := NewPRNG(seed)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGeneratorStream(t *testing.T) {
	g := newPRNG(t, countingSeed())
	stream := make([]byte, 8192)
	for i := range stream {
		stream[i] = byte(g.rand8())
	}
	for at, want := range map[int]string{
		0:    "7c2e54b482bbcc066623f0cae7862cdfb48941bc28baf4e4ead1645b5d80ef72",
		8152: "87015ef7dfbb5e54",
		8160: "a99bf4dfe91cc1cd6cc8442d815d70517b224863e5cdd354a7f26f6ead14a9d8",
	} {
		if w := unhex(t, want); !bytes.Equal(stream[at:at+len(w)], w) {
			t.Errorf("stream at %d is %x, want %x", at, stream[at:at+len(w)], w)
		}
	}
	// Words may straddle blocks.
	g = newPRNG(t, countingSeed())
	for range 3 {
		g.rand8()
	}
	for at := 3; at+8 <= len(stream); at += 8 {
		if got, want := g.rand64(), binary.LittleEndian.Uint64(stream[at:]); got != want {
			t.Fatalf("word at %d is %x, want %x", at, got, want)
		}
	}
	for _, n := range []int{0, 32, 63, 65} {
		if _, err := NewPRNG(make([]byte, n)); err == nil {
			t.Errorf("a seed of %d bytes was accepted", n)
		}
	}
}

func TestSamplersGiveDerivedValues(t *testing.T) {
	q, q2 := standardRing(t, standardQ), standardRing(t, standardQ2)
	v := make([]uint128, 4096)
	newPRNG(t, countingSeed()).uniform(v, &q.m)
	checkValues(t, "uniform mod q", v, map[int]string{
		0:    "67341325431441372989212336998",
		1:    "2267470056027311899296454201834",
		2:    "785182739877018551210895270088",
		4095: "2293721662672680030580876897485",
	})
	newPRNG(t, countingSeed()).uniform(v, &q2.m)
	checkValues(t, "uniform mod q'", v, map[int]string{0: "1322620", 1: "1057638", 2: "100788", 4095: "1608904"})

	e := make([]int64, 16)
	newPRNG(t, countingSeed()).binomial(e, 8)
	for i, want := range []int64{0, -2, 1, -1, -2, -2, -1, 7, 2, -8, -4, 1, -2, 0, -2, 2} {
		if e[i] != want {
			t.Errorf("binomial sample %d is %d, want %d", i, e[i], want)
		}
	}
}

func TestConstantsOfTheStandardModuli(t *testing.T) {
	for _, c := range []struct {
		words        []uint64
		r, rInv, psi string
	}{
		{standardQ, "157230028554240", "2054312370520146652604383259701", "2481159197813548082568981707532"},
		{standardQ2, "172254", "1394347", "1061444"},
	} {
		m, err := NewModulus(c.words)
		if err != nil {
			t.Fatal(err)
		}
		psi, err := m.root(4096)
		if err != nil {
			t.Fatal(err)
		}
		checkValues(t, "constants", []uint128{m.r, m.rInv, psi}, map[int]string{0: c.r, 1: c.rInv, 2: c.psi})
	}
}

func TestTransformOfX(t *testing.T) {
	x := make([]int64, 4096)
	x[1] = 1
	for _, c := range []struct {
		words         []uint64
		plain, scaled map[int]string
		packed        string
	}{
		{
			standardQ,
			map[int]string{0: "2481159197813548082568981707532", 1: "54142002642910720424423531765", 2: "165758456887758242243008490224"},
			nil,
			"65bf947c47e2c004fa3c599380132c6b10b7e367bf60d894ed5fb3ca8b555414",
		},
		{
			standardQ2,
			map[int]string{0: "1061444", 1: "994749", 2: "484767", 3: "1571426", 4: "1795442", 5: "260751"},
			map[int]string{0: "1293216", 1: "762977", 2: "1057088"},
			"a0bb338c740185c0609f27d5125e65fcec1176c238b22bea",
		},
	} {
		r := standardRing(t, c.words)
		buf, p := r.NewBuffer(), r.NewPoly()
		r.SetInts(p, x)
		r.Forward(p)
		r.e.store(buf.values, p, r.GroupWords(), true)
		checkValues(t, "plain", buf.values, c.plain)
		r.ScaleUp(p, p)
		r.e.store(buf.values, p, r.GroupWords(), true)
		checkValues(t, "scaled", buf.values, c.scaled)
		packed := make([]byte, r.PackedLen())
		r.Pack(packed, p, buf)
		if want := unhex(t, c.packed); !bytes.HasPrefix(packed, want) {
			t.Errorf("packed as %x..., want %x", packed[:len(want)], want)
		}
		back := r.NewPoly()
		if err := r.Unpack(back, packed, buf); err != nil {
			t.Fatal(err)
		}
		r.Inverse(back)
		r.e.store(buf.values, back, r.GroupWords(), false)
		checkValues(t, "coefficients", buf.values, map[int]string{0: "0", 1: "1", 2: "0", 4095: "0"})
	}
}

func TestModulusSwitchVectors(t *testing.T) {
	from, to := standardRing(t, standardQ), standardRing(t, standardQ2)
	s, err := NewSwitcher(from, to, 3)
	if err != nil {
		t.Fatal(err)
	}
	top := from.m.q.sub(uint128{1, 0})
	in := []uint128{{}, {1, 0}, {2, 0}, top, {0, 1 << 36}, {987654321, 12345678901}}
	buf := from.NewBuffer()
	clear(buf.values)
	copy(buf.values, in)
	p, z := from.NewPoly(), to.NewPoly()
	from.e.load(p, from.GroupWords(), buf.values, false)
	from.Forward(p)
	from.ScaleUp(p, p)
	s.Switch(z, p, buf)
	to.Inverse(z)
	to.e.store(buf.values, z, to.GroupWords(), false)
	checkValues(t, "switched", buf.values, map[int]string{
		0: "0", 1: "2056191", 2: "2056192", 3: "2056192", 4: "1028095", 5: "184699",
	})
}

func TestModulusSwitchAgreesWithBig(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	large := largeModulus(t)
	for _, c := range []struct {
		from, to []uint64
		t        uint64
	}{
		{standardQ, standardQ2, 3}, {standardQ, standardQ2, 9}, {large, standardQ, 3}, {large, standardQ2, 5},
	} {
		from, err := NewModulus(c.from)
		if err != nil {
			t.Fatal(err)
		}
		to, err := NewModulus(c.to)
		if err != nil {
			t.Fatal(err)
		}
		s := &Switcher{
			from: &Ring{m: from}, to: &Ring{m: to}, t: c.t, toQ: to.q, factor: from.mul(to.q, from.r),
		}
		q, q2, bt := from.q.big(), to.q.big(), new(big.Int).SetUint64(c.t)
		for _, class := range inputs(&from, 512) {
			for _, u := range class {
				if rng.IntN(4) == 0 { // near a multiple of q/q'
					k := new(big.Int).Mul(big.NewInt(rng.Int64N(1<<20)), q)
					k.Div(k, q2).Add(k, big.NewInt(rng.Int64N(3)-1)).Mod(k, q)
					u = fromBig(k)
				}
				v := new(big.Int).Mul(u.big(), q2)
				v.Div(v, q)
				if got := s.scale(u); got != fromBig(v) {
					t.Fatalf("scale(%v) = %v, want %v", u.big(), got.big(), v)
				}
				if from.q == (uint128{q101Low, q101High}) && to.width <= 26 {
					if got := s.scale101(u); got != fromBig(v) {
						t.Fatalf("scale101(%v) = %v, want %v", u.big(), got.big(), v)
					}
				}
				d := new(big.Int).Sub(u.big(), v)
				d.Mod(d, bt)
				if c.t == 3 && mod3(u.sub(s.scale(u))) != d.Uint64() {
					t.Fatalf("mod3 of %v is wrong", u.big())
				}
				got := s.round(s.scale(u), d.Uint64())
				want := v.Add(v, d)
				if d.Uint64() >= c.t/2 {
					want.Add(want, q2).Sub(want, bt)
				}
				if got != fromBig(want.Mod(want, q2)) {
					t.Fatalf("switch(%v) = %v, want %v", u.big(), got.big(), want)
				}
			}
		}
	}
}

func TestErrorModelConstants(t *testing.T) {
	m := NewErrorModel(standardRing(t, standardQ), standardRing(t, standardQ2), 3, 8, 10)
	for what, c := range map[string][2]float64{
		"plaintext": {m.Plaintext, 332.55375505322445},
		"fresh":     {m.Fresh, 3590.9018027608363},
		"scale":     {m.Scale, 57088.3946174702},
		"keySwitch": {m.KeySwitch, 1.8082072141961446e+09},
	} {
		if c[0] != c[1] {
			t.Errorf("%s is %v, want %v", what, c[0], c[1])
		}
	}
}

// recordedKeys reads both keys of the recorded exchange.
func recordedKeys(t testing.TB) (request, response *SecretKey) {
	t.Helper()
	message := fixture(t, "mp-serialized-rlwe-private-key")
	read := func(words []uint64, message []byte) *SecretKey {
		r := standardRing(t, words)
		coeffs, err := r.ParsePolynomial(message)
		if err != nil {
			t.Fatal(err)
		}
		k, err := ParseSecretKey(r, coeffs)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Append(nil); !bytes.Equal(got, message) {
			t.Error("a recorded key is not written as it was read")
		}
		return k
	}
	return read(standardQ, field(t, message, 1)[0]), read(standardQ2, field(t, message, 2)[0])
}

func TestRecordedPrivateKeyIsOneSmallSecretUnderTwoModuli(t *testing.T) {
	request, response := recordedKeys(t)
	a, err := request.Coefficients(16)
	if err != nil {
		t.Fatal(err)
	}
	b, err := response.Coefficients(16)
	if err != nil {
		t.Fatal(err)
	}
	var square int64
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("coefficient %d is %d and %d", i, a[i], b[i])
		}
		square += a[i] * a[i]
	}
	if v := float64(square) / float64(len(a)); math.Abs(v-8) > 1 {
		t.Errorf("variance is %v, want about 8", v)
	}
	if _, err := request.Coefficients(3); err == nil {
		t.Error("a coefficient beyond the limit was accepted")
	}
}

func TestRecordedGaloisKeyHoldsTheSubstitutedSecret(t *testing.T) {
	request, _ := recordedKeys(t)
	r := request.r
	k, err := r.ParseGaloisKey(fixture(t, "galois-key-0.pb"), 4097, 10)
	if err != nil {
		t.Fatal(err)
	}
	buf, gw := r.NewBuffer(), r.GroupWords()
	rows := make([]Poly, 2*k.count)
	for i := range rows {
		rows[i] = r.NewPoly()
		r.Gather(rows[i], k.rows[i*gw:], 2*k.count*gw)
	}
	r.e.store(buf.values, rows[1], gw, true)
	checkValues(t, "first a", buf.values, map[int]string{0: "1394302808932376424542425869072"})

	// b_i + a_i*s - 2^(10i)*s(x^4097) is 3 times a small polynomial.
	sub, z := r.NewPoly(), r.NewPoly()
	r.e.permute(sub, request.s, k.table)
	r.ScaleUp(sub, sub)
	shift := r.constant(uint128{1 << 10, 0})
	for i := range k.count {
		r.Mul(z, rows[2*i+1], request.s)
		r.Add(z, z, rows[2*i])
		r.Sub(z, z, sub)
		r.Inverse(z)
		r.e.store(buf.values, z, gw, false)
		for j, v := range buf.values {
			if neg := r.m.q.sub(v); neg.less(v) {
				v = neg
			}
			if v.hi != 0 || v.lo > 48 || v.lo%3 != 0 {
				t.Fatalf("digit %d: noise coefficient %d is %v", i, j, v.big())
			}
		}
		r.Mul(sub, sub, shift)
	}
}

// delimited returns the first message of a stream of length-prefixed ones.
func delimited(t testing.TB, b []byte) []byte {
	t.Helper()
	m, n := protowire.ConsumeBytes(b)
	if n < 0 {
		t.Fatal("no message")
	}
	return m
}

// field returns the occurrences of a bytes field.
func field(t testing.TB, message []byte, num int) [][]byte {
	t.Helper()
	var out [][]byte
	err := protoscan.Each(message, func(f protoscan.Field) error {
		if f.Number == num {
			out = append(out, f.Data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRecordedQueriesDecryptToTheirSlots(t *testing.T) {
	request, _ := recordedKeys(t)
	r := request.r
	// EncryptedQueryBundle.serialized_encrypted_queries, an EncryptedQueries.
	queries := field(t, delimited(t, fixture(t, "mp-encrypted-queries-0-of-1")), 3)[0]
	seed := field(t, queries, 3)[0]
	buf, c0, a := r.NewBuffer(), r.NewPoly(), r.NewPoly()
	coeffs, err := r.ParsePolynomial(field(t, queries, 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Unpack(c0, coeffs, buf); err != nil {
		t.Fatal(err)
	}
	r.Uniform(a, newPRNG(t, seed), buf)
	r.e.store(buf.values, a, r.GroupWords(), true)
	checkValues(t, "a", buf.values, map[int]string{
		0: "2508964457703580186276902892396", 1: "69663425159647679876981685394", 4095: "713846524505852295227007420874",
	})
	c1 := r.NewPoly()
	r.Sub(c1, c1, a)
	message := make([]uint64, r.n)
	c := NewCryptor(request, 3, 8)
	c.Decrypt(message, []Poly{c0, c1})
	for i, v := range message {
		want := uint64(0)
		switch i {
		case 2, 4, 9, 13:
			want = 1
		}
		if v != want {
			t.Errorf("coefficient %d is %d, want %d", i, v, want)
		}
	}
	if n := c.NoiseBits([]Poly{c0, c1}); n > 6 {
		t.Errorf("fresh noise has %d bits", n)
	}
}
