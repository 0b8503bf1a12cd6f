package hybrid

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"google.golang.org/protobuf/proto"
)

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newPair(t testing.TB) (private, public []byte) {
	t.Helper()
	private, public, err := GenerateKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

func TestRecordedPepperIsDecrypted(t *testing.T) {
	got, err := Decrypt(readFile(t, "mp-blob-encryption-private-key"), readFile(t, "mp-encrypted-hkdf-pepper"))
	if err != nil || !bytes.Equal(got, readFile(t, "hkdf-pepper")) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestRecordedPublicKeyEncryptsForTheRecordedPrivateKey(t *testing.T) {
	pepper := readFile(t, "hkdf-pepper")
	sealed, err := Encrypt(readFile(t, "mp-blob-encryption-public-key"), pepper)
	if err != nil {
		t.Fatal(err)
	}
	if want := len(readFile(t, "mp-encrypted-hkdf-pepper")); len(sealed) != want || want != 130 {
		t.Errorf("%d bytes, the recorded one has %d", len(sealed), want)
	}
	got, err := Decrypt(readFile(t, "mp-blob-encryption-private-key"), sealed)
	if err != nil || !bytes.Equal(got, pepper) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestGeneratedPairsRoundTrip(t *testing.T) {
	private, public := newPair(t)
	for _, plain := range [][]byte{{}, []byte("pepper"), make([]byte, 100_000)} {
		sealed, err := Encrypt(public, plain)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decrypt(private, sealed)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes come back as %d, %v", len(plain), len(got), err)
		}
		again, err := Encrypt(public, plain)
		if err != nil || bytes.Equal(again, sealed) {
			t.Errorf("two encryptions are equal, or %v", err)
		}
	}
}

// The generated keyset has the form of the recorded one: type URL, parameters, prefix and length of
// everything that is not random.
func TestGeneratedKeysetsHaveTheRecordedForm(t *testing.T) {
	private, public := newPair(t)
	for _, tc := range []struct {
		file string
		blob []byte
	}{{"mp-blob-encryption-private-key", private}, {"mp-blob-encryption-public-key", public}} {
		var got, want tinkpb.Keyset
		if err := proto.Unmarshal(tc.blob, &got); err != nil {
			t.Fatal(err)
		}
		if err := proto.Unmarshal(readFile(t, tc.file), &want); err != nil {
			t.Fatal(err)
		}
		g, w := got.GetKey()[0], want.GetKey()[0]
		if len(got.GetKey()) != 1 || got.GetPrimaryKeyId() != g.GetKeyId() || g.GetOutputPrefixType() != w.GetOutputPrefixType() ||
			g.GetKeyData().GetTypeUrl() != w.GetKeyData().GetTypeUrl() || g.GetKeyData().GetKeyMaterialType() != w.GetKeyData().GetKeyMaterialType() ||
			g.GetStatus() != w.GetStatus() {
			t.Errorf("%s: generated keyset differs in form", tc.file)
		}
	}
	sealed, err := Encrypt(public, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	var ks tinkpb.Keyset
	if err := proto.Unmarshal(public, &ks); err != nil {
		t.Fatal(err)
	}
	if sealed[0] != 1 || binary.BigEndian.Uint32(sealed[1:]) != ks.GetPrimaryKeyId() || sealed[5] != 4 {
		t.Errorf("ciphertext starts with %x, want 01, key id %x, 04", sealed[:6], ks.GetPrimaryKeyId())
	}
}

func TestChangedOrForeignCiphertextsAreNotOpened(t *testing.T) {
	private, public := newPair(t)
	other, _ := newPair(t)
	sealed, err := Encrypt(public, []byte("pepper"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decrypt(other, sealed); !errors.Is(err, ErrDecrypt) {
		t.Errorf("foreign key: %v", err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := Decrypt(private, changed); !errors.Is(err, ErrDecrypt) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	for n := range sealed {
		if _, err := Decrypt(private, sealed[:n]); !errors.Is(err, ErrDecrypt) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
}

func TestWrongKeysetsAreRefused(t *testing.T) {
	private, public := newPair(t)
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	var symmetric bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&symmetric)); err != nil {
		t.Fatal(err)
	}
	for name, blob := range map[string][]byte{
		"empty": {}, "too long": make([]byte, MaxKeysetSize+1), "garbage": []byte("not a keyset"), "private": private,
		"symmetric": symmetric.Bytes(), "cut": public[:len(public)-1],
	} {
		if _, err := Encrypt(blob, nil); err == nil {
			t.Errorf("public: %s keyset is used", name)
		}
	}
	for name, blob := range map[string][]byte{
		"empty": {}, "too long": make([]byte, MaxKeysetSize+1), "garbage": []byte("not a keyset"), "public": public,
		"symmetric": symmetric.Bytes(), "cut": private[:len(private)-1],
	} {
		_, err := Decrypt(blob, make([]byte, 200))
		if err == nil || errors.Is(err, ErrDecrypt) {
			t.Errorf("private: %s keyset: error %v", name, err)
		} else if len(blob) > 50 && strings.Contains(err.Error(), string(blob[20:40])) {
			t.Errorf("private: %s keyset is quoted", name)
		}
	}
}

func FuzzKeysets(f *testing.F) {
	private, public := newPair(f)
	f.Add(private)
	f.Add(public)
	f.Fuzz(func(_ *testing.T, blob []byte) {
		// Neither may panic; what a random keyset does is of no interest.
		_, _ = Encrypt(blob, []byte("x"))
		_, _ = Decrypt(blob, make([]byte, 200))
	})
}
