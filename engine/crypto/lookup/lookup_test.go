package lookup

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/schema/wire/joinkeypb"
	"github.com/panelmatch/panelmatch/schema/wire/membershippb"
)

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFingerprintGivesTheKnownAnswers(t *testing.T) {
	for _, tc := range []struct {
		item, pepper string
		want         uint64
	}{
		{"", "", 0x141cfc9842c4b0e3},
		{"some-join-key-0", "some-pepper", 0x82d6db365462b3e6},
		{"some-join-key-1", "some-pepper", 0x3e0f43c2fd2af6e8},
	} {
		if got := Fingerprint([]byte(tc.item), []byte(tc.pepper)); got != tc.want {
			t.Errorf("Fingerprint(%q, %q) = %#x, want %#x", tc.item, tc.pepper, got, tc.want)
		}
	}
}

func TestRecordedLookupKeyIsReproduced(t *testing.T) {
	var in joinkeypb.JoinKeyAndIdCollection
	var want membershippb.LookupKeyAndIdCollection
	if err := proto.Unmarshal(readFile(t, "mp-decrypted-join-keys.first"), &in); err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(readFile(t, "mp-lookup-keys.first"), &want); err != nil {
		t.Fatal(err)
	}
	got, err := NewHasher(readFile(t, "identifier-hash-pepper")).Key(in.GetJoinKeyAndIds()[0].GetJoinKey().GetKey())
	if err != nil {
		t.Fatal(err)
	}
	recorded := want.GetLookupKeyAndIds()[0].GetLookupKey().GetKey()
	if got != recorded || got != 5345509016576978452 {
		t.Errorf("got %d, recorded %d", got, recorded)
	}
	if wire := hex.EncodeToString(binary.LittleEndian.AppendUint64(nil, got)); wire != "14eeb7fc20102f4a" {
		t.Errorf("on the wire: %s", wire)
	}
	l, err := NewLayout(1, 10)
	if err != nil {
		t.Fatal(err)
	}
	if p := l.Place(got); p != (Place{Shard: 0, Bucket: 2}) {
		t.Errorf("it is at %+v", p)
	}
}

func TestManyKeysAreThoseOfSingleCalls(t *testing.T) {
	h := NewHasher([]byte("pepper"))
	var items [][]byte
	want := []uint64{7}
	for i := range 100 {
		items = append(items, fmt.Appendf(nil, "%0*d", i, i))
		want = append(want, Fingerprint(items[i], []byte("pepper")))
	}
	got, err := h.AppendKeys([]uint64{7}, items)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	dst := make([]uint64, 0, len(items))
	if n := testing.AllocsPerRun(10, func() { dst, _ = h.AppendKeys(dst[:0], items) }); n != 0 {
		t.Errorf("%v allocations for %d keys", n, len(items))
	}
}

func TestEmptyPepperIsRefused(t *testing.T) {
	h := NewHasher(nil)
	if _, err := h.Key([]byte("x")); !errors.Is(err, ErrPepper) {
		t.Errorf("Key: %v", err)
	}
	if _, err := h.AppendKeys(nil, nil); !errors.Is(err, ErrPepper) {
		t.Errorf("AppendKeys: %v", err)
	}
}

func TestHasherKeepsItsOwnPepper(t *testing.T) {
	pepper := []byte("pepper")
	h := NewHasher(pepper)
	clear(pepper)
	if got, err := h.Key([]byte("x")); err != nil || got != Fingerprint([]byte("x"), []byte("pepper")) {
		t.Errorf("got %#x, %v", got, err)
	}
}

func TestKeysArePlacedAsTheReferencePlacesThem(t *testing.T) {
	for _, tc := range []struct {
		shards, buckets int32
		key             uint64
		want            Place
	}{
		{7, 3, 9, Place{2, 1}},
		{7, 3, 1000, Place{6, 1}},
		{7, 3, 1 << 63, Place{1, 1}},
		{7, 3, math.MaxUint64, Place{1, 2}},
		{1, 10, 14218400207186147698, Place{0, 8}},
		{50, 1, 53, Place{3, 0}},
		{1, 1, math.MaxUint64, Place{0, 0}},
		{math.MaxInt32, math.MaxInt32 - 1, math.MaxUint64, Place{3, 12}},
	} {
		l, err := NewLayout(tc.shards, tc.buckets)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Place(tc.key); got != tc.want {
			t.Errorf("%d shards of %d: key %d is at %+v, want %+v", tc.shards, tc.buckets, tc.key, got, tc.want)
		}
		if got := l.PaddingBucket(); got != tc.buckets {
			t.Errorf("padding bucket %d, want %d", got, tc.buckets)
		}
	}
}

func TestImpossibleLayoutsAreRefused(t *testing.T) {
	for _, tc := range [][2]int32{{0, 1}, {1, 0}, {-1, 1}, {1, -1}, {1, math.MaxInt32}, {math.MinInt32, 1}} {
		if l, err := NewLayout(tc[0], tc[1]); err == nil {
			t.Errorf("%d shards of %d buckets: %+v", tc[0], tc[1], l)
		}
	}
	if p := (Layout{}).Place(5); p != (Place{}) {
		t.Errorf("the zero layout places 5 at %+v", p)
	}
}

func BenchmarkAppendKeys(b *testing.B) {
	h := NewHasher(make([]byte, 32))
	items := make([][]byte, 1000)
	for i := range items {
		items[i] = make([]byte, 33)
	}
	dst := make([]uint64, 0, len(items))
	for b.Loop() {
		var err error
		if dst, err = h.AppendKeys(dst[:0], items); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(items))/b.Elapsed().Seconds(), "keys/s")
}
