package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/provider"
)

// concurrentWrites has writers and readers of one key at work; every byte of a
// blob tells its writer.
func (h Harness) concurrentWrites(t *testing.T) {
	const writers, rounds, size = 4, 8, 150_000
	value := func(w int) []byte { return bytes.Repeat([]byte{byte('a' + w)}, size+w) }
	first := h.store(t, blob.Options{})
	must(t, first.PutBytes(t.Context(), "k", value(0)))
	whole := func(v []byte) bool {
		return len(v) >= size && len(v) == size+int(v[0]-'a') && bytes.Count(v, v[:1]) == len(v)
	}
	var done atomic.Bool
	var writing, reading sync.WaitGroup
	for w := range writers {
		s := h.store(t, blob.Options{})
		writing.Go(func() {
			for range rounds {
				if err := s.PutBytes(t.Context(), "k", value(w)); err != nil {
					t.Errorf("Put: %v", err)
				}
			}
		})
		reading.Go(func() {
			for !done.Load() {
				r, err := s.Get(t.Context(), "k")
				if err != nil {
					t.Errorf("Get: %v", err)
					return
				}
				v, err := io.ReadAll(r)
				r.Close()
				// A storage may give up a reader whose blob is replaced; it must not mix.
				if err != nil && !errors.Is(err, provider.ErrTransient) || err == nil && !whole(v) {
					t.Errorf("a reader saw %d bytes, %v", len(v), err)
					return
				}
			}
		})
	}
	writing.Wait()
	done.Store(true)
	reading.Wait()
	v, err := first.GetBytes(t.Context(), "k", 1<<20)
	if err != nil || !whole(v) {
		t.Errorf("at the end: %d bytes, %v", len(v), err)
	}
}

// neighbours has blobs come and go in one directory, which a file system makes
// and removes with them.
func (h Harness) neighbours(t *testing.T) {
	const workers, rounds = 4, 25
	var wg sync.WaitGroup
	for w := range workers {
		s := h.store(t, blob.Options{Prefix: "some/dir"})
		wg.Go(func() {
			key := fmt.Sprint("in/common/", w)
			for i := range rounds {
				want := strconv.AppendInt(nil, int64(i), 10)
				if err := s.PutBytes(t.Context(), key, want); err != nil {
					t.Errorf("Put: %v", err)
				}
				if got, err := s.GetBytes(t.Context(), key, 100); err != nil || !bytes.Equal(got, want) {
					t.Errorf("Get = %q, %v; want %q", got, err, want)
				}
				if err := s.Delete(t.Context(), key); err != nil {
					t.Errorf("Delete: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if keys := listed(t, h.store(t, blob.Options{}), ""); len(keys) != 0 {
		t.Errorf("left over: %q", keys)
	}
}

func (h Harness) ifAbsent(t *testing.T) {
	const writers = 8
	var won atomic.Int32
	var winner atomic.Value
	var wg sync.WaitGroup
	for w := range writers {
		s := h.store(t, blob.Options{})
		wg.Go(func() {
			value := bytes.Repeat([]byte{byte('a' + w)}, 50_000)
			switch err := s.PutIf(t.Context(), "dir/k", bytes.NewReader(value), blob.Condition{IfAbsent: true}); {
			case err == nil:
				won.Add(1)
				winner.Store(value)
			case !errors.Is(err, blob.ErrConflict):
				t.Errorf("PutIf: %v; want ErrConflict", err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Fatalf("%d writers created the blob", won.Load())
	}
	s := h.store(t, blob.Options{})
	expect(t, s, "dir/k", winner.Load().([]byte))
	w, err := s.CreateIf(t.Context(), "dir/k", blob.Condition{IfAbsent: true})
	must(t, err)
	w.Write([]byte("late")) //nolint:errcheck // it may fail here or at Close
	if err := w.Close(); !errors.Is(err, blob.ErrConflict) {
		t.Errorf("Close: %v; want ErrConflict", err)
	}
	expect(t, s, "dir/k", winner.Load().([]byte))
	must(t, s.Delete(t.Context(), "dir/k"))
	must(t, s.PutIf(t.Context(), "dir/k", bytes.NewReader([]byte("again")), blob.Condition{IfAbsent: true}))
	expect(t, s, "dir/k", []byte("again"))
}

// ifVersion counts with read, add one, write if unchanged.
func (h Harness) ifVersion(t *testing.T) {
	s := h.store(t, blob.Options{})
	must(t, s.PutBytes(t.Context(), "n", []byte("0")))
	if !h.IfVersion {
		err := s.PutIf(t.Context(), "n", bytes.NewReader([]byte("1")), blob.Condition{IfVersion: "any"})
		if !errors.Is(err, blob.ErrUnsupported) {
			t.Errorf("PutIf: %v; want ErrUnsupported", err)
		}
		expect(t, s, "n", []byte("0"))
		return
	}
	const workers, each = 4, 10
	var wg sync.WaitGroup
	for range workers {
		s := h.store(t, blob.Options{})
		wg.Go(func() {
			for n := 0; n < each; {
				switch err := increment(t, s); {
				case err == nil:
					n++
				case !errors.Is(err, blob.ErrConflict):
					t.Errorf("PutIf: %v; want ErrConflict", err)
					return
				}
			}
		})
	}
	wg.Wait()
	expect(t, s, "n", strconv.AppendInt(nil, workers*each, 10))
	info, err := s.Stat(t.Context(), "n")
	must(t, err)
	must(t, s.Delete(t.Context(), "n"))
	err = s.PutIf(t.Context(), "n", bytes.NewReader([]byte("x")), blob.Condition{IfVersion: info.Version})
	if !errors.Is(err, blob.ErrConflict) {
		t.Errorf("in place of a blob that is gone: %v; want ErrConflict", err)
	}
	expect(t, s, "n", nil)
}

func increment(t *testing.T, s *blob.Store) error {
	// The version first: a value that is newer than it only loses.
	info, err := s.Stat(t.Context(), "n")
	if err != nil {
		return err
	}
	v, err := s.GetBytes(t.Context(), "n", 100)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(string(v))
	if err != nil {
		return err
	}
	return s.PutIf(t.Context(), "n", bytes.NewReader(strconv.AppendInt(nil, int64(n+1), 10)), blob.Condition{IfVersion: info.Version})
}
