//go:build unix

package commutative

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"
)

func BenchmarkBatch(b *testing.B) {
	k, err := GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	plain := plaintexts(8 * chunkSize)
	points, err := New(k, Options{}).All(b.Context(), Encrypt, plain)
	if err != nil {
		b.Fatal(err)
	}
	for _, op := range []Op{Encrypt, ReEncrypt, Decrypt} {
		src := points
		if op == Encrypt {
			src = plain
		}
		for _, workers := range []int{1, runtime.GOMAXPROCS(0)} {
			for name, c := range engines(New(k, Options{Workers: workers})) {
				b.Run(fmt.Sprintf("%v/%s/workers=%d", op, name, workers), func(b *testing.B) {
					dst := make([]byte, 0, len(src)*PointSize)
					b.ReportAllocs()
					start := processTime(b)
					for b.Loop() {
						if _, err := c.Batch(b.Context(), op, dst, src); err != nil {
							b.Fatal(err)
						}
					}
					keys := float64(b.N) * float64(len(src))
					b.ReportMetric(keys/b.Elapsed().Seconds(), "keys/s")
					b.ReportMetric(float64((processTime(b)-start).Nanoseconds())/keys, "cpu-ns/key")
				})
			}
		}
	}
}

// processTime is what this process has used of all processors: on a busy machine, the measure of work.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkField(b *testing.B) {
	x := curveB
	b.Run("mul", func(b *testing.B) {
		for b.Loop() {
			x.mul(&x, &curveB)
		}
	})
	b.Run("sqrt", func(b *testing.B) {
		var y element
		for b.Loop() {
			y.sqrt(&x)
		}
	})
	b.Run("hash", func(b *testing.B) {
		var o oracle
		var x, y element
		in := plaintexts(64)
		i := 0
		for b.Loop() {
			o.hash(&x, &y, in[i%64])
			i++
		}
	})
}
