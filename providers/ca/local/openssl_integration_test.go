//go:build integration

package local_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/panelmatch/panelmatch/engine/providertest/catest"
	"github.com/panelmatch/panelmatch/engine/trust"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// openssl runs the openssl program and returns what it prints.
func openssl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "openssl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestOpenSSLTakesCertificatesAndSignatures(t *testing.T) {
	for name, keys := range map[string]manifest.Keys{
		"P-256": {Algorithm: "EC", Curve: "P-256"}, "P-384": {Algorithm: "EC", Curve: "P-384"}, "RSA": {Algorithm: "RSA", Bits: 2048},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t, keys)
			got, err := s.mustOpen(t).Issue(t.Context(), catest.Request(t, keys))
			if err != nil {
				t.Fatal(err)
			}
			leaf := filepath.Join(s.dir, "leaf.pem")
			if err := os.WriteFile(leaf, trust.MarshalCertificatePEM(got.Certificate), 0o600); err != nil {
				t.Fatal(err)
			}
			openssl(t, "verify", "-x509_strict", "-CAfile", s.cert(), leaf)
			text := openssl(t, "x509", "-in", leaf, "-noout", "-text", "-nameopt", "RFC2253,utf8,-esc_msb")
			for _, want := range []string{
				`Subject: CN=edp1\.example\.com,O=Edp & Söhne\\, 1`, // RFC 2253 prints backwards: O is first
				`X509v3 Basic Constraints: critical\s+CA:FALSE`,
				`X509v3 Key Usage: critical\s+Digital Signature, Non Repudiation, Key Encipherment`,
				`X509v3 Subject Alternative Name:\s+DNS:edp1\.example\.com`,
				`X509v3 Subject Key Identifier`, `X509v3 Authority Key Identifier`,
			} {
				if !regexp.MustCompile(want).MatchString(text) {
					t.Errorf("openssl does not show %s:\n%s", want, text)
				}
			}

			// What our key signs, OpenSSL verifies with the certificate's public key.
			a, err := trust.AlgorithmOf(got.Certificate)
			if err != nil {
				t.Fatal(err)
			}
			blob := bytes.Repeat([]byte("panel "), 10000)
			sig, err := trust.Sign(a, got.Key, blob)
			if err != nil {
				t.Fatal(err)
			}
			files := map[string][]byte{"blob": blob, "sig": sig, "pub": []byte(openssl(t, "x509", "-in", leaf, "-noout", "-pubkey"))}
			for name, b := range files {
				if err := os.WriteFile(filepath.Join(s.dir, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			digest := map[string]string{"SHA256": "-sha256", "SHA384": "-sha384", "SHA512": "-sha512"}[a.String()[:6]]
			openssl(t, "dgst", digest, "-verify", filepath.Join(s.dir, "pub"), "-signature", filepath.Join(s.dir, "sig"), filepath.Join(s.dir, "blob"))
		})
	}
}

func TestOpenSSLsRootAndIdentifierAreTaken(t *testing.T) {
	s := newSetup(t, manifest.Keys{})
	openssl(t, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "10",
		"-subj", "/O=Edp1/CN=root", "-keyout", s.key(), "-out", s.cert())
	s.create = false
	root := s.root(t)
	want, err := trust.SubjectKeyID(root.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(root.SubjectKeyId, want) {
		t.Errorf("OpenSSL's hash is %x, ours %x", root.SubjectKeyId, want)
	}
}
