package trust_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"cuelang.org/go/cue/cuecontext"
	"gocloud.dev/blob/memblob"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/trust"
	calocal "github.com/panelmatch/panelmatch/providers/ca/local"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// shared is the shared storage of all exchanges.
type shared struct {
	open func(context.Context, blob.ExchangeKey) (*blob.Store, error)
}

func newShared(t *testing.T) *shared {
	t.Helper()
	bucket := memblob.OpenBucket(nil)
	t.Cleanup(func() { bucket.Close() })
	return &shared{func(_ context.Context, k blob.ExchangeKey) (*blob.Store, error) {
		return blob.ForExchange(bucket, k, blob.Options{Name: "shared storage"})
	}}
}

func (s *shared) store(t *testing.T, k blob.ExchangeKey) *blob.Store {
	t.Helper()
	store, err := s.open(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// openCA makes an authority with a root of its own.
func openCA(t *testing.T, keys manifest.Keys) provider.CertificateAuthority {
	t.Helper()
	dir := t.TempDir()
	b := manifest.Backend{Name: "local", Path: "ca", Value: cuecontext.New().Encode(map[string]any{
		"rootCertificate": filepath.Join(dir, "root.pem"), "rootKey": "file://" + filepath.Join(dir, "root.key"), "createIfMissing": true,
	})}
	r, diags := calocal.Factory().Resolve(b, scope{&manifest.Manifest{Profile: manifest.Development, Keys: keys}})
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	a, err := r.Open(t.Context(), provider.Env{Secret: manifest.ResolveSecret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func rootOf(t *testing.T, a provider.CertificateAuthority) *x509.Certificate {
	t.Helper()
	c, err := a.(provider.AuthorityInspector).Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// party is one side with its own root storage.
type party struct {
	id      string
	keys    *memoryMap
	roots   *memoryMap
	config  trust.Config
	log     *strings.Builder
	manager *trust.Manager
}

// newParty makes a party; change may alter its configuration before the manager is made.
func newParty(t *testing.T, id string, s *shared, change func(*trust.Config)) *party {
	t.Helper()
	p := &party{id: id, keys: newMap(), roots: newMap(), log: &strings.Builder{}}
	policy, err := trust.NewPolicy(manifest.Trust{DateLeeway: manifest.Duration(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	p.config = trust.Config{
		Own: id, Subject: manifest.Subject{CommonName: id, Organization: id, DNSName: id + ".example"}, Validity: 90 * 24 * time.Hour,
		Authority: openCA(t, manifest.Keys{}), Store: trust.NewKeyStore(p.keys, trust.NoSealer(), manifest.Keys{}),
		Roots: p.roots, Directory: trust.NewSharedDirectory(id, s.open), Policy: policy,
		Log: slog.New(slog.NewTextHandler(p.log, nil)),
	}
	if change != nil {
		change(&p.config)
	}
	p.restart(t)
	return p
}

// restart is what a new process does: nothing but storage is left.
func (p *party) restart(t *testing.T) {
	t.Helper()
	m, err := trust.New(p.config)
	if err != nil {
		t.Fatal(err)
	}
	p.manager = m
}

// trusts stores the other's root.
func (p *party) trusts(t *testing.T, other *party) {
	t.Helper()
	p.roots.m[other.id] = rootOf(t, other.config.Authority).Raw
}

func pair(t *testing.T) (edp, mp *party, s *shared, exchange blob.ExchangeKey) {
	t.Helper()
	s = newShared(t)
	edp, mp = newParty(t, "edp1", s, nil), newParty(t, "mp1", s, nil)
	edp.trusts(t, mp)
	mp.trusts(t, edp)
	return edp, mp, s, exchangeKey(t, entry)
}

func ensure(t *testing.T, p *party, exchange blob.ExchangeKey) string {
	t.Helper()
	name, err := p.manager.Ensure(t.Context(), exchange)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestACertificateIsMadeOncePerExchange(t *testing.T) {
	edp, _, _, exchange := pair(t)
	name := ensure(t, edp, exchange)
	if !regexp.MustCompile(`^edp1:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(name) {
		t.Errorf("name %q", name)
	}
	edp.restart(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if again, err := edp.manager.Ensure(t.Context(), exchange); again != name || err != nil {
				t.Errorf("%q, %v; want %q again", again, err, name)
			}
		})
	}
	wg.Wait()
	if other := ensure(t, edp, exchangeKey(t, "recurringExchanges/rx1/exchanges/2024-02-01")); other == name {
		t.Error("two exchanges share a certificate")
	}
}

func TestConcurrentCallsMakeOneCertificate(t *testing.T) {
	edp, _, s, exchange := pair(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := edp.manager.Ensure(t.Context(), exchange); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(certificates(t, s, exchange)); n != 1 {
		t.Errorf("%d certificates", n)
	}
}

// certificates lists the names that are published.
func certificates(t *testing.T, s *shared, exchange blob.ExchangeKey) []string {
	t.Helper()
	var names []string
	for info, err := range s.store(t, exchange).List(t.Context(), "certificates/") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, strings.TrimPrefix(info.Key, "certificates/"))
	}
	return names
}

func TestThePartnerAcceptsTheCertificate(t *testing.T) {
	edp, mp, _, exchange := pair(t)
	name := ensure(t, edp, exchange)
	cert, err := mp.manager.Certificate(t.Context(), exchange, name, "edp1")
	if err != nil {
		t.Fatal(err)
	}
	credential, err := edp.manager.Credential(t.Context(), exchange)
	if err != nil {
		t.Fatal(err)
	}
	if credential.Name != name || !credential.Certificate.Equal(cert) || credential.Algorithm != trust.ECDSAWithSHA256 {
		t.Errorf("credential %q by %s", credential.Name, credential.Algorithm)
	}
}

func TestOnesOwnCertificateNeedsNoRoot(t *testing.T) {
	edp, _, _, exchange := pair(t)
	name := ensure(t, edp, exchange)
	edp.restart(t)
	if _, err := edp.manager.Credential(t.Context(), exchange); err != nil {
		t.Error(err)
	}
	if _, err := edp.manager.Certificate(t.Context(), exchange, name, "edp1"); err != nil {
		t.Error(err)
	}
}

func TestWithoutAnyKeyNothingIsSigned(t *testing.T) {
	edp, _, _, exchange := pair(t)
	if _, err := edp.manager.Credential(t.Context(), exchange); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// sorted asserts class and code of an error, and a part of its text.
func sorted(t *testing.T, err error, class failure.Class, code failure.Code, text string) {
	t.Helper()
	gotClass, gotCode := failure.Of(err)
	if err == nil || gotClass != class || gotCode != code || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, sorted as %s %s; want %s %s with %q", err, gotClass, gotCode, class, code, text)
	}
}

func TestCertificatesThatMayNotBeTrustedAreRefused(t *testing.T) {
	edp, mp, s, exchange := pair(t)
	name := ensure(t, edp, exchange)
	store := s.store(t, exchange)
	ctx := t.Context()

	_, err := mp.manager.Certificate(ctx, exchange, name, "mp1")
	sorted(t, err, failure.Permanent, failure.CodeSignature, `"mp1" should have signed`)
	own := ensure(t, mp, exchange)
	_, err = mp.manager.Certificate(ctx, exchange, own, "edp1")
	sorted(t, err, failure.Permanent, failure.CodeSignature, `"edp1" should have signed`)
	for _, bad := range []string{"", "edp1", "edp1:", ":x", "edp1:../../x", "edp1:a/b", strings.Repeat("x", 5000)} {
		_, err = mp.manager.Certificate(ctx, exchange, bad, "edp1")
		if err == nil || len(err.Error()) > 1000 {
			t.Errorf("name %.30q: %v", bad, err)
		}
	}
	_, err = mp.manager.Certificate(ctx, exchange, "edp1:absent", "edp1")
	sorted(t, err, failure.Transient, failure.CodeCertificate, "edp1:absent")

	for what, b := range map[string][]byte{"garbage": []byte("garbage"), "nothing": nil, "no certificate": {0x0a, 1, 'x'}} {
		if err := store.PutBytes(ctx, "certificates/edp1:bad", b); err != nil {
			t.Fatal(err)
		}
		_, err = mp.manager.Certificate(ctx, exchange, "edp1:bad", "edp1")
		if class, code := failure.Of(err); class != failure.Permanent || code != failure.CodeCertificate {
			t.Errorf("%s: %v", what, err)
		}
	}

	// Another authority's certificate in the owner's name.
	stranger := newParty(t, "edp1", s, nil)
	forged := ensure(t, stranger, exchange)
	_, err = mp.manager.Certificate(ctx, exchange, forged, "edp1")
	sorted(t, err, failure.Permanent, failure.CodeCertificate, "not signed by the owner's root")
	// Refusal is not forgotten, nor remembered as acceptance.
	_, err = mp.manager.Certificate(ctx, exchange, forged, "edp1")
	sorted(t, err, failure.Permanent, failure.CodeCertificate, "not signed by the owner's root")

	delete(mp.roots.m, "edp1")
	mp.restart(t)
	_, err = mp.manager.Certificate(ctx, exchange, name, "edp1")
	sorted(t, err, failure.Configuration, failure.CodeCertificate, "rootCertificates")
	mp.roots.m["edp1"] = []byte("not a certificate")
	_, err = mp.manager.Certificate(ctx, exchange, name, "edp1")
	sorted(t, err, failure.Configuration, failure.CodeCertificate, "is not an X.509 certificate")
}

func TestARootMayBePEM(t *testing.T) {
	edp, mp, _, exchange := pair(t)
	mp.roots.m["edp1"] = trust.MarshalCertificatePEM(rootOf(t, edp.config.Authority))
	if _, err := mp.manager.Certificate(t.Context(), exchange, ensure(t, edp, exchange), "edp1"); err != nil {
		t.Error(err)
	}
}

// datedCA signs with dates of its own, and counts.
type datedCA struct {
	provider.CertificateAuthority
	root                *x509.Certificate
	sign                trust.SigningKey
	notBefore, notAfter time.Time
}

func newDatedCA(t *testing.T, from, to time.Duration) *datedCA {
	t.Helper()
	ca := &datedCA{sign: newSigningKey(t, "root", manifest.Keys{}), notBefore: time.Now().Add(from), notAfter: time.Now().Add(to)}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, ca.sign.Key.Public(), ca.sign.Key)
	if err != nil {
		t.Fatal(err)
	}
	ca.root, _ = x509.ParseCertificate(der)
	return ca
}

func (ca *datedCA) Issue(_ context.Context, req provider.IssueRequest) (provider.Issued, error) {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "x"}, SubjectKeyId: []byte("id"), NotBefore: ca.notBefore, NotAfter: ca.notAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.root, req.Key.Public(), ca.sign.Key)
	if err != nil {
		return provider.Issued{}, err
	}
	c, err := x509.ParseCertificate(der)
	return provider.Issued{Certificate: c, Key: req.Key}, err
}

func TestDatesCountWithLeewayUnlessRelaxed(t *testing.T) {
	cases := []struct {
		from, to time.Duration
		allow    []string
		want     string
	}{
		{-time.Hour, time.Hour, nil, ""},
		{-100 * time.Hour, -23 * time.Hour, nil, ""},
		{-100 * time.Hour, -25 * time.Hour, nil, "is expired since"},
		{23 * time.Hour, 100 * time.Hour, nil, ""},
		{25 * time.Hour, 100 * time.Hour, nil, "is not valid before"},
		{-100 * time.Hour, -25 * time.Hour, []string{"expiredCertificates"}, ""},
	}
	for _, c := range cases {
		s := newShared(t)
		ca := newDatedCA(t, c.from, c.to)
		edp := newParty(t, "edp1", s, func(config *trust.Config) { config.Authority = ca })
		mp := newParty(t, "mp1", s, func(config *trust.Config) {
			var err error
			if config.Policy, err = trust.NewPolicy(manifest.Trust{Allow: c.allow, DateLeeway: manifest.Duration(24 * time.Hour)}); err != nil {
				t.Fatal(err)
			}
		})
		mp.roots.m["edp1"] = ca.root.Raw
		exchange := exchangeKey(t, entry)
		name := ensure(t, edp, exchange)
		for range 2 { // from the directory, then from memory
			_, err := mp.manager.Certificate(t.Context(), exchange, name, "edp1")
			if c.want == "" && err != nil {
				t.Errorf("%+v: %v", c, err)
			} else if c.want != "" {
				sorted(t, err, failure.Configuration, failure.CodeCertificate, c.want)
			}
		}
		// We can always read what we wrote ourselves, and say so if the partner won't.
		if _, err := edp.manager.Credential(t.Context(), exchange); err != nil {
			t.Errorf("%+v: own: %v", c, err)
		}
		if outside := strings.Contains(edp.log.String(), "outside its dates"); outside != (c.want != "" || c.allow != nil) {
			t.Errorf("%+v: own log %q", c, edp.log)
		}
	}
}

// revoking is a directory that says that all is revoked, as a Kingdom can.
type revoking struct{ trust.Directory }

func (d revoking) Lookup(ctx context.Context, e blob.ExchangeKey, name string) (trust.Published, error) {
	p, err := d.Directory.Lookup(ctx, e, name)
	p.Revoked = true
	return p, err
}

func TestRevokedCertificatesAreRefusedUnlessRelaxed(t *testing.T) {
	edp, mp, _, exchange := pair(t)
	name := ensure(t, edp, exchange)
	mp.config.Directory = revoking{mp.config.Directory}
	mp.restart(t)
	_, err := mp.manager.Certificate(t.Context(), exchange, name, "edp1")
	sorted(t, err, failure.Configuration, failure.CodeCertificate, "is revoked")
	if mp.config.Policy, err = trust.NewPolicy(manifest.Trust{Allow: []string{"revokedCertificates"}}); err != nil {
		t.Fatal(err)
	}
	mp.restart(t)
	if _, err := mp.manager.Certificate(t.Context(), exchange, name, "edp1"); err != nil {
		t.Error(err)
	}
}

func TestAnyOwnerTakesOnesOwnCertificateAndNoStrangers(t *testing.T) {
	edp, mp, _, exchange := pair(t)
	var err error
	if mp.config.Policy, err = trust.NewPolicy(manifest.Trust{Allow: []string{"anyOwner"}}); err != nil {
		t.Fatal(err)
	}
	mp.restart(t)
	own := ensure(t, mp, exchange)
	if _, err := mp.manager.Certificate(t.Context(), exchange, own, "edp1"); err != nil {
		t.Error(err)
	}
	mp.roots.m["stranger"] = rootOf(t, edp.config.Authority).Raw
	_, err = mp.manager.Certificate(t.Context(), exchange, "stranger:x", "edp1")
	sorted(t, err, failure.Permanent, failure.CodeSignature, "should have signed")
}

func TestRelaxationsAreKnownByNameAndLogged(t *testing.T) {
	var log strings.Builder
	p, err := trust.NewPolicy(manifest.Trust{Allow: []string{"anyOwner", "expiredCertificates", "anyOwner"}})
	if err != nil {
		t.Fatal(err)
	}
	p.Log(slog.New(slog.NewTextHandler(&log, nil)))
	if n := strings.Count(log.String(), "level=WARN"); n != 2 {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
	if _, err := trust.NewPolicy(manifest.Trust{Allow: []string{"everything"}}); err == nil || !strings.Contains(err.Error(), "expiredCertificates, revokedCertificates, anyOwner") {
		t.Errorf("got %v", err)
	}
	if _, err := trust.NewPolicy(manifest.Trust{DateLeeway: -1}); err == nil {
		t.Error("a negative leeway was taken")
	}
}

func TestAnAuthorityOfTheOtherFamilyIsFoundOut(t *testing.T) {
	s := newShared(t)
	rsaCA := openCA(t, manifest.Keys{Algorithm: "RSA", Bits: 2048})
	edp := newParty(t, "edp1", s, func(c *trust.Config) { c.Authority = rsaCA })
	_, err := edp.manager.Ensure(t.Context(), exchangeKey(t, entry))
	if err == nil || !strings.Contains(err.Error(), "must be of one kind") {
		t.Errorf("got %v", err)
	}
	if n := certificates(t, s, exchangeKey(t, entry)); len(n) != 0 {
		t.Errorf("published %v", n)
	}
}

// bringing is an authority that has keys of its own.
type bringing struct {
	provider.CertificateAuthority
	key trust.SigningKey
}

func (b bringing) Issue(ctx context.Context, req provider.IssueRequest) (provider.Issued, error) {
	req.Key = b.key.Key
	return b.CertificateAuthority.Issue(ctx, req)
}

func TestAKeyThatTheAuthorityBringsIsKept(t *testing.T) {
	edp, mp, _, exchange := pair(t)
	key := newSigningKey(t, "x", manifest.Keys{})
	edp.config.Authority = bringing{edp.config.Authority, key}
	edp.restart(t)
	name := ensure(t, edp, exchange)
	c, err := edp.manager.Credential(t.Context(), exchange)
	if err != nil || !trust.SamePublicKey(c.Key.Public(), key.Key.Public()) {
		t.Errorf("%v, %v", c, err)
	}
	if _, err := mp.manager.Certificate(t.Context(), exchange, name, "edp1"); err != nil {
		t.Error(err)
	}
}

func TestAnotherRootThanTheStoredOneIsWarnedOf(t *testing.T) {
	edp, mp, _, exchange := pair(t)
	edp.roots.m["edp1"] = rootOf(t, mp.config.Authority).Raw
	ensure(t, edp, exchange)
	if !strings.Contains(edp.log.String(), "another root") {
		t.Errorf("log: %s", edp.log)
	}
}

func TestCheckpointsAreSignedWithTheExchangesOwnKey(t *testing.T) {
	edp, mp, _, exchange := pair(t)
	payload := []byte("serialized checkpoint")
	for _, a := range []trust.Algorithm{trust.ECDSAWithSHA256, trust.ECDSAWithSHA512} {
		c, err := edp.manager.SignCheckpoint(t.Context(), exchange, a, payload)
		if err != nil {
			t.Fatal(err)
		}
		if c.AlgorithmOID != a.OID() {
			t.Errorf("OID %s", c.AlgorithmOID)
		}
		for _, p := range []*party{edp, mp} {
			if err := p.manager.VerifyCheckpoint(t.Context(), exchange, "edp1", payload, c); err != nil {
				t.Errorf("%s: %v", p.id, err)
			}
		}
		err = mp.manager.VerifyCheckpoint(t.Context(), exchange, "edp1", []byte("another"), c)
		sorted(t, err, failure.Permanent, failure.CodeSignature, "does not fit")
		err = mp.manager.VerifyCheckpoint(t.Context(), exchange, "mp1", payload, c)
		sorted(t, err, failure.Permanent, failure.CodeSignature, "should have signed")
		c.AlgorithmOID = "1.2.3"
		err = mp.manager.VerifyCheckpoint(t.Context(), exchange, "edp1", payload, c)
		sorted(t, err, failure.Permanent, failure.CodeCheckpoint, "1.2.3")
		c.AlgorithmOID = trust.SHA256WithRSA.OID()
		if err := mp.manager.VerifyCheckpoint(t.Context(), exchange, "edp1", payload, c); err == nil {
			t.Error("an RSA signature by an EC key")
		}
	}
	_, err := edp.manager.SignCheckpoint(t.Context(), exchange, trust.SHA256WithRSA, payload)
	sorted(t, err, failure.Configuration, failure.CodeCheckpoint, "coordinator.checkpoint.signature")
}

func TestAManagerIsMadeOfAllItsParts(t *testing.T) {
	edp, _, _, _ := pair(t)
	for _, spoil := range []func(*trust.Config){
		func(c *trust.Config) { c.Own = "" },
		func(c *trust.Config) { c.Store = nil },
		func(c *trust.Config) { c.Roots = nil },
		func(c *trust.Config) { c.Directory = nil },
		func(c *trust.Config) { c.Policy = nil },
	} {
		config := edp.config
		spoil(&config)
		if _, err := trust.New(config); err == nil {
			t.Error("an incomplete configuration was taken")
		}
	}
	edp.config.Authority = nil
	edp.restart(t)
	_, err := edp.manager.Ensure(t.Context(), exchangeKey(t, entry))
	sorted(t, err, failure.Configuration, failure.CodeCertificate, "no certificate authority")
}
