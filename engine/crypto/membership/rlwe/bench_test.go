package rlwe

import (
	"math/rand/v2"
	"testing"
)

// Kernel benchmarks, for every engine that can serve the standard moduli.

func benchEngines(b *testing.B, f func(b *testing.B, e engineUnderTest, p []uint64)) {
	b.Helper()
	for _, words := range [][]uint64{standardQ, standardQ2} {
		for _, e := range everyEngine(b, words, 12) {
			rng := rand.New(rand.NewPCG(1, 2))
			v := make([]uint128, e.size())
			for i := range v {
				v[i] = randomResidue(e.m, rng)
			}
			b.Run(e.name(), func(b *testing.B) { f(b, e, e.enter(v, true)) })
		}
	}
}

func BenchmarkForward(b *testing.B) {
	benchEngines(b, func(b *testing.B, e engineUnderTest, p []uint64) {
		for b.Loop() {
			e.forward(p, e.groupWords())
		}
	})
}

func BenchmarkInverse(b *testing.B) {
	benchEngines(b, func(b *testing.B, e engineUnderTest, p []uint64) {
		for b.Loop() {
			e.inverse(p, e.groupWords())
		}
	})
}

func BenchmarkMul(b *testing.B) {
	benchEngines(b, func(b *testing.B, e engineUnderTest, p []uint64) {
		z := make([]uint64, len(p))
		for b.Loop() {
			e.mul(z, p, p)
		}
	})
}

func BenchmarkKeySums(b *testing.B) {
	benchEngines(b, func(b *testing.B, e engineUnderTest, p []uint64) {
		const count = 11
		digits, keys := make([]uint64, count*len(p)), make([]uint64, 2*count*len(p))
		z0, z1 := make([]uint64, len(p)), make([]uint64, len(p))
		for b.Loop() {
			e.keySums(z0, z1, digits, keys, count)
		}
	})
}

// BenchmarkRowSums reports the time of one whole database polynomial times one
// two-component ciphertext: 32 slots a row, operands in cache.
func BenchmarkRowSums(b *testing.B) {
	benchEngines(b, func(b *testing.B, e engineUnderTest, p []uint64) {
		const slots, rows = 32, 4
		gw := e.groupWords()
		x, y := make([]uint64, slots*rows*gw), make([]uint64, 2*slots*gw)
		copy(x, p)
		copy(y, p)
		zs := [][]uint64{make([]uint64, 2*rows*gw)}
		var off, ends []uint32
		for r := range rows {
			for s := range slots {
				off = append(off, uint32(2*s*gw))
			}
			ends = append(ends, uint32(slots*(r+1)))
		}
		for b.Loop() {
			e.rowSums(zs, x, [][]uint64{y}, off, ends)
		}
		perGroup := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / (slots * rows)
		b.ReportMetric(perGroup*float64(groups(e.size())), "ns/polynomial")
	})
}

// BenchmarkExpand reports the time of a key switch, of which one expansion of 16 has 15.
func BenchmarkExpand(b *testing.B) {
	r := standardRing(b, standardQ)
	k, err := NewSecretKey(r, make([]int64, r.n))
	if err != nil {
		b.Fatal(err)
	}
	var keys []*GaloisKey
	for i := range 4 {
		m, err := NewCryptor(k, 3, 8).AppendGaloisKey(nil, r.ExpansionPower(i), 10, NewSeed(), NewPrivatePRNG())
		if err != nil {
			b.Fatal(err)
		}
		key, err := r.ParseGaloisKey(m, r.ExpansionPower(i), 10)
		if err != nil {
			b.Fatal(err)
		}
		keys = append(keys, key)
	}
	x, err := NewExpander(r, keys)
	if err != nil {
		b.Fatal(err)
	}
	e, c0, c1 := x.NewExpansion(), r.NewPoly(), r.NewPoly()
	for b.Loop() {
		e.Expand(c0, c1, func(int) bool { return true }, func(int, Poly, Poly) {})
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(e.switches), "ms/key-switch")
}

func BenchmarkModulusSwitch(b *testing.B) {
	from, to := standardRing(b, standardQ), standardRing(b, standardQ2)
	s, err := NewSwitcher(from, to, 3)
	if err != nil {
		b.Fatal(err)
	}
	p, z, buf := from.NewPoly(), to.NewPoly(), from.NewBuffer()
	for b.Loop() {
		s.Switch(z, p, buf)
	}
}

func BenchmarkUniform(b *testing.B) {
	r := standardRing(b, standardQ)
	p, g, buf := r.NewPoly(), NewPrivatePRNG(), r.NewBuffer()
	for b.Loop() {
		r.Uniform(p, g, buf)
	}
}

func BenchmarkUnpack(b *testing.B) {
	r := standardRing(b, standardQ)
	p, buf := r.NewPoly(), r.NewBuffer()
	packed := make([]byte, r.PackedLen())
	for b.Loop() {
		if err := r.Unpack(p, packed, buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPack(b *testing.B) {
	r := standardRing(b, standardQ)
	p, buf := r.NewPoly(), r.NewBuffer()
	packed := make([]byte, r.PackedLen())
	for b.Loop() {
		r.Pack(packed, p, buf)
	}
}
