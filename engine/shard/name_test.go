package shard_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/shard"
	"github.com/panelmatch/panelmatch/providers/storage/mem"
)

func TestManifestsAreParsed(t *testing.T) {
	for text, want := range map[string]shard.Name{
		"x-*-of-1":                           {Base: "x", Count: 1},
		"x-?-of-1":                           {Base: "x", Count: 1},
		"x-??-of-10":                         {Base: "x", Count: 10},
		"x-*-of-0":                           {Base: "x", Count: 0},
		"x-*-of-0010":                        {Base: "x", Count: 10},
		"x-????-of-0010":                     {Base: "x", Count: 10},
		"x-??-of-0010":                       {Base: "x", Count: 10},
		" \tx-*-of-3\r\n":                    {Base: "x", Count: 3},
		"a_B.9-c-*-of-1000":                  {Base: "a_B.9-c", Count: 1000},
		"a-*-of-3-of-2":                      {},
		"a-of-3-*-of-2":                      {Base: "a-of-3", Count: 2},
		"--*-of-2":                           {Base: "-", Count: 2},
		"..-*-of-2":                          {Base: "..", Count: 2},
		"x-*-of-1048576":                     {Base: "x", Count: 1 << 20},
		"":                                   {},
		"x":                                  {},
		"x-*-of-":                            {},
		"x-*-of--1":                          {},
		"x-*-of-+1":                          {},
		"x-*-of-1x":                          {},
		"x-*-of-1048577":                     {},
		"x-*-of-99999999999999":              {},
		"x-?-of-10":                          {},
		"x-???-of-10":                        {},
		"x--of-10":                           {},
		"x-**-of-10":                         {},
		"x-*?-of-10":                         {},
		"-*-of-10":                           {},
		"*-of-10":                            {},
		"a/b-*-of-10":                        {},
		"../b-*-of-10":                       {},
		"a b-*-of-10":                        {},
		"ä-*-of-10":                          {},
		"x-*-of-1\ny-*-of-2":                 {},
		"x-3-of-10":                          {},
		strings.Repeat("x", 201) + "-*-of-1": {},
	} {
		got, err := shard.Parse(text)
		if got != want || (err == nil) != (want != shard.Name{}) {
			t.Errorf("%.40q = %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestOnlyTheStrictFormIsExported(t *testing.T) {
	for text, want := range map[string]string{
		"x-*-of-3":   "",
		"x-*-of-3\n": "can't be exported",
		" x-*-of-3":  "can't be exported",
		"x-?-of-3":   "can't be exported",
		"x-*-of-03":  "can't be exported",
		"x-*-of-0":   "no shards",
		"x":          "not a sharded name",
	} {
		n, err := shard.ParseStrict(text)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q = %v, %v; want %q", text, n, err, want)
		}
	}
}

func TestShardNumbersHaveTheDigitsOfTheCount(t *testing.T) {
	for _, c := range []struct {
		n    shard.Name
		i    int
		want string
	}{
		{shard.Name{Base: "x", Count: 1}, 0, "x-0-of-1"},
		{shard.Name{Base: "x", Count: 9}, 8, "x-8-of-9"},
		{shard.Name{Base: "x", Count: 10}, 0, "x-00-of-10"},
		{shard.Name{Base: "x", Count: 10}, 9, "x-09-of-10"},
		{shard.Name{Base: "x", Count: 1000}, 999, "x-0999-of-1000"},
	} {
		if got := c.n.Shard(c.i); got != c.want {
			t.Errorf("%q; want %q", got, c.want)
		}
	}
	var all []string
	for i, key := range (shard.Name{Base: "x", Count: 3}).Shards() {
		all = append(all, fmt.Sprint(i, " ", key))
	}
	if !slices.Equal(all, []string{"0 x-0-of-3", "1 x-1-of-3", "2 x-2-of-3"}) {
		t.Errorf("%q", all)
	}
	for _, count := range []int{-1, 0, shard.MaxCount + 1} {
		if n, err := shard.NewName("x", count); err == nil {
			t.Errorf("%v", n)
		}
	}
	for _, base := range []string{"", "a/b", "a b", strings.Repeat("x", 201)} {
		if n, err := shard.NewName(base, 1); err == nil {
			t.Errorf("%v", n)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"x-*-of-10", "x-??-of-10", "a-*-of-3-of-2", "x-*-of-0010\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := shard.Parse(text)
		if err != nil {
			return
		}
		if again, err := shard.Parse(n.String()); err != nil || again != n {
			t.Fatalf("%q became %q became %+v, %v", text, n, again, err)
		}
		if n.Count > 0 {
			if _, err := shard.ParseStrict(n.String()); err != nil {
				t.Fatal(err)
			}
			for _, i := range []int{0, n.Count - 1} {
				if err := blob.CheckLabel(n.Shard(i)); err != nil {
					t.Fatal(err)
				}
				if len(n.Shard(i)) != len(n.Shard(0)) {
					t.Fatal("shards have names of different lengths")
				}
			}
		}
	})
}

func newStore(t *testing.T) *blob.Store {
	t.Helper()
	bucket := mem.New()
	t.Cleanup(func() { bucket.Close() })
	s, err := blob.NewStore(bucket, blob.Options{})
	must(t, err)
	return s
}

func write(t *testing.T, s *blob.Store, n shard.Name, i int, f shard.Format, records ...string) {
	t.Helper()
	w, err := shard.Create(t.Context(), s, n, i, f)
	must(t, err)
	defer w.Abort()
	for _, r := range records {
		must(t, w.Write([]byte(r)))
	}
	must(t, w.Close())
}

func TestShardsAreWrittenAndReadInAStore(t *testing.T) {
	s := newStore(t)
	n, err := shard.NewName("events", 3)
	must(t, err)
	write(t, s, n, 0, shard.Delimited, "a", "b")
	write(t, s, n, 1, shard.Delimited)
	write(t, s, n, 2, shard.RecordIO, "c")
	must(t, shard.WriteManifest(t.Context(), s, "events", n))
	if b, err := s.GetBytes(t.Context(), "events", 100); err != nil || string(b) != "events-*-of-3" {
		t.Errorf("manifest %q, %v", b, err)
	}
	if info, err := s.Stat(t.Context(), "events-1-of-3"); err != nil || info.Size != 0 {
		t.Errorf("empty shard: %+v, %v", info, err)
	}
	got, err := shard.ReadManifest(t.Context(), s, "events")
	if err != nil || got != n {
		t.Fatalf("%v, %v", got, err)
	}
	must(t, shard.Check(t.Context(), s, got))
	var records []string
	for r, err := range shard.Records(t.Context(), s, got, shard.Options{}) {
		must(t, err)
		records = append(records, string(r))
	}
	if !slices.Equal(records, []string{"a", "b", "c"}) {
		t.Errorf("%q", records)
	}
	for range shard.Records(t.Context(), s, got, shard.Options{}) {
		break // who stops early gets no panic
	}
}

func TestAMissingShardIsAnErrorThatNamesIt(t *testing.T) {
	s := newStore(t)
	n := shard.Name{Base: "x", Count: 10}
	for i := range n.Count {
		if i != 4 && i != 7 {
			write(t, s, n, i, shard.Delimited, "r")
		}
	}
	if _, err := shard.Open(t.Context(), s, n, 4, shard.Options{}); !errors.Is(err, provider.ErrNotFound) || !strings.Contains(err.Error(), "x-04-of-10") {
		t.Errorf("Open: %v", err)
	}
	if err := shard.Check(t.Context(), s, n); !errors.Is(err, provider.ErrNotFound) || !strings.Contains(err.Error(), "2 of 10 shards of x-*-of-10, the first of them x-04-of-10") {
		t.Errorf("Check: %v", err)
	}
	count, failed := 0, error(nil)
	for _, err := range shard.Records(t.Context(), s, n, shard.Options{}) {
		if err != nil {
			failed = err
			continue
		}
		count++
	}
	if count != 4 || !errors.Is(failed, provider.ErrNotFound) {
		t.Errorf("%d records, %v", count, failed)
	}
	for _, i := range []int{-1, 10} {
		if _, err := shard.Open(t.Context(), s, n, i, shard.Options{}); err == nil {
			t.Errorf("shard %d is opened", i)
		}
		if _, err := shard.Create(t.Context(), s, n, i, shard.Delimited); err == nil {
			t.Errorf("shard %d is created", i)
		}
	}
	if _, err := shard.Create(t.Context(), s, n, 0, shard.Detect); err == nil {
		t.Error("a shard without format is created")
	}
}

func TestADamagedShardIsAnErrorThatNamesIt(t *testing.T) {
	s := newStore(t)
	n := shard.Name{Base: "x", Count: 2}
	write(t, s, n, 0, shard.Delimited, "r")
	must(t, s.PutBytes(t.Context(), n.Shard(1), []byte("\x05hell")))
	var failed error
	for _, err := range shard.Records(t.Context(), s, n, shard.Options{}) {
		failed = err
	}
	if !errors.Is(failed, shard.ErrMalformed) || !strings.Contains(failed.Error(), "x-1-of-2") || strings.Contains(failed.Error(), "hell") {
		t.Errorf("%v", failed)
	}
	must(t, s.PutBytes(t.Context(), "m", []byte("no manifest")))
	if _, err := shard.ReadManifest(t.Context(), s, "m"); err == nil || !strings.Contains(err.Error(), `"m"`) {
		t.Errorf("ReadManifest: %v", err)
	}
	must(t, s.PutBytes(t.Context(), "big", make([]byte, shard.MaxManifest+1)))
	if _, err := shard.ReadManifest(t.Context(), s, "big"); !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("ReadManifest: %v", err)
	}
}

func TestAnAbortedShardLeavesNothing(t *testing.T) {
	s := newStore(t)
	n := shard.Name{Base: "x", Count: 1}
	w, err := shard.Create(t.Context(), s, n, 0, shard.Delimited)
	must(t, err)
	must(t, w.Write(make([]byte, 1<<20)))
	w.Abort()
	if ok, err := s.Exists(t.Context(), n.Shard(0)); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}
