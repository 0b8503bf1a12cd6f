package trust_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
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

// crasher ends a process at its n-th point: from then on everything fails.
type crasher struct{ points, at int }

var errCrash = errors.New("the process is gone")

func (c *crasher) point() error {
	c.points++
	if c.at > 0 && c.points >= c.at {
		return errCrash
	}
	return nil
}

// around runs f between two points: a crash may come before it, or when it is done.
func around[T any](c *crasher, f func() (T, error)) (T, error) {
	var zero T
	if err := c.point(); err != nil {
		return zero, err
	}
	v, err := f()
	if err == nil {
		err = c.point()
	}
	if err != nil {
		return zero, err
	}
	return v, nil
}

type crashingMap struct {
	*memoryMap
	c *crasher
}

func (m crashingMap) Get(ctx context.Context, key string) ([]byte, error) {
	return around(m.c, func() ([]byte, error) { return m.memoryMap.Get(ctx, key) })
}

func (m crashingMap) Put(ctx context.Context, key string, value []byte) error {
	_, err := around(m.c, func() (struct{}, error) { return struct{}{}, m.memoryMap.Put(ctx, key, value) })
	return err
}

type crashingCA struct {
	provider.CertificateAuthority
	c *crasher
}

func (a crashingCA) Issue(ctx context.Context, req provider.IssueRequest) (provider.Issued, error) {
	return around(a.c, func() (provider.Issued, error) { return a.CertificateAuthority.Issue(ctx, req) })
}

type crashingDirectory struct {
	trust.Directory
	c *crasher
}

func (d crashingDirectory) Publish(ctx context.Context, e blob.ExchangeKey, id string, cert *x509.Certificate) (string, error) {
	return around(d.c, func() (string, error) { return d.Directory.Publish(ctx, e, id, cert) })
}

// kingdom is a directory that gives names and refuses a key that it has seen.
type kingdom struct {
	mu    sync.Mutex
	certs map[string]*x509.Certificate
}

func (k *kingdom) Publish(_ context.Context, _ blob.ExchangeKey, _ string, cert *x509.Certificate) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.certs {
		if string(c.SubjectKeyId) == string(cert.SubjectKeyId) {
			return "", fmt.Errorf("kingdom: %w", trust.ErrAlreadyPublished)
		}
	}
	name := fmt.Sprintf("dataProviders/edp1/certificates/%d", len(k.certs))
	k.certs[name] = cert
	return name, nil
}

func (k *kingdom) Lookup(_ context.Context, _ blob.ExchangeKey, name string) (trust.Published, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := k.certs[name]; c != nil {
		return trust.Published{Certificate: c}, nil
	}
	return trust.Published{}, provider.ErrNotFound
}

func (k *kingdom) Owner(name string) (string, error) {
	owner, _, ok := strings.Cut(name, "/certificates/")
	if !ok {
		return "", provider.ErrRejected
	}
	return owner, nil
}

func TestACrashAtAnyPointLosesNoKey(t *testing.T) {
	exchange := exchangeKey(t, entry)
	for _, mode := range []string{"shared storage", "kingdom", "authority with keys"} {
		t.Run(mode, func(t *testing.T) {
			authority := openCA(t, manifest.Keys{})
			root := rootOf(t, authority).Raw
			if mode == "authority with keys" {
				authority = bringing{authority, newSigningKey(t, "x", manifest.Keys{})}
			}
			for at := 1; ; at++ {
				s := newShared(t)
				var directory trust.Directory = trust.NewSharedDirectory("edp1", s.open)
				owner := "edp1"
				if mode == "kingdom" {
					directory, owner = &kingdom{certs: map[string]*x509.Certificate{}}, "dataProviders/edp1"
				}
				crash := &crasher{at: at}
				var kept *memoryMap
				p := newParty(t, owner, s, func(c *trust.Config) { c.Directory = directory })
				kept = p.keys
				sound := p.config
				sound.Authority = authority
				p.config.Authority = crashingCA{authority, crash}
				p.config.Store = trust.NewKeyStore(crashingMap{kept, crash}, trust.NoSealer(), manifest.Keys{})
				p.config.Directory = crashingDirectory{directory, crash}
				p.restart(t)
				_, err := p.manager.Ensure(t.Context(), exchange)
				if err != nil && !errors.Is(err, errCrash) {
					t.Fatalf("crash %d: %v", at, err)
				}
				crashed := crash.points >= at

				p.config = sound
				p.restart(t)
				name := ensure(t, p, exchange)
				c, err := p.manager.Credential(t.Context(), exchange)
				if err != nil || c.Name != name {
					t.Fatalf("crash %d: %v, %v", at, c, err)
				}
				partner := newParty(t, "mp1", s, func(c *trust.Config) { c.Directory = directory })
				partner.roots.m[owner] = root
				if _, err := partner.manager.Certificate(t.Context(), exchange, name, owner); err != nil {
					t.Errorf("crash %d: the partner: %v", at, err)
				}
				if mode == "shared storage" {
					if n := certificates(t, s, exchange); len(n) != 1 {
						t.Errorf("crash %d: %d certificates were published", at, len(n))
					}
				}
				if p.restart(t); ensure(t, p, exchange) != name {
					t.Errorf("crash %d: the name changes", at)
				}
				if !crashed {
					if at < 10 {
						t.Errorf("only %d points", at)
					}
					return
				}
			}
		})
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
