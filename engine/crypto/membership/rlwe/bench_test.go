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
