package trust_test

import (
	"bytes"
	"crypto"
	"errors"
	"testing"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/trust"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

func TestSignaturesOfOpenSSLVerify(t *testing.T) {
	blob := readFile(t, "openssl", "blob")
	for _, a := range trust.Algorithms() {
		t.Run(a.String(), func(t *testing.T) {
			public := readCertificate(t, "openssl", a.String()+".pem").PublicKey
			sig, empty := readFile(t, "openssl", a.String()+".sig"), readFile(t, "openssl", a.String()+".empty.sig")
			if err := trust.Verify(a, public, blob, sig); err != nil {
				t.Error(err)
			}
			if err := trust.Verify(a, public, nil, empty); err != nil {
				t.Errorf("no bytes: %v", err)
			}
			changed := bytes.Clone(blob)
			changed[1000] ^= 1
			for what, err := range map[string]error{
				"other bytes":      trust.Verify(a, public, changed, sig),
				"fewer bytes":      trust.Verify(a, public, blob[1:], sig),
				"another's":        trust.Verify(a, public, blob, empty),
				"no signature":     trust.Verify(a, public, blob, nil),
				"a cut signature":  trust.Verify(a, public, blob, sig[:len(sig)-1]),
				"a long signature": trust.Verify(a, public, blob, append(bytes.Clone(sig), 0)),
			} {
				if !errors.Is(err, trust.ErrSignature) || !errors.Is(err, provider.ErrRejected) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// testKeys are made once: RSA keys take time.
func testKeys(t *testing.T) map[trust.Family]crypto.Signer {
	t.Helper()
	keys := map[trust.Family]crypto.Signer{}
	for family, k := range map[trust.Family]manifest.Keys{trust.EC: {}, trust.RSA: {Algorithm: "RSA", Bits: 2048}} {
		key, err := trust.GenerateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		keys[family] = key
	}
	return keys
}

func TestWhatIsSignedInPiecesVerifiesInPieces(t *testing.T) {
	keys := testKeys(t)
	data := bytes.Repeat([]byte("0123456789"), 10000)
	for _, a := range trust.Algorithms() {
		for _, step := range []int{1, 7, 4096, len(data)} {
			s, err := trust.NewSigner(a, keys[a.Family()])
			if err != nil {
				t.Fatal(err)
			}
			v, err := trust.NewVerifier(a, keys[a.Family()].Public())
			if err != nil {
				t.Fatal(err)
			}
			s.Write([]byte("to be forgotten"))
			s.Reset()
			for rest := data; len(rest) > 0; rest = rest[min(step, len(rest)):] {
				s.Write(rest[:min(step, len(rest))])
			}
			v.Write(data[:3])
			v.Write(data[3:])
			sig, err := s.Signature()
			if err != nil {
				t.Fatal(err)
			}
			if err := v.Verify(sig); err != nil {
				t.Errorf("%s in steps of %d: %v", a, step, err)
			}
		}
	}
}

func TestAlgorithmAndKeyMustFit(t *testing.T) {
	keys := testKeys(t)
	for _, a := range trust.Algorithms() {
		for family, key := range keys {
			_, errSign := trust.NewSigner(a, key)
			_, errVerify := trust.NewVerifier(a, key.Public())
			if fits := family == a.Family(); (errSign == nil) != fits || (errVerify == nil) != fits {
				t.Errorf("%s with an %s key: %v, %v", a, family, errSign, errVerify)
			}
		}
	}
	if _, err := trust.NewSigner(0, keys[trust.EC]); err == nil {
		t.Error("no algorithm was taken")
	}
	if _, err := trust.NewSigner(trust.ECDSAWithSHA256, nil); err == nil {
		t.Error("no key was taken")
	}
	if _, err := trust.NewVerifier(trust.ECDSAWithSHA256, "not a key"); err == nil {
		t.Error("a text was taken for a key")
	}
}
