// Package secretmaptest is what every provider of secret maps must pass. It
// holds the interface's promises as tests; what is special to a product is
// tested beside that product.
package secretmaptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/panelmatch/panelmatch/engine/provider"
)

// Harness is the provider under test.
type Harness struct {
	// Open returns a map that holds exactly these entries, or may hold only those, on top of nothing.
	// It is called many times; maps of different calls have nothing in common. The suite closes the map.
	Open func(t *testing.T, entries map[string][]byte) provider.SecretMap
	// ReadOnly says that Put fails with ErrReadOnly.
	ReadOnly bool
}

// entries are what a map must be able to hold: the names and values that the engine uses, and odd bytes.
func entries() map[string][]byte {
	return map[string][]byte{
		"abc":                   []byte("bare id"),
		"dataProviders/abc":     []byte("resource name"),
		"dataProviders/abd":     {0, 255, '\n', ',', '"', 0},
		"modelProviders/A-b_C9": []byte("base64url id"),
		"rx.2":                  []byte("dot"),
		"fallback":              {},
		"spaces and ünïcode":    []byte("text\n"),
		"recurringExchanges/rx-1/exchanges/2024-01-31": bytes.Repeat([]byte{0xa5, '\n'}, 100_000),
	}
}

// hostile are keys that must lead nowhere.
var hostile = []string{
	"", ".", "..", "/", "//", "../x", "../../etc/passwd", "a/../../x", "a/..", "a/./b", "/etc/passwd", "a//b", "a/", "/a",
	"a\x00b", "..\\x", "a\nb", "\xff\xfe", strings.Repeat("k", 5000), strings.Repeat("d/", 600) + "k",
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Run("GetReturnsWhatIsThere", h.get)
	t.Run("GetOfAnAbsentKeyIsNotFound", h.absent)
	t.Run("ValuesAreCopies", h.copies)
	t.Run("ListIsCompleteAndInByteOrder", h.list)
	t.Run("HostileKeysLeadNowhere", h.hostile)
	t.Run("AnEndedContextEndsCalls", h.context)
	t.Run("ConcurrentReadsAgree", h.concurrentReads)
	if h.ReadOnly {
		t.Run("PutIsRefused", h.refusesPut)
		return
	}
	t.Run("PutOverwritesWhole", h.put)
	t.Run("ConcurrentPutsDoNotMix", h.concurrentPuts)
}

func (h Harness) open(t *testing.T, entries map[string][]byte) provider.SecretMap {
	t.Helper()
	m := h.Open(t, entries)
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return m
}

func (h Harness) get(t *testing.T) {
	m := h.open(t, entries())
	for key, want := range entries() {
		got, err := m.Get(t.Context(), key)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("Get(%q) = %d bytes, %v; want %d bytes", key, len(got), err, len(want))
		}
	}
}

func (h Harness) absent(t *testing.T) {
	for _, held := range []map[string][]byte{{}, entries()} {
		m := h.open(t, held)
		for _, key := range []string{"missing", "dataProviders", "dataProviders/abcd", "dataProviders/ab", "abc/d", "ABC2"} {
			if _, err := m.Get(t.Context(), key); !errors.Is(err, provider.ErrNotFound) {
				t.Errorf("Get(%q): %v; want ErrNotFound", key, err)
			}
		}
	}
}

func (h Harness) copies(t *testing.T) {
	m := h.open(t, entries())
	first, err := m.Get(t.Context(), "abc")
	if err != nil {
		t.Fatal(err)
	}
	for i := range first {
		first[i] = 'x'
	}
	if again, err := m.Get(t.Context(), "abc"); err != nil || string(again) != "bare id" {
		t.Errorf("after a change of what Get returned: %q, %v", again, err)
	}
}

func (h Harness) list(t *testing.T) {
	var want []string
	for key := range entries() {
		want = append(want, key)
	}
	slices.Sort(want)
	got, err := h.open(t, entries()).List(t.Context())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("List: %v, -want +got:\n%s", err, diff)
	}
	if got, err := h.open(t, nil).List(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("List of an empty map = %q, %v", got, err)
	}
}

func (h Harness) hostile(t *testing.T) {
	m := h.open(t, entries())
	for _, key := range hostile {
		if v, err := m.Get(t.Context(), key); err == nil {
			t.Errorf("Get(%.40q) found %d bytes", key, len(v))
		}
		if h.ReadOnly {
			continue
		}
		// A product may be able to hold such a key; then it must come back as it is.
		if err := m.Put(t.Context(), key, []byte("hostile")); err == nil {
			if v, err := m.Get(t.Context(), key); err != nil || string(v) != "hostile" {
				t.Errorf("Put(%.40q) succeeded, and Get gives %q, %v", key, v, err)
			}
		}
	}
	for key, want := range entries() {
		if got, err := m.Get(t.Context(), key); err != nil || !bytes.Equal(got, want) {
			t.Errorf("after hostile keys, Get(%q) = %d bytes, %v", key, len(got), err)
		}
	}
}

func (h Harness) context(t *testing.T) {
	m := h.open(t, entries())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Get(ctx, "abc"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v; want context.Canceled", err)
	}
	if _, err := m.List(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("List: %v; want context.Canceled", err)
	}
	if h.ReadOnly {
		return
	}
	if err := m.Put(ctx, "abc", []byte("changed")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v; want context.Canceled", err)
	}
	if v, err := m.Get(t.Context(), "abc"); err != nil || string(v) != "bare id" {
		t.Errorf("after a Put that was cancelled: %q, %v", v, err)
	}
}

func (h Harness) concurrentReads(t *testing.T) {
	m := h.open(t, entries())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for key, want := range entries() {
				if got, err := m.Get(t.Context(), key); err != nil || !bytes.Equal(got, want) {
					t.Errorf("Get(%q) = %d bytes, %v", key, len(got), err)
				}
			}
			if keys, err := m.List(t.Context()); err != nil || len(keys) != len(entries()) {
				t.Errorf("List = %d keys, %v", len(keys), err)
			}
		})
	}
	wg.Wait()
}

func (h Harness) refusesPut(t *testing.T) {
	m := h.open(t, entries())
	for _, key := range []string{"abc", "new"} {
		if err := m.Put(t.Context(), key, []byte("x")); !errors.Is(err, provider.ErrReadOnly) {
			t.Errorf("Put(%q): %v; want ErrReadOnly", key, err)
		}
	}
	if v, err := m.Get(t.Context(), "abc"); err != nil || string(v) != "bare id" {
		t.Errorf("after a Put that was refused: %q, %v", v, err)
	}
	if _, err := m.Get(t.Context(), "new"); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("after a Put that was refused: %v", err)
	}
}

func (h Harness) put(t *testing.T) {
	m := h.open(t, nil)
	for _, value := range [][]byte{[]byte("a rather long first value"), []byte("short"), {}, bytes.Repeat([]byte("v"), 300_000)} {
		if err := m.Put(t.Context(), "dataProviders/abc", value); err != nil {
			t.Fatal(err)
		}
		mine := slices.Clone(value)
		if len(value) > 0 {
			value[0]++ // the map must have its own copy
		}
		if got, err := m.Get(t.Context(), "dataProviders/abc"); err != nil || !bytes.Equal(got, mine) {
			t.Fatalf("Get = %d bytes, %v; want %d bytes", len(got), err, len(mine))
		}
	}
	if keys, err := m.List(t.Context()); err != nil || !slices.Equal(keys, []string{"dataProviders/abc"}) {
		t.Errorf("List = %q, %v", keys, err)
	}
}

// concurrentPuts writes values that tell their writer in every byte.
func (h Harness) concurrentPuts(t *testing.T) {
	m := h.open(t, nil)
	const writers, rounds, size = 4, 10, 40_000
	check := func(when string, v []byte) {
		if len(v) != size || bytes.Count(v, v[:1]) != size {
			t.Errorf("%s: %d bytes of several writers", when, len(v))
		}
	}
	if err := m.Put(t.Context(), "same", bytes.Repeat([]byte{'a'}, size)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range rounds {
				if err := m.Put(t.Context(), "same", bytes.Repeat([]byte{byte('a' + w)}, size)); err != nil {
					t.Errorf("Put: %v", err)
				}
				if err := m.Put(t.Context(), fmt.Sprint("own-", w), []byte("x")); err != nil {
					t.Errorf("Put: %v", err)
				}
				v, err := m.Get(t.Context(), "same")
				if err != nil {
					t.Errorf("Get: %v", err)
					continue
				}
				check("meanwhile", v)
			}
		})
	}
	wg.Wait()
	v, err := m.Get(t.Context(), "same")
	if err != nil {
		t.Fatal(err)
	}
	check("at the end", v)
	want := []string{"own-0", "own-1", "own-2", "own-3", "same"}
	if keys, err := m.List(t.Context()); err != nil || !slices.Equal(keys, want) {
		t.Errorf("List = %q, %v; want %q", keys, err, want)
	}
}
