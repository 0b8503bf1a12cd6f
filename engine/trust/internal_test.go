package trust

import (
	"bytes"
	"crypto/x509"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
)

func TestATeeThatGoesBackSignsFromTheBeginning(t *testing.T) {
	key, err := GenerateKey(manifest.Keys{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSigner(ECDSAWithSHA256, key)
	if err != nil {
		t.Fatal(err)
	}
	src := bytes.NewReader([]byte("...0123456789"))
	if _, err := src.Seek(3, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	r, ok := tee(src, s).(io.ReadSeeker)
	if !ok {
		t.Fatal("the tee can't seek")
	}
	begin, err := r.Seek(0, io.SeekCurrent)
	if err != nil || begin != 3 {
		t.Fatalf("begins at %d, %v", begin, err)
	}
	for _, n := range []int64{0, 4, 10} {
		if _, err := r.Seek(begin, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r, n); err != nil {
			t.Fatal(err)
		}
	}
	sig, err := s.Signature()
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(ECDSAWithSHA256, key.Public(), []byte("0123456789"), sig); err != nil {
		t.Error(err)
	}
	for _, seek := range []struct {
		offset int64
		whence int
	}{{4, io.SeekStart}, {0, io.SeekEnd}, {1, io.SeekCurrent}} {
		if _, err := r.Seek(seek.offset, seek.whence); err == nil {
			t.Errorf("it went to %+v, which spoils the signature", seek)
		}
	}
	if _, ok := tee(iotest.OneByteReader(src), s).(io.Seeker); ok {
		t.Error("a tee of a stream claims to seek")
	}
}

func seeds(f *testing.F, patterns ...string) {
	f.Helper()
	for _, p := range patterns {
		names, err := filepath.Glob(filepath.Join("testdata", p))
		if err != nil || len(names) == 0 {
			f.Fatalf("%s: %v", p, err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
}

func FuzzParseSignature(f *testing.F) {
	seeds(f, "openssl/*.sig")
	good, err := MarshalSignature([]byte{0x30, 0}, "edp1:x")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		sig, name, err := ParseSignature(b)
		if err != nil {
			return
		}
		again, err := MarshalSignature(sig, name)
		if err != nil {
			t.Fatal(err)
		}
		sig2, name2, err := ParseSignature(again)
		if err != nil || !bytes.Equal(sig, sig2) || name != name2 {
			t.Errorf("%x %q became %x %q, %v", sig, name, sig2, name2, err)
		}
	})
}

func FuzzPublishedCertificate(f *testing.F) {
	for _, name := range []string{"recorded/server.pem", "openssl/mixed.pem", "openssl/SHA512withRSA.pem"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		c, err := ParseCertificatePEM(b)
		if err != nil {
			f.Fatal(err)
		}
		m, err := proto.Marshal(&internalpb.Certificate{X509Der: c.Raw})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m)
	}
	b, err := os.ReadFile("testdata/recorded/ca.pem")
	if err != nil {
		f.Fatal(err)
	}
	root, err := ParseCertificatePEM(b)
	if err != nil {
		f.Fatal(err)
	}
	policy, err := NewPolicy(manifest.Trust{})
	if err != nil {
		f.Fatal(err)
	}
	// A certificate that somebody publishes is parsed, judged, and its key used, whatever is in it.
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseSharedCertificate(b)
		if err != nil {
			return
		}
		_ = policy.CheckDates(c)
		if CheckIssuer(c, root) == nil && !signedByServerCA(c, root) {
			t.Error("a certificate of another issuer passes")
		}
		if v, err := verifierFor(c); err == nil {
			if v.Verify([]byte("signature")) == nil {
				t.Error("anything is a signature")
			}
		}
		for _, a := range Algorithms() {
			if v, err := NewVerifier(a, c.PublicKey); err == nil && v.Verify(b) == nil {
				t.Error("anything is a signature")
			}
		}
	})
}

// signedByServerCA checks the same by another way of the library's.
func signedByServerCA(c, root *x509.Certificate) bool { return c.CheckSignatureFrom(root) == nil }

func FuzzStoredSigningKey(f *testing.F) {
	seeds(f, "sealed/*")
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, err := NoSealer().Open(t.Context(), "recurringExchanges/rx1/exchanges/2024-01-31", b)
		if err != nil {
			return
		}
		k, err := ParseSigningKey(plain, "")
		if err != nil {
			return
		}
		again, err := MarshalSigningKey(k)
		if err != nil {
			t.Fatal(err)
		}
		k2, err := ParseSigningKey(again, "")
		if err != nil || k2.Name != k.Name || !SamePublicKey(k.Key.Public(), k2.Key.Public()) {
			t.Errorf("another key came back: %v", err)
		}
	})
}

func FuzzPEM(f *testing.F) {
	seeds(f, "openssl/*.pem", "recorded/*.pem")
	key, err := GenerateKey(manifest.Keys{})
	if err != nil {
		f.Fatal(err)
	}
	text, err := MarshalKeyPEM(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text.Reveal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseCertificatePEM(b); err == nil {
			if again, err := ParseCertificatePEM(MarshalCertificatePEM(c)); err != nil || !again.Equal(c) {
				t.Errorf("another certificate came back: %v", err)
			}
		}
		if k, err := ParseKeyPEM(manifest.NewSecret(b)); err == nil {
			if _, err := Sign(mustAlgorithm(t, k.Public()), k, b); err != nil {
				t.Errorf("a key that was read can't sign: %v", err)
			}
		}
	})
}

func mustAlgorithm(t *testing.T, public any) Algorithm {
	t.Helper()
	a, err := AlgorithmForIssuer(public)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
