package brotli

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Streams of google/brotli at every quality, with large windows and without, and changed ones that its
// decoder refuses.
func TestStreamsOfEveryQualityAreDecodedAndChangedOnesRefused(t *testing.T) {
	z, err := gzip.NewReader(bytes.NewReader(readFile(t, "streams.json.gz")))
	if err != nil {
		t.Fatal(err)
	}
	var streams []struct {
		Dict, Stream, Digest string
		Size                 int
		Bad                  []string
	}
	if err := json.NewDecoder(z).Decode(&streams); err != nil {
		t.Fatal(err)
	}
	if len(streams) < 90 {
		t.Fatalf("only %d streams", len(streams))
	}
	for i, s := range streams {
		out, err := Decode(nil, unhex(t, s.Stream), unhex(t, s.Dict), s.Size)
		digest := sha256.Sum256(out)
		if err != nil || len(out) != s.Size || hex.EncodeToString(digest[:]) != s.Digest {
			t.Errorf("stream %d: %d bytes, %v", i, len(out), err)
		}
		for j, bad := range s.Bad {
			if out, err := Decode(nil, unhex(t, bad), unhex(t, s.Dict), 1<<20); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooLong) {
				t.Errorf("stream %d, change %d: %d bytes, %v", i, j, len(out), err)
			}
		}
	}
}

// mixture returns n bytes: parts of the dictionary, random bytes, runs, and parts of itself.
func mixture(rng *rand.Rand, dict []byte, n int) []byte {
	var out []byte
	for len(out) < n {
		switch k := 1 + rng.IntN(40); {
		case rng.IntN(4) == 0 && len(dict) > 0:
			i := rng.IntN(len(dict))
			out = append(out, dict[i:min(i+k, len(dict))]...)
		case rng.IntN(3) == 0 && len(out) > 0:
			for i := rng.IntN(len(out)); k > 0; i, k = i+1, k-1 {
				out = append(out, out[i])
			}
		case rng.IntN(2) == 0:
			out = append(out, bytes.Repeat([]byte{byte(rng.Uint32())}, k)...)
		default:
			for range k {
				out = append(out, byte(rng.Uint32()))
			}
		}
	}
	return out[:n]
}

func checkRoundTrip(t *testing.T, e *Encoder, dict, src []byte) []byte {
	t.Helper()
	out := e.Encode([]byte("before"), src)
	stream, ok := bytes.CutPrefix(out, []byte("before"))
	if !ok || len(stream) > storedSize(len(src)) {
		t.Fatalf("%d bytes become %d", len(src), len(stream))
	}
	back, err := Decode(nil, stream, dict, len(src))
	if err != nil || !bytes.Equal(back, src) {
		t.Fatalf("%d bytes with a dictionary of %d: %v, equal: %v", len(src), len(dict), err, bytes.Equal(back, src))
	}
	return stream
}

func TestDataOfEverySizeRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, dict := range [][]byte{nil, []byte("abc"), []byte("abcde"), readFile(t, "brotli-dictionary")} {
		e := NewEncoder(dict)
		for n := range 300 {
			checkRoundTrip(t, e, dict, mixture(rng, dict, n))
		}
		for _, n := range []int{blockSize - 1, blockSize, blockSize + 1, 3*blockSize + 17} {
			checkRoundTrip(t, e, dict, mixture(rng, dict, n))
		}
		checkRoundTrip(t, e, dict, bytes.Clone(dict))
		checkRoundTrip(t, e, dict, slices.Concat(dict, dict, dict))
	}
}

// Past the window's end the dictionary is out of reach, and so is what is further back.
func TestDataLongerThanTheWindowRoundTrip(t *testing.T) {
	dict := readFile(t, "brotli-dictionary")
	src := bytes.Repeat([]byte{7}, window+100_000)
	for _, at := range []int{0, 1 << 20, window - 8000, window - 1, window + 20_000, window + 60_000} {
		copy(src[at:], dict)
	}
	checkRoundTrip(t, NewEncoder(dict), dict, src)
}

func TestRandomDataAreStored(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	e := NewEncoder(nil)
	for _, n := range []int{0, 1, 100, 1 << 16, 1<<16 + 1, 1<<20 + 1} {
		src := make([]byte, n)
		for i := range src {
			src[i] = byte(rng.Uint32())
		}
		if got := checkRoundTrip(t, e, nil, src); n > 0 && len(got) != storedSize(n) {
			t.Errorf("%d random bytes become %d, want %d", n, len(got), storedSize(n))
		}
	}
	if got := appendStored(nil, nil); len(got) != storedSize(0) {
		t.Errorf("nothing becomes %x", got)
	}
}

// If a stream referred to built-in words, reading it with another dictionary of another size would give
// other words.
func TestStreamsReferToNoBuiltInWords(t *testing.T) {
	src := bytes.Repeat([]byte("the information that is of the http://www. international development "), 3)
	stream := NewEncoder(nil).Encode(nil, src)
	for _, dict := range [][]byte{nil, []byte("x"), readFile(t, "brotli-dictionary")} {
		if out, err := Decode(nil, stream, dict, len(src)); err != nil || !bytes.Equal(out, src) {
			t.Errorf("with a dictionary of %d bytes: %q, %v", len(dict), out, err)
		}
	}
}

func TestDictionaryIsUsed(t *testing.T) {
	dict := readFile(t, "brotli-dictionary")
	src := slices.Concat(dict[1000:1100], dict[5000:5200], dict[300:450])
	with, without := checkRoundTrip(t, NewEncoder(dict), dict, src), checkRoundTrip(t, NewEncoder(nil), nil, src)
	if 4*len(with) > len(without) || len(with) > 50 {
		t.Errorf("%d bytes with it, %d without", len(with), len(without))
	}
}

// How much is lost against google/brotli at quality 11, on its own samples.
func TestCompressionIsNotFarFromTheReferences(t *testing.T) {
	for _, name := range []string{"mix-2k-default", "mix-3k-nodict", "mix-100k-default"} {
		for _, tc := range golden {
			if tc.name != name {
				continue
			}
			dict, theirs := dictionary(t, tc.dictionary), readFile(t, tc.name+".br")
			src, err := Decode(nil, theirs, dict, tc.size)
			if err != nil {
				t.Fatal(err)
			}
			if ours := checkRoundTrip(t, NewEncoder(dict), dict, src); 2*len(ours) > 3*len(theirs) {
				t.Errorf("%s: %d bytes, google/brotli %d", name, len(ours), len(theirs))
			} else {
				t.Logf("%s: %d bytes, google/brotli %d", name, len(ours), len(theirs))
			}
		}
	}
}

func TestOneEncoderServesManyGoroutines(t *testing.T) {
	dict := readFile(t, "brotli-dictionary")
	e := NewEncoder(dict)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(5, uint64(g)))
			for range 50 {
				src := mixture(rng, dict, rng.IntN(2000))
				first, again := e.Encode(nil, src), e.Encode(nil, src)
				if out, err := Decode(nil, first, dict, len(src)); err != nil || !bytes.Equal(out, src) || !bytes.Equal(first, again) {
					t.Errorf("%d bytes: %v", len(src), err)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzDecode(f *testing.F) {
	for _, tc := range golden[:6] {
		f.Add(readFile(f, tc.name+".br"), dictionary(f, tc.dictionary))
	}
	const limit = 1 << 20
	f.Fuzz(func(t *testing.T, stream, dict []byte) {
		out, err := Decode([]byte("kept"), stream, dict, limit)
		if len(out) > limit+4 || !bytes.HasPrefix(out, []byte("kept")) || err != nil && len(out) != 4 {
			t.Fatalf("%d bytes, %v", len(out), err)
		}
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooLong) {
			t.Fatal(err)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add([]byte("abcdeabcdeabcde"), []byte("abcde"))
	f.Fuzz(func(t *testing.T, src, dict []byte) {
		checkRoundTrip(t, NewEncoder(dict), dict, src)
	})
}

func BenchmarkEncode(b *testing.B) {
	dict := readFile(b, "brotli-dictionary")
	e := NewEncoder(dict)
	for _, n := range []int{64, 256, 2000} {
		src := mixture(rand.New(rand.NewPCG(6, 7)), dict, n)
		var dst []byte
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				dst = e.Encode(dst[:0], src)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	dict := readFile(b, "brotli-dictionary")
	for _, n := range []int{64, 256, 2000} {
		stream := NewEncoder(dict).Encode(nil, mixture(rand.New(rand.NewPCG(6, 7)), dict, n))
		dst := make([]byte, 0, n)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				if _, err := Decode(dst[:0], stream, dict, n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
