package trust_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/panelmatch/panelmatch/engine/trust"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

func readFile(t *testing.T, elem ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readCertificate(t *testing.T, elem ...string) *x509.Certificate {
	t.Helper()
	c, err := trust.ParseCertificatePEM(readFile(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheSixAlgorithmsHaveTheirWireNames(t *testing.T) {
	want := [][4]string{
		{"SHA256withECDSA", "1.2.840.10045.4.3.2", "EC", "SHA-256"},
		{"SHA384withECDSA", "1.2.840.10045.4.3.3", "EC", "SHA-384"},
		{"SHA512withECDSA", "1.2.840.10045.4.3.4", "EC", "SHA-512"},
		{"SHA256withRSA", "1.2.840.113549.1.1.11", "RSA", "SHA-256"},
		{"SHA384withRSA", "1.2.840.113549.1.1.12", "RSA", "SHA-384"},
		{"SHA512withRSA", "1.2.840.113549.1.1.13", "RSA", "SHA-512"},
	}
	var got [][4]string
	for _, a := range trust.Algorithms() {
		got = append(got, [4]string{a.String(), a.OID(), string(a.Family()), a.Hash().String()})
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAlgorithmsAreFoundByName(t *testing.T) {
	enums := []string{
		"ECDSA_WITH_SHA256", "ECDSA_WITH_SHA384", "ECDSA_WITH_SHA512",
		"SHA_256_WITH_RSA_ENCRYPTION", "SHA_384_WITH_RSA_ENCRYPTION", "SHA_512_WITH_RSA_ENCRYPTION",
	}
	for i, a := range trust.Algorithms() {
		for _, name := range []string{a.String(), strings.ToUpper(a.String()), enums[i]} {
			if got, err := trust.ParseAlgorithm(name); got != a || err != nil {
				t.Errorf("ParseAlgorithm(%q) = %v, %v", name, got, err)
			}
		}
		if got, err := trust.AlgorithmByOID(a.OID()); got != a || err != nil {
			t.Errorf("AlgorithmByOID(%q) = %v, %v", a.OID(), got, err)
		}
	}
	for _, name := range []string{"", "none", "SHA1withRSA", "SHA256withRSA/PSS", "Ed25519"} {
		if _, err := trust.ParseAlgorithm(name); err == nil || !strings.Contains(err.Error(), "SHA256withECDSA") {
			t.Errorf("ParseAlgorithm(%q): %v", name, err)
		}
	}
	for _, oid := range []string{"", "1.2.840.113549.1.1.5", "1.2.840.113549.1.1.10", "1.3.101.112", strings.Repeat("1.", 1000)} {
		if _, err := trust.AlgorithmByOID(oid); err == nil || len(err.Error()) > 200 {
			t.Errorf("AlgorithmByOID(%.20q): %v", oid, err)
		}
	}
	if trust.Algorithm(0).OID() != "" || trust.Algorithm(99).String() != "none" {
		t.Error("an algorithm that is none has a name")
	}
}

func TestACertificatesOwnSignatureDecides(t *testing.T) {
	for _, a := range trust.Algorithms() {
		c := readCertificate(t, "openssl", a.String()+".pem")
		if got, err := trust.AlgorithmOf(c); got != a || err != nil {
			t.Errorf("%s: %v, %v", a, got, err)
		}
		root := readCertificate(t, "openssl", a.String()+".root.pem")
		if err := trust.CheckIssuer(c, root); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	if got, err := trust.AlgorithmOf(readCertificate(t, "recorded", "server.pem")); got != trust.ECDSAWithSHA256 || err != nil {
		t.Errorf("the reference's certificate: %v, %v", got, err)
	}
}

func TestAKeyOfAnotherFamilyThanItsIssuerCantSign(t *testing.T) {
	_, err := trust.AlgorithmOf(readCertificate(t, "openssl", "mixed.pem"))
	if err == nil || !strings.Contains(err.Error(), "keys.algorithm") {
		t.Errorf("got %v", err)
	}
}

func TestTheReferencesCertificateFitsItsRoot(t *testing.T) {
	cert, ca := readCertificate(t, "recorded", "server.pem"), readCertificate(t, "recorded", "ca.pem")
	if err := trust.CheckIssuer(cert, ca); err != nil {
		t.Error(err)
	}
	if err := trust.CheckIssuer(ca, cert); err == nil {
		t.Error("the wrong way round passes too")
	}
	for _, c := range []*x509.Certificate{cert, ca} {
		id, err := trust.SubjectKeyID(c.PublicKey)
		if err != nil || cmp.Diff(id, c.SubjectKeyId) != "" {
			t.Errorf("identifier %x, %v; OpenSSL says %x", id, err, c.SubjectKeyId)
		}
	}
}

func TestGeneratedKeysAreReadAgain(t *testing.T) {
	for _, keys := range []manifest.Keys{
		{},
		{Algorithm: "EC", Curve: "P-384"},
		{Algorithm: "RSA", Bits: 2048},
	} {
		key, err := trust.GenerateKey(keys)
		if err != nil {
			t.Fatal(err)
		}
		der, err := trust.MarshalKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text, err := trust.MarshalKeyPEM(key)
		if err != nil {
			t.Fatal(err)
		}
		a, err := trust.ParseKey(der, trust.Family(keys.Algorithm))
		if err != nil {
			t.Fatal(err)
		}
		b, err := trust.ParseKeyPEM(text)
		if err != nil {
			t.Fatal(err)
		}
		if !trust.SamePublicKey(a.Public(), key.Public()) || !trust.SamePublicKey(b.Public(), key.Public()) {
			t.Errorf("%+v: another key came back", keys)
		}
	}
	for _, keys := range []manifest.Keys{{Algorithm: "DSA"}, {Algorithm: "EC", Curve: "P-224"}, {Algorithm: "RSA", Bits: 1024}} {
		if _, err := trust.GenerateKey(keys); err == nil {
			t.Errorf("%+v was taken", keys)
		}
	}
}

func TestKeysThatTakeTooLongAreRefused(t *testing.T) {
	// The public key of a certificate is not checked when it is parsed, so any number does for a modulus.
	c := readCertificate(t, "openssl", "SHA256withRSA.pem")
	for bits, ok := range map[uint]bool{2048: true, 8192: true, 8193: false, 100000: false} {
		key := *c.PublicKey.(*rsa.PublicKey)
		key.N = new(big.Int).SetBit(big.NewInt(1), int(bits)-1, 1)
		signer := newSigningKey(t, "root", manifest.Keys{})
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, &key, signer.Key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trust.ParseCertificate(der); (err == nil) != ok {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
}
