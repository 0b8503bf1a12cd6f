package local_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cuelang.org/go/cue/cuecontext"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/providertest/catest"
	"github.com/panelmatch/panelmatch/engine/trust"
	"github.com/panelmatch/panelmatch/providers/ca/local"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

type scope struct{ m *manifest.Manifest }

func (scope) Storage(manifest.Storage) provider.Ref[provider.Storage] { return nil }
func (scope) KMS(manifest.KMS) provider.Ref[provider.KMS]             { return nil }
func (s scope) Manifest() *manifest.Manifest                          { return s.m }

// setup is one deployment with a local authority in a directory.
type setup struct {
	dir     string
	create  bool
	profile manifest.Profile
	keys    manifest.Keys
	log     bytes.Buffer
}

func newSetup(t *testing.T, keys manifest.Keys) *setup {
	t.Helper()
	return &setup{dir: t.TempDir(), create: true, profile: manifest.Development, keys: keys}
}

func (s *setup) cert() string { return filepath.Join(s.dir, "root.pem") }
func (s *setup) key() string  { return filepath.Join(s.dir, "root.key") }

func (s *setup) resolve() (provider.Resolved[provider.CertificateAuthority], diag.List) {
	v := cuecontext.New().Encode(map[string]any{"rootCertificate": "root.pem", "rootKey": "file:root.key", "createIfMissing": s.create})
	b := manifest.Backend{Name: "local", Path: "certificateAuthority.local", Value: v, Dir: func(...string) string { return s.dir }}
	m := &manifest.Manifest{Profile: s.profile, Keys: s.keys}
	m.CertificateAuthority.Validity = manifest.Duration(90 * 24 * time.Hour)
	return local.Factory().Resolve(b, scope{m})
}

func (s *setup) open(t *testing.T) (provider.CertificateAuthority, error) {
	t.Helper()
	r, diags := s.resolve()
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	return r.Open(t.Context(), provider.Env{Secret: manifest.ResolveSecret, Log: slog.New(slog.NewTextHandler(&s.log, nil))})
}

func (s *setup) mustOpen(t *testing.T) provider.CertificateAuthority {
	t.Helper()
	a, err := s.open(t)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (s *setup) root(t *testing.T) *x509.Certificate {
	t.Helper()
	a := s.mustOpen(t)
	defer a.Close()
	c, err := a.(provider.AuthorityInspector).Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// write puts a root of the given shape in place, and leaves createIfMissing out from then on.
func (s *setup) write(t *testing.T, change func(*x509.Certificate), encode func(key any) *pem.Block) {
	t.Helper()
	key, err := trust.GenerateKey(s.keys)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		SubjectKeyId: []byte("root-id"), KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	if change != nil {
		change(tmpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s.put(t, s.cert(), &pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.put(t, s.key(), encode(key))
	s.create = false
}

func (s *setup) put(t *testing.T, name string, b *pem.Block) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func pkcs8(key any) *pem.Block {
	der, _ := x509.MarshalPKCS8PrivateKey(key)
	return &pem.Block{Type: "PRIVATE KEY", Bytes: der}
}

func TestConformance(t *testing.T) {
	for name, keys := range map[string]manifest.Keys{
		"P-256": {Algorithm: "EC", Curve: "P-256"}, "P-384": {Algorithm: "EC", Curve: "P-384"}, "RSA": {Algorithm: "RSA", Bits: 2048},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t, keys)
			catest.Run(t, catest.Harness{Open: s.mustOpen, Root: s.root(t), Keys: keys})
		})
	}
}

func TestTheRootsKeyDecidesTheAlgorithm(t *testing.T) {
	for curve, want := range map[string]trust.Algorithm{"P-256": trust.ECDSAWithSHA256, "P-384": trust.ECDSAWithSHA384} {
		s := newSetup(t, manifest.Keys{Algorithm: "EC", Curve: curve})
		a := s.mustOpen(t)
		// An exchange key on the other curve goes as well: only the family counts.
		got, err := a.Issue(t.Context(), catest.Request(t, manifest.Keys{Algorithm: "EC", Curve: "P-256"}))
		if err != nil {
			t.Fatal(err)
		}
		if alg, err := trust.AlgorithmOf(got.Certificate); alg != want || err != nil {
			t.Errorf("%s: %v, %v", curve, alg, err)
		}
	}
}

func TestCertificatesAreLikeTheReferences(t *testing.T) {
	s := newSetup(t, manifest.Keys{})
	got, err := s.mustOpen(t).Issue(t.Context(), catest.Request(t, s.keys))
	if err != nil {
		t.Fatal(err)
	}
	c := got.Certificate
	if want := x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageKeyEncipherment; c.KeyUsage != want {
		t.Errorf("key usage %b, want %b", c.KeyUsage, want)
	}
	if !c.BasicConstraintsValid || c.IsCA {
		t.Error("want basic constraints with CA:FALSE")
	}
	if len(c.SubjectKeyId) != 20 {
		t.Errorf("subject key identifier of %d bytes, want a SHA-1", len(c.SubjectKeyId))
	}
	if c.SerialNumber.BitLen() < 100 {
		t.Errorf("serial number %x is not random", c.SerialNumber)
	}
	if !c.NotBefore.Before(time.Now()) {
		t.Error("not dated back")
	}
}

func TestAllFormsOfPrivateKeysAreRead(t *testing.T) {
	forms := map[string]struct {
		keys   manifest.Keys
		encode func(any) *pem.Block
	}{
		"PKCS#8": {manifest.Keys{}, pkcs8},
		"SEC 1": {manifest.Keys{}, func(key any) *pem.Block {
			der, _ := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
			return &pem.Block{Type: "EC PRIVATE KEY", Bytes: der}
		}},
		"PKCS#1": {manifest.Keys{Algorithm: "RSA", Bits: 2048}, func(key any) *pem.Block {
			return &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key.(*rsa.PrivateKey))}
		}},
	}
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t, f.keys)
			s.write(t, nil, f.encode)
			if _, err := s.open(t); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestABadRootIsRefusedWhenItOpens(t *testing.T) {
	other, err := trust.GenerateKey(manifest.Keys{})
	if err != nil {
		t.Fatal(err)
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		change func(*x509.Certificate)
		encode func(any) *pem.Block
		keys   manifest.Keys
		want   string
	}{
		"expired":       {change: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, want: "is expired since"},
		"not yet valid": {change: func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, want: "is not valid before"},
		"no authority":  {change: func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, 0 }, want: "CA:FALSE"},
		"key usage":     {change: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, want: "keyCertSign"},
		"no identifier": {change: func(c *x509.Certificate) { c.SubjectKeyId, c.IsCA, c.BasicConstraintsValid = nil, false, false }, want: "subjectKeyIdentifier=hash"},
		"other key":     {encode: func(any) *pem.Block { return pkcs8(other) }, want: "public keys differ"},
		"no key":        {encode: func(any) *pem.Block { return &pem.Block{Type: "NOTHING", Bytes: []byte("x")} }, want: "has no PEM block"},
		"damaged key":   {encode: func(any) *pem.Block { return &pem.Block{Type: "PRIVATE KEY", Bytes: []byte("s3cret")} }, want: "can't be read"},
		"encrypted key": {encode: func(any) *pem.Block { return &pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")} }, want: "passphrase"},
		"short key": {encode: func(any) *pem.Block {
			return pkcs8(short)
		}, want: "at least 2048"},
		"RSA root for EC keys": {keys: manifest.Keys{Algorithm: "RSA", Bits: 2048}, want: "has an RSA key, but exchange keys are EC (keys.algorithm)"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.encode == nil {
				c.encode = pkcs8
			}
			s := newSetup(t, c.keys)
			s.write(t, c.change, c.encode)
			s.keys = manifest.Keys{Algorithm: "EC"}
			_, err := s.open(t)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), s.dir) {
				t.Errorf("got %v; want it to say %q and name the file", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Error("the error shows the key")
			}
		})
	}
}

func TestCertificatesDoNotOutliveTheRoot(t *testing.T) {
	s := newSetup(t, manifest.Keys{})
	s.write(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Hour) }, pkcs8)
	got, err := s.mustOpen(t).Issue(t.Context(), catest.Request(t, s.keys))
	if err != nil {
		t.Fatal(err)
	}
	if got.Certificate.NotAfter.After(time.Now().Add(time.Hour)) {
		t.Errorf("valid until %v", got.Certificate.NotAfter)
	}
	if !strings.Contains(s.log.String(), "level=WARN") {
		t.Error("no warning")
	}
}

func TestARootIsMadeOnceForRacingProcesses(t *testing.T) {
	s := newSetup(t, manifest.Keys{})
	var mu sync.Mutex
	var roots []*x509.Certificate
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			r, _ := s.resolve()
			a, err := r.Open(t.Context(), provider.Env{Secret: manifest.ResolveSecret})
			if err != nil {
				t.Error(err)
				return
			}
			c, _ := a.(provider.AuthorityInspector).Inspect(t.Context())
			mu.Lock()
			roots = append(roots, c)
			mu.Unlock()
		})
	}
	wg.Wait()
	for _, c := range roots[1:] {
		if !c.Equal(roots[0]) {
			t.Fatal("two roots were made")
		}
	}
	info, err := os.Stat(s.key())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode: %v, %v", info.Mode(), err)
	}
	if c := roots[0]; !c.IsCA || len(c.SubjectKeyId) != 20 || !bytes.Equal(c.SubjectKeyId, c.AuthorityKeyId) || c.CheckSignatureFrom(c) != nil {
		t.Error("the root is not a self-signed authority with a key identifier")
	}
}

func TestAHalfMadeRootIsCompleted(t *testing.T) {
	s := newSetup(t, manifest.Keys{})
	before := s.root(t)
	if err := os.Remove(s.cert()); err != nil { // as if killed in between
		t.Fatal(err)
	}
	after := s.root(t)
	if !trust.SamePublicKey(before.PublicKey, after.PublicKey) {
		t.Error("the key that was there has been replaced")
	}
}

func TestARootWithoutItsKeyIsNotReplaced(t *testing.T) {
	s := newSetup(t, manifest.Keys{})
	s.root(t)
	if err := os.Remove(s.key()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.open(t); err == nil || !strings.Contains(err.Error(), "restore the key") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(s.key()); err == nil {
		t.Error("another key was made for the old certificate")
	}
}

func TestNothingIsMadeUnlessAskedFor(t *testing.T) {
	s := newSetup(t, manifest.Keys{})
	s.create = false
	if _, err := s.open(t); err == nil {
		t.Error("it opened without a root")
	}
	if entries, _ := os.ReadDir(s.dir); len(entries) != 0 {
		t.Errorf("made %v", entries)
	}
}

func TestProductionMakesNoRoot(t *testing.T) {
	s := newSetup(t, manifest.Keys{})
	s.profile = manifest.Production
	if _, diags := s.resolve(); !diags.HasErrors() || diags[0].Path != "certificateAuthority.local.createIfMissing" {
		t.Errorf("got %v", diags)
	}
	s.create = false
	if _, diags := s.resolve(); diags.HasErrors() {
		t.Errorf("a root that is there is refused: %v", diags)
	}
}

func TestAnEnvironmentVariableCantBeMade(t *testing.T) {
	v := cuecontext.New().Encode(map[string]any{"rootCertificate": "/r.pem", "rootKey": "env:ROOT_KEY", "createIfMissing": true})
	b := manifest.Backend{Name: "local", Path: "ca", Value: v}
	_, diags := local.Factory().Resolve(b, scope{&manifest.Manifest{Profile: manifest.Development}})
	if !diags.HasErrors() || diags[0].Path != "ca.rootKey" {
		t.Errorf("got %v", diags)
	}
}

func TestIssueRefusesWhatItCantCertify(t *testing.T) {
	s := newSetup(t, manifest.Keys{})
	a := s.mustOpen(t)
	req := catest.Request(t, s.keys)
	req.Validity = 0
	if _, err := a.Issue(context.Background(), req); err == nil {
		t.Error("no validity")
	}
	if _, err := a.Issue(context.Background(), provider.IssueRequest{Validity: time.Hour}); err == nil {
		t.Error("no key")
	}
}
