package commutative

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/panelmatch/panelmatch/engine/crypto/commutative/internal/lanes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plaintexts returns n join keys of several lengths.
func plaintexts(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = fmt.Appendf(nil, "join-key-%d%s", i, strings.Repeat("x", i%70))
	}
	return out
}

// engines returns the cipher with each way to multiply that this processor has.
func engines(c *Cipher) map[string]*Cipher {
	one := *c
	one.lanes = false
	out := map[string]*Cipher{"one at a time": &one}
	if lanes.Available() {
		eight := *c
		eight.lanes = true
		out["eight at a time"] = &eight
	}
	return out
}

func TestBatchGivesWhatSingleCallsGiveInOrder(t *testing.T) {
	for _, workers := range []int{0, 1, 2, 7} {
		k, err := ParseKey([]byte("some-key"))
		if err != nil {
			t.Fatal(err)
		}
		c := New(k, Options{Workers: workers})
		for _, n := range []int{0, 1, 2, 7, 8, 9, chunkSize - 1, chunkSize, chunkSize + 1, 2*chunkSize + 5} {
			in := plaintexts(n)
			for _, op := range []Op{Encrypt, ReEncrypt, Decrypt} {
				want := make([][]byte, n)
				for i := range in {
					want[i] = mustApply(t, c, op, in[i])
				}
				for name, c := range engines(c) {
					out, err := c.All(t.Context(), op, in)
					if err != nil {
						t.Fatal(err)
					}
					if !slices.EqualFunc(out, want, bytes.Equal) {
						t.Fatalf("%v %s: %d elements with %d workers: got %x, want %x", op, name, n, workers, out, want)
					}
				}
				in = want
			}
		}
	}
}

func TestBatchAppends(t *testing.T) {
	c := mustCipher(t, []byte("some-key"))
	in := plaintexts(10)
	out, err := c.Batch(t.Context(), Encrypt, []byte("before"), in)
	if err != nil {
		t.Fatal(err)
	}
	want := []byte("before")
	for _, p := range in {
		want = append(want, mustApply(t, c, Encrypt, p)...)
	}
	if !bytes.Equal(out, want) {
		t.Errorf("got %x, want %x", out, want)
	}
}

func TestAppendingToOneResultLeavesTheNext(t *testing.T) {
	c := mustCipher(t, []byte("some-key"))
	out, err := c.All(t.Context(), Encrypt, plaintexts(2))
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(out[1])
	_ = append(out[0], "overwrites"...)
	if !bytes.Equal(out[1], before) {
		t.Error("results overlap")
	}
}

func TestBatchFailsAsAWholeAtTheFirstBadElement(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	bad := badPoints(t)
	k, err := ParseKey([]byte("some-key"))
	if err != nil {
		t.Fatal(err)
	}
	c := New(k, Options{Workers: 4})
	good, err := c.All(t.Context(), Encrypt, plaintexts(3*chunkSize))
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range bad {
		in := append([][]byte(nil), good...)
		first := rng.IntN(len(in))
		in[first] = p
		for range 3 {
			in[first+rng.IntN(len(in)-first)] = p
		}
		op := ReEncrypt + Op(rng.IntN(2))
		for engine, c := range engines(c) {
			out, err := c.Batch(t.Context(), op, []byte("kept"), in)
			var e *ElementError
			if !errors.As(err, &e) || e.Index != first || e.Op != op || !errors.Is(err, ErrPoint) {
				t.Errorf("%s at %d, %s: error %v", name, first, engine, err)
			}
			if string(out) != "kept" {
				t.Errorf("%s, %s: dst has become %d bytes", name, engine, len(out))
			}
			if all, err := c.All(t.Context(), op, in[:first+1]); all != nil || err == nil {
				t.Errorf("%s, %s: All gives %d results and error %v", name, engine, len(all), err)
			}
		}
	}
}

func TestErrorsNameTheElementAndNotItsBytes(t *testing.T) {
	c := mustCipher(t, []byte("some-key"))
	_, err := c.Batch(t.Context(), ReEncrypt, nil, [][]byte{mustApply(t, c, Encrypt, nil), []byte("panelist@example.com")})
	const want = "re-encrypt element 1: not a P-256 point; it must be a SEC 1 compressed point of 33 bytes or an uncompressed one of 65"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestBatchEndsWithItsContext(t *testing.T) {
	c := mustCipher(t, []byte("some-key"))
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	out, err := c.Batch(ctx, Encrypt, []byte("kept"), plaintexts(10*chunkSize))
	if !errors.Is(err, cause) || string(out) != "kept" {
		t.Errorf("%d bytes and error %v, want the context's cause", len(out), err)
	}

	ctx, cancel = context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	in := plaintexts(500_000) // many seconds' work
	go func() {
		_, err := c.Batch(ctx, Encrypt, nil, in)
		done <- err
	}()
	cancel(cause)
	if err := <-done; !errors.Is(err, cause) {
		t.Errorf("error %v, want the context's cause", err)
	}
}

func TestOneCipherServesManyGoroutines(t *testing.T) {
	c := mustCipher(t, []byte("some-key"))
	in := plaintexts(chunkSize + 3)
	want, err := c.Batch(t.Context(), Encrypt, nil, in)
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			got, err := c.Batch(t.Context(), Encrypt, nil, in)
			if err == nil && !bytes.Equal(got, want) {
				err = errors.New("results differ")
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// The engines must agree on every key, and on uncompressed points among compressed ones.
func TestEnginesAgreeOnEdgeKeys(t *testing.T) {
	m := newModel()
	rng := rand.New(rand.NewPCG(13, 14))
	keys := someKeys(rng, 10)
	for d := int64(1); d <= 70; d++ {
		keys = append(keys, big.NewInt(d).Bytes(), new(big.Int).Sub(m.n, big.NewInt(d)).Bytes())
	}
	var points [][]byte
	for i := range 11 {
		q, _ := m.hash([]byte{byte(i)})
		if i%2 == 1 {
			q.y = new(big.Int).Sub(m.p, q.y)
		}
		points = append(points, m.encode(q))
		if i%3 == 0 {
			points[i] = m.uncompressed(q)
		}
	}
	for _, key := range keys {
		c := mustCipher(t, key)
		for _, op := range []Op{ReEncrypt, Decrypt} {
			want := make([][]byte, len(points))
			for i, p := range points {
				want[i] = mustApply(t, c, op, p)
			}
			for name, c := range engines(c) {
				got, err := c.All(t.Context(), op, points)
				if err != nil || !slices.EqualFunc(got, want, bytes.Equal) {
					t.Fatalf("%v %s, key %x: got %x, %v; want %x", op, name, key, got, err, want)
				}
			}
		}
	}
}

func TestBatchAllocatesNothingPerElement(t *testing.T) {
	k, err := ParseKey([]byte("some-key"))
	if err != nil {
		t.Fatal(err)
	}
	c := New(k, Options{Workers: 1})
	for _, op := range []Op{Encrypt, ReEncrypt, Decrypt} {
		src := plaintexts(64)
		if op != Encrypt {
			if src, err = c.All(t.Context(), Encrypt, src); err != nil {
				t.Fatal(err)
			}
		}
		dst := make([]byte, 0, len(src)*PointSize)
		allocs := testing.AllocsPerRun(5, func() {
			if _, err := c.Batch(context.Background(), op, dst, src); err != nil {
				t.Error(err)
			}
		})
		if allocs > 16 {
			t.Errorf("%v allocates %v times for %d elements", op, allocs, len(src))
		}
	}
}
