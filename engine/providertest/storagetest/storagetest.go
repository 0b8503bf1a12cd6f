// Package storagetest is what every provider of storage must pass: what the
// engine's blob.Store promises, on top of that provider's buckets, and what the
// Store relies on from the bucket itself. A provider with a driver of its own
// also runs gocloud.dev's drivertest; what is special to a product is tested
// beside that product.
package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	gocloud "gocloud.dev/blob"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/provider"
)

// Harness is the provider under test.
type Harness struct {
	// Open opens a bucket that is empty at first. Within one test all buckets are handles of the same
	// storage; the storages of different tests have nothing in common. The suite closes the buckets.
	Open func(t *testing.T) provider.Storage
	// IfVersion says that the provider can write in place of a version. One that can't must say so
	// when it is asked.
	IfVersion bool
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		test func(Harness, *testing.T)
	}{
		{"WhatIsPutCanBeGot", Harness.roundTrip},
		{"ALargeBlobStreams", Harness.large},
		{"OtherHandlesSeeIt", Harness.otherHandle},
		{"AbsentBlobsAreNotFound", Harness.absent},
		{"DeleteRemovesAndMayBeRepeated", Harness.deletes},
		{"PutReplacesWhole", Harness.replaces},
		{"AWriteIsInvisibleUntilClose", Harness.invisible},
		{"AFailedWriteLeavesNothing", Harness.failedWrite},
		{"LimitsHoldToTheByte", Harness.limits},
		{"RangesAreReadFromTheBucket", Harness.ranges},
		{"StoresAreApart", Harness.apart},
		{"ListIsCompleteAndInByteOrder", Harness.list},
		{"HostileKeysAreRefused", Harness.hostile},
		{"ABucketKeepsKeysInsideAndApart", Harness.contained},
		{"AnEndedContextEndsCalls", Harness.endedContext},
		{"ConcurrentWritesDoNotMix", Harness.concurrentWrites},
		{"ConcurrentDeletesAndWritesOfNeighbours", Harness.neighbours},
		{"OneOfManyCreatesAnAbsentBlob", Harness.ifAbsent},
		{"AWriteInPlaceOfAVersionLosesNoUpdate", Harness.ifVersion},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(h, t) })
	}
}

func (h Harness) bucket(t *testing.T) provider.Storage {
	t.Helper()
	b := h.Open(t)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

func (h Harness) store(t *testing.T, opts blob.Options) *blob.Store {
	t.Helper()
	s, err := blob.NewStore(h.bucket(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// expect checks what a blob holds; nil stands for an absent one.
func expect(t *testing.T, s *blob.Store, key string, want []byte) {
	t.Helper()
	got, err := s.GetBytes(context.WithoutCancel(t.Context()), key, 1<<30)
	if want == nil {
		if !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("%q: %d bytes, %v; want ErrNotFound", key, len(got), err)
		}
		return
	}
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q: %d bytes, %v; want %d bytes", key, len(got), err, len(want))
	}
}

// names of blobs that the engine and workflows use, and odd ones that they may use.
var names = []string{
	"a", "hkdf-pepper", "preprocessed-event-data-0003-of-1000", "a.signature", "done-tasks/step 1",
	"checkpoints/edp-checkpoint", "certificates/edp1:0a1b2c3d-1111-4222-8333-444455556666",
	"dataProviders/A-b_C9x", "spaces and ünïcode ☺", "q?x=1&y=2#f", "percent%41 and %", "deep/er/and/deep/er/k",
	"UPPER", "...", "a..b", ".hidden", "star*", `"quoted"`, "tilde~", "semi;colon", "plus+", "x.tmp",
	strings.Repeat("long", 50),
}

func (h Harness) roundTrip(t *testing.T) {
	s := h.store(t, blob.Options{})
	for i, key := range names {
		must(t, s.PutBytes(t.Context(), key, fmt.Appendf(nil, "value %d\x00\xff", i)))
	}
	for i, key := range names {
		expect(t, s, key, fmt.Appendf(nil, "value %d\x00\xff", i))
		info, err := s.Stat(t.Context(), key)
		if err != nil || info.Key != key || info.Size == 0 || info.ModTime.IsZero() {
			t.Errorf("Stat(%q) = %+v, %v", key, info, err)
		}
	}
	must(t, s.PutBytes(t.Context(), "empty", nil))
	expect(t, s, "empty", []byte{})
	r, err := s.Get(t.Context(), "empty")
	must(t, err)
	defer r.Close()
	must(t, iotest.TestReader(r, nil))
}

// pattern returns n bytes that differ from place to place.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func (h Harness) large(t *testing.T) {
	const size = 6<<20 + 17 // more than one part of a multipart upload
	s := h.store(t, blob.Options{})
	want := pattern(size)
	w, err := s.Create(t.Context(), "large")
	must(t, err)
	defer w.Abort()
	for rest := want; len(rest) > 0; {
		n := min(len(rest), 100_003)
		_, err := w.Write(rest[:n])
		must(t, err)
		rest = rest[n:]
	}
	must(t, w.Close())
	r, err := s.Get(t.Context(), "large")
	must(t, err)
	defer r.Close()
	if r.Size() != size || w.Size() != size {
		t.Errorf("sizes %d and %d; want %d", r.Size(), w.Size(), size)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
}

func (h Harness) otherHandle(t *testing.T) {
	a, b := h.store(t, blob.Options{}), h.store(t, blob.Options{})
	must(t, a.PutBytes(t.Context(), "k", []byte("from a")))
	expect(t, b, "k", []byte("from a"))
	must(t, b.Delete(t.Context(), "k"))
	expect(t, a, "k", nil)
}

func (h Harness) absent(t *testing.T) {
	s := h.store(t, blob.Options{})
	must(t, s.PutBytes(t.Context(), "dir/blob", []byte("x")))
	for _, key := range []string{"missing", "dir", "dir/missing", "dir/blob/below", "dir/blo"} {
		expect(t, s, key, nil)
		if _, err := s.Get(t.Context(), key); !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("Get(%q): %v", key, err)
		}
		if _, err := s.Stat(t.Context(), key); !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("Stat(%q): %v", key, err)
		}
		if ok, err := s.Exists(t.Context(), key); ok || err != nil {
			t.Errorf("Exists(%q) = %v, %v", key, ok, err)
		}
	}
	if ok, err := s.Exists(t.Context(), "dir/blob"); !ok || err != nil {
		t.Errorf("Exists = %v, %v", ok, err)
	}
}

func (h Harness) deletes(t *testing.T) {
	s := h.store(t, blob.Options{})
	must(t, s.PutBytes(t.Context(), "d/e/k", []byte("x")))
	must(t, s.PutBytes(t.Context(), "d/other", []byte("y")))
	for range 2 {
		must(t, s.Delete(t.Context(), "d/e/k"))
		expect(t, s, "d/e/k", nil)
	}
	must(t, s.Delete(t.Context(), "d"))
	expect(t, s, "d/other", []byte("y"))
	// The place of a directory that is empty now is free.
	must(t, s.Delete(t.Context(), "d/other"))
	must(t, s.PutBytes(t.Context(), "d", []byte("a blob now")))
	expect(t, s, "d", []byte("a blob now"))
}

func (h Harness) replaces(t *testing.T) {
	s := h.store(t, blob.Options{})
	var versions []string
	for _, v := range [][]byte{pattern(100_000), []byte("short"), {}, []byte("other")} {
		must(t, s.PutBytes(t.Context(), "k", v))
		expect(t, s, "k", v)
		info, err := s.Stat(t.Context(), "k")
		must(t, err)
		if info.Version != "" && slices.Contains(versions, info.Version) {
			t.Errorf("version %s comes twice", info.Version)
		}
		versions = append(versions, info.Version)
	}
}

func (h Harness) invisible(t *testing.T) {
	s := h.store(t, blob.Options{})
	for _, old := range [][]byte{nil, []byte("old")} {
		if old != nil {
			must(t, s.PutBytes(t.Context(), "k", old))
		}
		w, err := s.Create(t.Context(), "k")
		must(t, err)
		_, err = w.Write(pattern(300_000))
		must(t, err)
		expect(t, s, "k", old)
		keys := listed(t, s, "")
		if want := map[bool][]string{true: nil, false: {"k"}}[old == nil]; !slices.Equal(keys, want) {
			t.Errorf("during a write the listing is %q; want %q", keys, want)
		}
		w.Abort()
		w.Abort()
		expect(t, s, "k", old)
		if err := w.Close(); err == nil {
			t.Error("Close after Abort succeeds")
		}
		expect(t, s, "k", old)
	}
}

var errSource = errors.New("the source broke")

func (h Harness) failedWrite(t *testing.T) {
	s := h.store(t, blob.Options{})
	for _, old := range [][]byte{nil, []byte("old")} {
		if old != nil {
			must(t, s.PutBytes(t.Context(), "k", old))
		}
		for _, before := range []int{0, 10, 400_000} {
			src := io.MultiReader(bytes.NewReader(pattern(before)), iotest.ErrReader(errSource))
			if err := s.Put(t.Context(), "k", src); !errors.Is(err, errSource) {
				t.Errorf("source that fails: %v", err)
			}
			expect(t, s, "k", old)

			ctx, cancel := context.WithCancel(t.Context())
			src = io.MultiReader(bytes.NewReader(pattern(before)), readerFunc(func([]byte) (int, error) {
				cancel()
				return 0, io.EOF
			}))
			if err := s.Put(ctx, "k", src); !errors.Is(err, context.Canceled) {
				t.Errorf("context that ends: %v", err)
			}
			expect(t, s, "k", old)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (h Harness) limits(t *testing.T) {
	const limit = 1000
	free := h.store(t, blob.Options{})
	s := h.store(t, blob.Options{ReadLimit: limit, WriteLimit: limit})
	must(t, s.PutBytes(t.Context(), "full", pattern(limit)))
	expect(t, s, "full", pattern(limit))
	r, err := s.Get(t.Context(), "full")
	must(t, err)
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); n != limit || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if err := s.PutBytes(t.Context(), "over", pattern(limit+1)); !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("Put: %v", err)
	}
	expect(t, free, "over", nil)
	w, err := s.Create(t.Context(), "over")
	must(t, err)
	_, err = w.Write(pattern(limit))
	must(t, err)
	_, err1 := w.Write([]byte{1})
	if err := w.Close(); !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("Write: %v, Close: %v", err1, err)
	}
	expect(t, free, "over", nil)
	must(t, free.PutBytes(t.Context(), "over", pattern(limit+1)))
	if _, err := s.Get(t.Context(), "over"); !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("Get: %v", err)
	}
	if _, err := s.GetBytes(t.Context(), "over", 1<<20); !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("GetBytes: %v", err)
	}
	if _, err := free.GetBytes(t.Context(), "over", limit); !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("GetBytes with a limit of its own: %v", err)
	}
}

func (h Harness) ranges(t *testing.T) {
	b := h.bucket(t)
	must(t, b.Upload(t.Context(), "k", bytes.NewReader(pattern(10_000)), &gocloud.WriterOptions{ContentType: "application/octet-stream"}))
	for _, c := range [][2]int64{{0, 1}, {0, 10_000}, {9_999, 1}, {5_000, -1}, {100, 200}, {9_990, 100}} {
		r, err := b.NewRangeReader(t.Context(), "k", c[0], c[1], nil)
		must(t, err)
		got, err := io.ReadAll(r)
		must(t, err)
		must(t, r.Close())
		want := pattern(10_000)[c[0]:]
		if c[1] >= 0 {
			want = want[:min(int(c[1]), len(want))]
		}
		if !bytes.Equal(got, want) {
			t.Errorf("range %v: %d bytes; want %d", c, len(got), len(want))
		}
	}
}

func listed(t *testing.T, s *blob.Store, prefix string) []string {
	t.Helper()
	var keys []string
	for info, err := range s.List(t.Context(), prefix) {
		must(t, err)
		keys = append(keys, info.Key)
	}
	return keys
}

func (h Harness) apart(t *testing.T) {
	b := h.bucket(t)
	prefixes := []string{"", "p", "p/q", "pq", "recurringExchanges/rx/exchanges/2024-01-31"}
	stores := make([]*blob.Store, len(prefixes))
	for i, p := range prefixes {
		s, err := blob.NewStore(b, blob.Options{Prefix: p})
		must(t, err)
		must(t, s.PutBytes(t.Context(), "k", []byte(p)))
		stores[i] = s
	}
	for i, p := range prefixes {
		expect(t, stores[i], "k", []byte(p))
	}
	want := []string{"k", "p/k", "p/q/k", "pq/k", "recurringExchanges/rx/exchanges/2024-01-31/k"}
	if got := listed(t, stores[0], ""); !slices.Equal(got, want) {
		t.Errorf("root lists %q", got)
	}
	if got := listed(t, stores[1], ""); !slices.Equal(got, []string{"k", "q/k"}) {
		t.Errorf("p lists %q", got)
	}
}

func (h Harness) list(t *testing.T) {
	s := h.store(t, blob.Options{Prefix: "pre/fix"})
	for _, key := range names {
		must(t, s.PutBytes(t.Context(), key, []byte(key)))
	}
	want := slices.Sorted(slices.Values(names))
	if diff := cmp.Diff(want, listed(t, s, "")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := listed(t, s, "a"); !slices.Equal(got, []string{"a", "a..b", "a.signature"}) {
		t.Errorf("with prefix a: %q", got)
	}
	if got := listed(t, s, "deep/er/"); !slices.Equal(got, []string{"deep/er/and/deep/er/k"}) {
		t.Errorf("with prefix deep/er/: %q", got)
	}
	if got := listed(t, s, "none"); len(got) != 0 {
		t.Errorf("with prefix none: %q", got)
	}
	var dirs, files []string
	for info, err := range s.ListDir(t.Context(), "") {
		must(t, err)
		if info.IsDir {
			dirs = append(dirs, info.Key)
		} else {
			files = append(files, info.Key)
			if info.Size != int64(len(info.Key)) {
				t.Errorf("%q is listed with %d bytes", info.Key, info.Size)
			}
		}
	}
	if !slices.Equal(dirs, []string{"certificates/", "checkpoints/", "dataProviders/", "deep/", "done-tasks/"}) || len(files) != len(names)-5 {
		t.Errorf("directories %q and %d blobs", dirs, len(files))
	}
}

func (h Harness) hostile(t *testing.T) {
	s := h.store(t, blob.Options{Prefix: "p"})
	for _, key := range []string{
		"", ".", "..", "/", "../x", "a/../../x", "a/..", "a/./b", "/abs", "a//b", "a/", "a\x00b", `..\x`, "a\nb", "\xff",
		strings.Repeat("k", 300), strings.Repeat("d/", 600) + "k",
	} {
		if err := s.PutBytes(t.Context(), key, nil); !errors.Is(err, blob.ErrBadKey) {
			t.Errorf("Put(%.40q): %v", key, err)
		}
		if _, err := s.Get(t.Context(), key); !errors.Is(err, blob.ErrBadKey) {
			t.Errorf("Get(%.40q): %v", key, err)
		}
		if err := s.Delete(t.Context(), key); !errors.Is(err, blob.ErrBadKey) {
			t.Errorf("Delete(%.40q): %v", key, err)
		}
		if _, err := s.Create(t.Context(), key); !errors.Is(err, blob.ErrBadKey) {
			t.Errorf("Create(%.40q): %v", key, err)
		}
	}
}

// contained goes below the Store, which refuses such keys: a driver that takes
// one must keep it apart from all others.
func (h Harness) contained(t *testing.T) {
	b := h.bucket(t)
	opts := &gocloud.WriterOptions{ContentType: "application/octet-stream"}
	keys := []string{
		"x", "p/x", "p/../x", "p/../../x", "../x", "/x", "//x", "p//x", "./x", "p/./x", "x/", "p/x/", "p\\x", "%2e%2e/x",
		"p%2Fx", "..", ".", "p/..", "X y",
	}
	var kept []string
	for _, key := range keys {
		err := b.Upload(t.Context(), key, strings.NewReader("value of "+key), opts)
		if err == nil {
			kept = append(kept, key)
		}
	}
	if !slices.Contains(kept, "x") || !slices.Contains(kept, "p/x") {
		t.Fatalf("plain keys are refused; kept: %q", kept)
	}
	for _, key := range kept {
		if got, err := b.ReadAll(t.Context(), key); err != nil || string(got) != "value of "+key {
			t.Errorf("%q holds %q, %v", key, got, err)
		}
	}
}

func (h Harness) endedContext(t *testing.T) {
	s := h.store(t, blob.Options{})
	must(t, s.PutBytes(t.Context(), "k", []byte("old")))
	open, err := s.Get(t.Context(), "k")
	must(t, err)
	defer open.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, getErr := s.Get(ctx, "k")
	_, statErr := s.Stat(ctx, "k")
	var listErr error
	for _, err := range s.List(ctx, "") {
		listErr = err
	}
	for op, err := range map[string]error{
		"Get": getErr, "Stat": statErr, "List": listErr,
		"Put": s.PutBytes(ctx, "k", []byte("new")), "Delete": s.Delete(ctx, "k"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v; want context.Canceled", op, err)
		}
	}
	expect(t, s, "k", []byte("old"))
}
