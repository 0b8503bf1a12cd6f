package secretmap_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/secretmap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, bucket provider.Storage, opts secretmap.Options) *secretmap.Blobs {
	t.Helper()
	m, err := secretmap.New(bucket, opts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func memory(t *testing.T) provider.Storage {
	t.Helper()
	b := memblob.OpenBucket(nil)
	t.Cleanup(func() { b.Close() })
	return b
}

func TestKeysAreUsedVerbatimBelowThePrefix(t *testing.T) {
	dir := t.TempDir()
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	ctx := context.Background()
	m := open(t, bucket, secretmap.Options{Prefix: "private-keys"})
	key := "recurringExchanges/rx1/exchanges/2026-01-31"
	if err := m.Put(ctx, key, []byte("sealed")); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "private-keys", filepath.FromSlash(key)))
	if err != nil || string(got) != "sealed" {
		t.Fatalf("file has %q, %v", got, err)
	}
	keys, err := m.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{key}, keys); diff != "" {
		t.Error(diff)
	}
}

func TestNeighboursBelowOtherPrefixesAreInvisible(t *testing.T) {
	ctx := context.Background()
	bucket := memory(t)
	a := open(t, bucket, secretmap.Options{Prefix: "maps/a"})
	b := open(t, bucket, secretmap.Options{Prefix: "maps/ab"})
	if err := b.Put(ctx, "k", []byte("theirs")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Get(ctx, "k"); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("Get of the neighbour's key: %v; want not found", err)
	}
	keys, err := a.List(ctx)
	if err != nil || len(keys) != 0 {
		t.Errorf("List: %q, %v; want nothing", keys, err)
	}
}

func TestPutOverwritesAndValuesAreCopies(t *testing.T) {
	ctx := context.Background()
	m := open(t, memory(t), secretmap.Options{})
	value := []byte("first")
	for _, v := range []string{"first", "second"} {
		copy(value, v)
		if err := m.Put(ctx, "dataProviders/abc", []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := m.Get(ctx, "dataProviders/abc")
	if err != nil || string(got) != "second" {
		t.Fatalf("Get: %q, %v", got, err)
	}
	got[0] = 'X'
	if again, _ := m.Get(ctx, "dataProviders/abc"); string(again) != "second" {
		t.Errorf("a change of the result reached the map: %q", again)
	}
}

func TestKeysThatCouldLeaveThePlaceAreRefused(t *testing.T) {
	ctx := context.Background()
	m := open(t, memory(t), secretmap.Options{Prefix: "p"})
	for _, key := range []string{"", ".", "..", "../x", "a/../../x", "/x", "x/", "a//b", "a\x00b", "a\\b", strings.Repeat("k", 2000)} {
		if err := m.Put(ctx, key, []byte("v")); !errors.Is(err, provider.ErrRejected) {
			t.Errorf("Put(%.20q): %v; want rejected", key, err)
		}
		if _, err := m.Get(ctx, key); !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("Get(%.20q): %v; want not found", key, err)
		}
	}
}

func TestValuesAreBounded(t *testing.T) {
	ctx := context.Background()
	bucket := memory(t)
	small := open(t, bucket, secretmap.Options{MaxValue: 4})
	if err := small.Put(ctx, "k", []byte("12345")); !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("Put of 5 bytes where 4 are allowed: %v", err)
	}
	if err := small.Put(ctx, "k", []byte("1234")); err != nil {
		t.Errorf("Put of 4 bytes where 4 are allowed: %v", err)
	}
	if err := open(t, bucket, secretmap.Options{}).Put(ctx, "k", []byte("12345")); err != nil {
		t.Fatal(err)
	}
	if _, err := small.Get(ctx, "k"); !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("Get of 5 bytes where 4 are allowed: %v", err)
	}
}

func TestListLeavesOutWhatIsStillBeingWritten(t *testing.T) {
	ctx := context.Background()
	m := open(t, memory(t), secretmap.Options{Prefix: "p"})
	for _, key := range []string{"b", "a/c", "a", "b.1234567890.tmp", "notes.tmp"} {
		if err := m.Put(ctx, key, nil); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := m.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "a/c", "b", "notes.tmp"}, keys); diff != "" {
		t.Error(diff)
	}
}

func TestAMapNeedsABucketAndAGoodPrefix(t *testing.T) {
	if _, err := secretmap.New(nil, secretmap.Options{}); err == nil {
		t.Error("no bucket: no error")
	}
	if _, err := secretmap.New(memory(t), secretmap.Options{Prefix: "../x"}); err == nil {
		t.Error("prefix ../x: no error")
	}
}
