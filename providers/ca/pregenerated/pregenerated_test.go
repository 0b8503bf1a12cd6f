package pregenerated_test

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cuelang.org/go/cue/cuecontext"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/providertest/catest"
	"github.com/panelmatch/panelmatch/engine/trust"
	"github.com/panelmatch/panelmatch/providers/ca/pregenerated"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

type scope struct{ m *manifest.Manifest }

func (scope) Storage(manifest.Storage) provider.Ref[provider.Storage] { return nil }
func (scope) KMS(manifest.KMS) provider.Ref[provider.KMS]             { return nil }
func (s scope) Manifest() *manifest.Manifest                          { return s.m }

func resolve(dir string, keys manifest.Keys, settings map[string]string) (provider.Resolved[provider.CertificateAuthority], diag.List) {
	b := manifest.Backend{
		Name: "pregenerated", Path: "certificateAuthority.pregenerated", Value: cuecontext.New().Encode(settings),
		Dir: func(...string) string { return dir },
	}
	return pregenerated.Factory().Resolve(b, scope{&manifest.Manifest{Keys: keys}})
}

func open(t *testing.T, dir string, keys manifest.Keys, settings map[string]string) (provider.CertificateAuthority, error) {
	t.Helper()
	r, diags := resolve(dir, keys, settings)
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	return r.Open(t.Context(), provider.Env{Secret: manifest.ResolveSecret})
}

// maker is the process outside that makes certificates.
type maker struct {
	root *x509.Certificate
	key  crypto.Signer
}

func newMaker(t *testing.T, keys manifest.Keys) *maker {
	t.Helper()
	key := newKey(t, keys)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	m := &maker{key: key}
	m.root = m.sign(t, tmpl, tmpl, key)
	return m
}

func newKey(t *testing.T, keys manifest.Keys) crypto.Signer {
	t.Helper()
	key, err := trust.GenerateKey(keys)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (m *maker) sign(t *testing.T, tmpl, parent *x509.Certificate, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), m.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// leaf makes a certificate for a key; change may spoil it.
func (m *maker) leaf(t *testing.T, key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "edp1"}, SubjectKeyId: []byte("leaf-id"),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if change != nil {
		change(tmpl)
	}
	return m.sign(t, tmpl, m.root, key)
}

// put writes a pair as <dir>/<name>.crt and .key.
func put(t *testing.T, dir, name string, cert *x509.Certificate, key crypto.Signer) {
	t.Helper()
	base := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(base), 0o700); err != nil {
		t.Fatal(err)
	}
	text, err := trust.MarshalKeyPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	for suffix, b := range map[string][]byte{".crt": trust.MarshalCertificatePEM(cert), ".key": text.Reveal()} {
		if err := os.WriteFile(base+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	onePair   = map[string]string{"certificate": "all.crt", "key": "file:all.key"}
	directory = map[string]string{"directory": "."}
)

func TestConformance(t *testing.T) {
	for name, keys := range map[string]manifest.Keys{"EC": {Algorithm: "EC"}, "RSA": {Algorithm: "RSA", Bits: 2048}} {
		m := newMaker(t, keys)
		key := newKey(t, keys)
		dir := t.TempDir()
		put(t, dir, "all", m.leaf(t, key, nil), key)
		put(t, dir, "rx1/2024-01-31", m.leaf(t, key, nil), key)
		for form, settings := range map[string]map[string]string{"pair": onePair, "directory": directory} {
			t.Run(name+" "+form, func(t *testing.T) {
				catest.Run(t, catest.Harness{
					Open: func(t *testing.T) provider.CertificateAuthority {
						a, err := open(t, dir, keys, settings)
						if err != nil {
							t.Fatal(err)
						}
						return a
					},
					Root: m.root, Keys: keys, BringsKeys: true,
				})
			})
		}
	}
}

func TestTheDateComesBeforeTheRecurringExchange(t *testing.T) {
	m := newMaker(t, manifest.Keys{})
	dir := t.TempDir()
	dated, general := newKey(t, manifest.Keys{}), newKey(t, manifest.Keys{})
	put(t, dir, "rx1/2024-01-31", m.leaf(t, dated, nil), dated)
	put(t, dir, "rx1", m.leaf(t, general, nil), general)
	a, err := open(t, dir, manifest.Keys{}, directory)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for exchange, want := range map[string]crypto.Signer{"2024-01-31": dated, "2024-02-01": general} {
		got, err := a.Issue(t.Context(), provider.IssueRequest{Exchange: "recurringExchanges/rx1/exchanges/" + exchange})
		if err != nil {
			t.Fatal(err)
		}
		if !trust.SamePublicKey(got.Key.Public(), want.Public()) {
			t.Errorf("%s: the wrong pair", exchange)
		}
	}
	_, err = a.Issue(t.Context(), provider.IssueRequest{Exchange: "recurringExchanges/rx2/exchanges/2024-01-31"})
	if !errors.Is(err, provider.ErrNotFound) || !strings.Contains(err.Error(), "rx2/2024-01-31.crt") || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
}

func TestAnExchangeCantLeadOutOfTheDirectory(t *testing.T) {
	m := newMaker(t, manifest.Keys{})
	dir := t.TempDir()
	key := newKey(t, manifest.Keys{})
	put(t, dir, "secret", m.leaf(t, key, nil), key)
	inside := filepath.Join(dir, "inside")
	if err := os.Mkdir(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{".crt", ".key"} {
		if err := os.Symlink(filepath.Join("..", "secret"+suffix), filepath.Join(inside, "link"+suffix)); err != nil {
			t.Fatal(err)
		}
	}
	a, err := open(t, inside, manifest.Keys{}, directory)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, exchange := range []string{
		"recurringExchanges/../exchanges/2024-01-31", "recurringExchanges/link/exchanges/2024-01-31", "secret", "",
		"recurringExchanges/../secret/exchanges/2024-01-31", "recurringExchanges/x/exchanges/../../secret",
	} {
		if _, err := a.Issue(t.Context(), provider.IssueRequest{Exchange: exchange}); err == nil {
			t.Errorf("%q was answered", exchange)
		}
	}
}

// A mounted Kubernetes Secret is a directory of links into a hidden one, which is swapped on every update.
func TestAMountedSecretIsReadAndFollowed(t *testing.T) {
	m := newMaker(t, manifest.Keys{})
	dir := t.TempDir()
	first, second := newKey(t, manifest.Keys{}), newKey(t, manifest.Keys{})
	put(t, dir, "..v1/rx1", m.leaf(t, first, nil), first)
	put(t, dir, "..v2/rx1", m.leaf(t, second, nil), second)
	link := func(target, name string) {
		tmp := filepath.Join(dir, "..tmp")
		if err := errors.Join(os.Symlink(target, tmp), os.Rename(tmp, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	link("..v1", "..data")
	link("..data/rx1.crt", "rx1.crt")
	link("..data/rx1.key", "rx1.key")
	a, err := open(t, dir, manifest.Keys{}, directory)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, want := range []crypto.Signer{first, second} {
		got, err := a.Issue(t.Context(), provider.IssueRequest{Exchange: catest.Exchange})
		if err != nil {
			t.Fatal(err)
		}
		if !trust.SamePublicKey(got.Key.Public(), want.Public()) {
			t.Error("the wrong pair")
		}
		link("..v2", "..data")
	}
}

func TestBadPairsAreRefusedByName(t *testing.T) {
	ec, rsa := newMaker(t, manifest.Keys{}), newMaker(t, manifest.Keys{Algorithm: "RSA", Bits: 2048})
	key, other, rsaKey := newKey(t, manifest.Keys{}), newKey(t, manifest.Keys{}), newKey(t, manifest.Keys{Algorithm: "RSA", Bits: 2048})
	cases := map[string]struct {
		cert *x509.Certificate
		key  crypto.Signer
		want string
	}{
		"other key":     {ec.leaf(t, key, nil), other, "do not belong together"},
		"expired":       {ec.leaf(t, key, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), key, "is expired since"},
		"not yet valid": {ec.leaf(t, key, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }), key, "is not valid before"},
		"no identifier": {ec.leaf(t, key, func(c *x509.Certificate) { c.SubjectKeyId = nil }), key, "no subject key identifier"},
		"other family":  {rsa.leaf(t, rsaKey, nil), rsaKey, "is RSA, but exchange keys are EC"},
		"mixed":         {rsa.leaf(t, key, nil), key, "can't sign blobs"},
	}
	for name, c := range cases {
		for form, settings := range map[string]map[string]string{"pair": onePair, "directory": directory} {
			t.Run(name+" "+form, func(t *testing.T) {
				dir := t.TempDir()
				put(t, dir, "all", c.cert, c.key)
				put(t, dir, "rx1", c.cert, c.key)
				a, err := open(t, dir, manifest.Keys{Algorithm: "EC"}, settings)
				if err == nil {
					_, err = a.Issue(t.Context(), provider.IssueRequest{Exchange: catest.Exchange})
				}
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
					t.Errorf("got %v; want it to say %q and name the file", err, c.want)
				}
			})
		}
	}
}

func TestHalfAPairNamesWhatIsMissing(t *testing.T) {
	m := newMaker(t, manifest.Keys{})
	key := newKey(t, manifest.Keys{})
	dir := t.TempDir()
	put(t, dir, "rx1", m.leaf(t, key, nil), key)
	if err := os.Remove(filepath.Join(dir, "rx1.key")); err != nil {
		t.Fatal(err)
	}
	a, err := open(t, dir, manifest.Keys{}, directory)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := a.Issue(t.Context(), provider.IssueRequest{Exchange: catest.Exchange}); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "rx1.key")) {
		t.Errorf("got %v", err)
	}
}

func TestOpenFailsForWhatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	for _, settings := range []map[string]string{onePair, {"directory": "absent"}} {
		if _, err := open(t, dir, manifest.Keys{}, settings); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%v: %v", settings, err)
		}
	}
}

func TestResolveWantsOneForm(t *testing.T) {
	for _, settings := range []map[string]string{
		{}, {"certificate": "c.crt"}, {"key": "env:K"}, {"certificate": "c.crt", "key": "env:K", "directory": "d"}, {"key": "env:K", "directory": "d"},
	} {
		if _, diags := resolve("/", manifest.Keys{}, settings); !diags.HasErrors() {
			t.Errorf("%v was taken", settings)
		}
	}
}
