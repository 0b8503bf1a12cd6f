package siv

import (
	"bytes"
	"compress/gzip"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/tink-crypto/tink-go/v2/daead/subtle"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	recordedJoinKey = "03eb08beb6c41c8d0735a9dd7fe092dc078c1aae2bcf3ac936eb6c41525591c370"
	unitKey         = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" +
		"00112233445566778899aabbccddeefff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
)

func TestKeysAreDerivedAsKnown(t *testing.T) {
	for _, tc := range []struct {
		material, salt []byte
		want           string
	}{
		{unhex(t, recordedJoinKey), readFile(t, "hkdf-pepper"), "54b812400185be42834151ebe299f8cdebf70f1393757b1a5e84e8a093cf17fd" +
			"c969aa1218da7765c32f6a295482238aa289d06fae0549ca9ca5e3d13a2ee810"},
		{[]byte("key"), []byte("test-salt"), "079bd58499cff5b45a55bf55c913d5045fd6e66c9dbc1fb5d48b7717c71e3083" +
			"abc71a661d8fa6a43362bb2f9e8ed2f9929833d85621b2023ce8346652aaf99a"},
	} {
		got, err := Derive(tc.material, tc.salt, KeySize)
		if err != nil || hex.EncodeToString(got) != tc.want {
			t.Errorf("got %x, %v; want %s", got, err, tc.want)
		}
	}
}

func TestRecordedEventIsOpenedAndSealed(t *testing.T) {
	c, err := New(unhex(t, recordedJoinKey), readFile(t, "hkdf-pepper"))
	if err != nil {
		t.Fatal(err)
	}
	sealed := unhex(t, "9eed0db0b9c5203afe39cff76839e6d943dd3fd599a9a988ecf67a40e13cf98b"+
		"1d71e03cbd5b68f265087f0a459b68fe64bddb8806d63a49e9bc02468f")
	plain := unhex(t, "1b3300f88dd45a0d361783725b5fea17b6d8062aa8e28b6d81514a7c14298cbdaca36c38439fa579d9bd705300")
	if got, err := c.Open(nil, sealed); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("opened: %x, %v", got, err)
	}
	if got := c.Seal([]byte("before"), plain); !bytes.Equal(got, append([]byte("before"), sealed...)) {
		t.Errorf("sealed: %x", got)
	}
}

func TestSealGivesTheKnownAnswers(t *testing.T) {
	fromKey, err := NewFromKey(unhex(t, unitKey))
	if err != nil {
		t.Fatal(err)
	}
	derived, err := New([]byte("key"), []byte("test-salt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		c           *Cipher
		plain, want string
	}{
		{fromKey, "Some data to encrypt.", "5d6434f1679868dd87241b121570c98250c71f05834dcc62e06b074ba03e08e5009eef5506"},
		{fromKey, "", "6ff5b8ef53fc365606cd3ea047374885"},
		{fromKey, "123456789012345", "7137a6e1adfc819e03b5851ba07dbb6d938824cc87311ed8c833a4214ce14b"},
		{derived, "Some data to encrypt.", "bd60b081bc06c7dd76dc9e0ce2c7452c8f168106c7308ae5ed34e0ac695a7e41a02eedce80"},
	} {
		if got := tc.c.Seal(nil, []byte(tc.plain)); hex.EncodeToString(got) != tc.want {
			t.Errorf("%q: got %x, want %s", tc.plain, got, tc.want)
		}
	}
}

func TestWycheproof(t *testing.T) {
	z, err := gzip.NewReader(bytes.NewReader(readFile(t, "wycheproof.json.gz")))
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		SIV []struct {
			ID                        int `json:"tcId"`
			Key, AAD, Msg, CT, Result string
		}
		HKDF []struct {
			ID                     int `json:"tcId"`
			IKM, Salt, OKM, Result string
			Size                   int
		}
	}
	if err := json.NewDecoder(z).Decode(&vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.SIV) < 100 || len(vectors.HKDF) < 5 {
		t.Fatalf("only %d and %d vectors", len(vectors.SIV), len(vectors.HKDF))
	}
	for _, v := range vectors.SIV {
		c, err := newCipher(unhex(t, v.Key), unhex(t, v.AAD))
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Open(nil, unhex(t, v.CT))
		if v.Result == "invalid" {
			if !errors.Is(err, ErrOpen) {
				t.Errorf("case %d: opened as %x, %v", v.ID, got, err)
			}
			continue
		}
		if err != nil || hex.EncodeToString(got) != v.Msg {
			t.Errorf("case %d: opened as %x, %v", v.ID, got, err)
		}
		if sealed := c.Seal(nil, unhex(t, v.Msg)); hex.EncodeToString(sealed) != v.CT {
			t.Errorf("case %d: sealed as %x", v.ID, sealed)
		}
	}
	for _, v := range vectors.HKDF {
		if len(v.IKM) == 0 {
			continue
		}
		got, err := Derive(unhex(t, v.IKM), unhex(t, v.Salt), v.Size)
		if v.Result == "valid" && (err != nil || hex.EncodeToString(got) != v.OKM) {
			t.Errorf("HKDF case %d: got %x, %v", v.ID, got, err)
		}
	}
}

// Tink's implementation is the other opinion, at every length at which something changes.
func TestSealEqualsTinkAtEveryLength(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 600 {
		key, plain := randomBytes(rng, KeySize), randomBytes(rng, n)
		c, err := NewFromKey(key)
		if err != nil {
			t.Fatal(err)
		}
		tink, err := subtle.NewAESSIV(key)
		if err != nil {
			t.Fatal(err)
		}
		want, err := tink.EncryptDeterministically(plain, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := c.Seal(nil, plain)
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: got %x, tink %x", n, got, want)
		}
		if back, err := c.Open(nil, got); err != nil || !bytes.Equal(back, plain) {
			t.Fatalf("%d bytes come back as %x, %v", n, back, err)
		}
	}
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func TestChangedOrForeignCiphertextsAreNotOpened(t *testing.T) {
	c, err := New([]byte("key"), []byte("pepper"))
	if err != nil {
		t.Fatal(err)
	}
	sealed := c.Seal(nil, []byte("seventeen bytes !"))
	for i := range sealed {
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1 << bit
			if out, err := c.Open([]byte("kept"), changed); !errors.Is(err, ErrOpen) || string(out) != "kept" {
				t.Errorf("byte %d bit %d: %q, %v", i, bit, out, err)
			}
		}
	}
	for n := range sealed {
		if _, err := c.Open(nil, sealed[:n]); !errors.Is(err, ErrOpen) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	for _, other := range [][2]string{{"kez", "pepper"}, {"key", "pepqer"}} {
		o, err := New([]byte(other[0]), []byte(other[1]))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Open(nil, sealed); !errors.Is(err, ErrOpen) {
			t.Errorf("%q opens it: %v", other, err)
		}
	}
}

func TestDerivationEqualsTheStandardLibrarysAtEveryLength(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := 1; n <= 200; n++ {
		material, salt := randomBytes(rng, n), randomBytes(rng, rng.IntN(150))
		size := 1 + rng.IntN(maxDerived)
		want, err := hkdf.Key(sha256.New, material, salt, "", size)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Derive(material, salt, size); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes of material: got %x, %v; want %x", n, got, err, want)
		}
	}
}

func TestEmptyOrMissizedKeysAreRefused(t *testing.T) {
	if _, err := New(nil, []byte("pepper")); err == nil {
		t.Error("empty join key")
	}
	if _, err := New([]byte("key"), nil); err == nil {
		t.Error("empty pepper")
	}
	for _, n := range []int{0, 32, 63, 65} {
		if _, err := NewFromKey(make([]byte, n)); err == nil {
			t.Errorf("key of %d bytes", n)
		}
	}
	for _, n := range []int{-1, 0, 1025} {
		if _, err := Derive([]byte("key"), nil, n); err == nil {
			t.Errorf("%d derived bytes", n)
		}
	}
	if _, err := Derive(nil, []byte("salt"), 64); err == nil {
		t.Error("empty key material")
	}
}

func TestCipherIsNotPrinted(t *testing.T) {
	c, err := New([]byte("key"), []byte("pepper"))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%d"} {
		if s := fmt.Sprintf(verb, c); s != "[redacted]" {
			t.Errorf("%s prints %q", verb, s)
		}
	}
}

func FuzzOpen(f *testing.F) {
	c, err := NewFromKey(unhex(f, unitKey))
	if err != nil {
		f.Fatal(err)
	}
	tink, err := subtle.NewAESSIV(unhex(f, unitKey))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add(c.Seal(nil, []byte("some event")))
	f.Add(make([]byte, 300))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := c.Open(nil, in)
		want, wantErr := tink.DecryptDeterministically(in, nil)
		if (err == nil) != (wantErr == nil) || !bytes.Equal(got, want) {
			t.Fatalf("%x: %x, %v; tink %x, %v", in, got, err, want, wantErr)
		}
		sealed := c.Seal(nil, in)
		if back, err := c.Open(nil, sealed); err != nil || !bytes.Equal(back, in) {
			t.Fatalf("%x does not come back: %x, %v", in, back, err)
		}
	})
}

func BenchmarkSIV(b *testing.B) {
	joinKey, pepper := make([]byte, 33), make([]byte, 32)
	for _, n := range []int{64, 256, 2000} {
		c, err := New(joinKey, pepper)
		if err != nil {
			b.Fatal(err)
		}
		plain := make([]byte, n)
		sealed := c.Seal(nil, plain)
		dst := make([]byte, 0, n+Overhead)
		b.Run(fmt.Sprintf("derive+seal/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c, err := New(joinKey, pepper)
				if err != nil {
					b.Fatal(err)
				}
				dst = c.Seal(dst[:0], plain)
			}
		})
		b.Run(fmt.Sprintf("open/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Open(dst[:0], sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("tink open/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			tink, err := subtle.NewAESSIV(make([]byte, KeySize))
			if err != nil {
				b.Fatal(err)
			}
			sealed, err := tink.EncryptDeterministically(plain, nil)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := tink.DecryptDeterministically(sealed, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
