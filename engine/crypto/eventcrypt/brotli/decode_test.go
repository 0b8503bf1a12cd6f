package brotli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
)

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// golden are streams that google/brotli has made.
var golden = []struct {
	name, dictionary string // a file, or the dictionary itself
	size             int
	digest           string
}{
	{"unit-abcde-0", "abcde", 15, "5be277335e8540278d80cf3b0a605537746624f46ba3fc1dd715aa45e6d2cb93"},
	{"unit-abcde-3", "abcde", 26, "177dc75a9ef430d375a318ebb4e17cef1735d1659484638d76ac735da9609020"},
	{"empty-default", "brotli-dictionary", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{"mix-2k-default", "brotli-dictionary", 2000, "08ffbce6652b14c4cf1e6e5753ffc9e124da34f1fe39482ef3969806aaf6c9e0"},
	{"mix-100k-default", "brotli-dictionary", 100000, "cc1b608b2de881ef9ceaf76227755822c6414ff29af66d0c7907251c29690ba5"},
	{"mix-3k-nodict", "", 3000, "1e7d14aa4c50e3e5a8b19ef3f35be5e8cdf9985148a25b443fa9182c4519be39"},
	{"window-5m-default", "brotli-dictionary", 5242880, "c86ea106fabfddd55856c395b6c32ad47a8af5b7f3ee9af399bbf4e8b8c67122"},
}

func dictionary(t testing.TB, name string) []byte {
	if name == "brotli-dictionary" {
		return readFile(t, name)
	}
	return []byte(name)
}

func TestStreamsOfTheReferenceAreDecoded(t *testing.T) {
	for _, tc := range golden {
		dict := dictionary(t, tc.dictionary)
		out, err := Decode([]byte("before"), readFile(t, tc.name+".br"), dict, tc.size)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		out, ok := bytes.CutPrefix(out, []byte("before"))
		digest := sha256.Sum256(out)
		if !ok || len(out) != tc.size || hex.EncodeToString(digest[:]) != tc.digest {
			t.Errorf("%s: %d bytes with digest %x", tc.name, len(out), digest)
		}
	}
}

func TestOutputIsBounded(t *testing.T) {
	for _, tc := range golden {
		for _, limit := range []int{0, tc.size / 2, tc.size - 1} {
			if limit < 0 || limit >= tc.size {
				continue
			}
			out, err := Decode([]byte("kept"), readFile(t, tc.name+".br"), dictionary(t, tc.dictionary), limit)
			if !errors.Is(err, ErrTooLong) || string(out) != "kept" {
				t.Errorf("%s with limit %d: %d bytes, %v", tc.name, limit, len(out), err)
			}
		}
	}
}

func TestTruncatedStreamsAreRefused(t *testing.T) {
	for _, tc := range golden {
		b := readFile(t, tc.name+".br")
		step := max(1, len(b)/300)
		if tc.size > 1<<20 {
			step = len(b) / 3
		}
		for n := 0; n < len(b); n += step {
			if _, err := Decode(nil, b[:n], dictionary(t, tc.dictionary), tc.size); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s cut to %d: %v", tc.name, n, err)
			}
		}
	}
}

func TestBytesAfterTheStreamAreRefused(t *testing.T) {
	for _, tc := range golden[:6] {
		b := append(readFile(t, tc.name+".br"), 0)
		if _, err := Decode(nil, b, dictionary(t, tc.dictionary), tc.size); !errors.Is(err, errTrailing) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestMissingDictionaryIsNotedOrGivesOtherData(t *testing.T) {
	for _, tc := range golden {
		out, err := Decode(nil, readFile(t, tc.name+".br"), nil, 2*tc.size)
		digest := sha256.Sum256(out)
		if same := hex.EncodeToString(digest[:]) == tc.digest; tc.dictionary != "" && tc.size > 0 && err == nil && same && tc.name != "unit-abcde-0" {
			t.Errorf("%s is decoded without its dictionary", tc.name)
		}
	}
}

func TestWordsAreThoseOfTheStandard(t *testing.T) {
	if len(words) != 122784 || crc32.ChecksumIEEE([]byte(words)) != 0x5136cb04 {
		t.Errorf("%d bytes with CRC %08x", len(words), crc32.ChecksumIEEE([]byte(words)))
	}
	if end := wordStart[maxWord] + maxWord<<wordBits[maxWord]; end != len(words) {
		t.Errorf("the words of %d bytes end at %d", maxWord, end)
	}
	if len(transforms) != 121 {
		t.Errorf("%d transforms", len(transforms))
	}
	// Every word under every transform, as google/brotli has them.
	h := sha256.New()
	for n := minWord; n <= maxWord; n++ {
		for id := range 1 << wordBits[n] {
			for x := range transforms {
				h.Write(append(transforms[x].append(nil, words[wordStart[n]+id*n:][:n]), 0))
			}
		}
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != "3aa91029746230bb3c6c88ef3fbc5b9e4264b49e352a06f4d3732d06e06dbf77" {
		t.Errorf("the transformed words have digest %s", got)
	}
}

func TestContextsAreThoseOfTheStandard(t *testing.T) {
	h := sha256.New()
	for _, mode := range contexts {
		h.Write(mode[:])
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != "0e4abc034ef46244934d117f15876cd477d0fb2ac94a023093338e72e37f7ad9" {
		t.Errorf("digest %s", got)
	}
}

func TestTransforms(t *testing.T) {
	for _, tc := range []struct {
		number     int
		word, want string
	}{
		{0, "time", "time"},
		{1, "time", "time "},
		{3, "time", "ime"},
		{4, "time", "Time "},
		{12, "time", "tim"},
		{44, "time", "TIME"},
		{64, "time", ""},
		{9, "\xc3\xa9t\xc3\xa9s", "\xc3\x89t\xc3\xa9s"},
		{44, "\xe2\x82\xac\xc3", "\xe2\x82\xa9\xc3"},
	} {
		if got := transforms[tc.number].append(nil, tc.word); string(got) != tc.want {
			t.Errorf("transform %d (%+v) of %q = %q, want %q", tc.number, transforms[tc.number], tc.word, got, tc.want)
		}
	}
}
