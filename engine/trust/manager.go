package trust

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Config is what a Manager is made of. Nothing of it is closed by the Manager.
type Config struct {
	// Own is this party as certificate names have it: the bare id without a Kingdom, else the resource name.
	Own string
	// Keys, Subject and Validity are for keys and certificates that are made.
	Keys     manifest.Keys
	Subject  manifest.Subject
	Validity time.Duration

	Authority provider.CertificateAuthority
	Store     *KeyStore
	// Roots is the rootCertificates map: owner → root certificate, DER (PEM is taken too).
	Roots     provider.SecretMap
	Directory Directory
	Policy    *Policy
	// Log gets warnings; nil for none.
	Log *slog.Logger
}

// Manager makes this party's exchange certificates, signs with their keys, and
// judges the partner's. It is safe for concurrent use.
type Manager struct {
	c Config

	mu     sync.Mutex
	locks  map[blob.ExchangeKey]*sync.Mutex // one creation at a time for each exchange
	cache  map[cacheKey]cached
	warned map[string]bool
}

type cacheKey struct {
	exchange blob.ExchangeKey
	name     string
}

// cached is a certificate whose issuer has been checked.
type cached struct {
	Published
	at time.Time
}

const (
	// cacheFor is how long a certificate is not asked for again; within it a revocation goes unseen.
	cacheFor = 15 * time.Minute
	// maxCache bounds the cache in entries.
	maxCache = 4096
)

// New returns a Manager.
func New(c Config) (*Manager, error) {
	switch {
	case c.Own == "":
		return nil, errors.New("trust: this party has no name")
	case c.Store == nil || c.Roots == nil || c.Directory == nil || c.Policy == nil:
		return nil, errors.New("trust: key store, root certificates, directory and policy are needed")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Manager{
		c: c, locks: map[blob.ExchangeKey]*sync.Mutex{}, cache: map[cacheKey]cached{}, warned: map[string]bool{},
	}, nil
}

// Credential is what this party signs with in an exchange.
type Credential struct {
	SigningKey
	Certificate *x509.Certificate
	// Algorithm is that of the certificate's own signature; shared blobs are signed by it.
	Algorithm Algorithm
}

// NewSigner begins a signature of a shared blob.
func (c *Credential) NewSigner() (*Signer, error) { return NewSigner(c.Algorithm, c.Key) }

// Ensure returns the name of this party's certificate for an exchange, and
// makes key and certificate if there are none. It may be repeated after any
// failure, and after a crash at any point:
//
//	no key → pending key stored → certificate issued → published → name bound → pending entry emptied
//
// Until the name is bound a repetition goes on with the pending key, so the key
// of a published certificate is never lost.
func (m *Manager) Ensure(ctx context.Context, exchange blob.ExchangeKey) (string, error) {
	k, err := m.ensure(ctx, exchange)
	return k.Name, err
}

func (m *Manager) ensure(ctx context.Context, exchange blob.ExchangeKey) (SigningKey, error) {
	unlock := m.lock(exchange)
	defer unlock()
	k, err := m.c.Store.Get(ctx, exchange.Path())
	if !errors.Is(err, provider.ErrNotFound) {
		return k, err
	}
	if m.c.Authority == nil {
		return SigningKey{}, failure.Configurationf(failure.CodeCertificate, "%s has no certificate, and there is no certificate authority to ask", exchange.Path())
	}
	k, err = m.create(ctx, exchange)
	if errors.Is(err, ErrAlreadyPublished) {
		// A crash between publication and binding, at a directory that does not tell names. Begin with another key.
		if err = m.c.Store.settle(ctx, exchange); err == nil {
			k, err = m.create(ctx, exchange)
		}
	}
	if err != nil {
		return SigningKey{}, certificateError(fmt.Errorf("certificate for %s: %w", exchange.Path(), err))
	}
	return k, nil
}

func (m *Manager) create(ctx context.Context, exchange blob.ExchangeKey) (SigningKey, error) {
	waiting, err := m.waiting(ctx, exchange)
	if err != nil {
		return SigningKey{}, err
	}
	issued, err := m.c.Authority.Issue(ctx, provider.IssueRequest{
		Exchange: exchange.Path(), Key: waiting.Key, Subject: m.c.Subject, Validity: m.c.Validity, IdempotencyKey: waiting.Name,
	})
	if err != nil {
		return SigningKey{}, err
	}
	if err := CheckIssued(issued.Certificate, issued.Key); err != nil {
		return SigningKey{}, failure.New(failure.Configuration, failure.CodeCertificate, fmt.Errorf("the certificate authority's answer can't be used: %w", err))
	}
	if !SamePublicKey(issued.Key.Public(), waiting.Key.Public()) {
		// The authority brought a key along.
		waiting.Key = issued.Key
		if err := m.c.Store.putPending(ctx, exchange, waiting); err != nil {
			return SigningKey{}, err
		}
	}
	m.warnOfOwnRoot(ctx, issued.Certificate)
	name, err := m.c.Directory.Publish(ctx, exchange, waiting.Name, issued.Certificate)
	if err != nil {
		return SigningKey{}, fmt.Errorf("publish: %w", err)
	}
	bound := SigningKey{Name: name, Key: issued.Key}
	if err := m.c.Store.Put(ctx, exchange.Path(), bound); err != nil {
		return SigningKey{}, err
	}
	if err := m.c.Store.settle(ctx, exchange); err != nil {
		m.c.Log.Debug("the pending entry of a private key could not be emptied, which does no harm", "exchange", exchange.Path(), "error", err)
	}
	return bound, nil
}

// waiting returns the key that waits for its certificate, and makes one if there is none.
func (m *Manager) waiting(ctx context.Context, exchange blob.ExchangeKey) (SigningKey, error) {
	k, err := m.c.Store.pending(ctx, exchange)
	if !errors.Is(err, provider.ErrNotFound) {
		return k, err
	}
	key, err := GenerateKey(m.c.Keys)
	if err != nil {
		return SigningKey{}, err
	}
	k = SigningKey{Name: newID(), Key: key}
	return k, m.c.Store.putPending(ctx, exchange, k)
}

// warnOfOwnRoot tells if the partner, who should hold the same root as we do, could not verify the certificate.
func (m *Manager) warnOfOwnRoot(ctx context.Context, cert *x509.Certificate) {
	root, err := m.root(ctx, m.c.Own)
	if err == nil && CheckIssuer(cert, root) != nil {
		m.warnOnce("own root", "the certificate authority signs with another root than the one stored for this party; "+
			"give the partner the authority's present root certificate", "owner", m.c.Own)
	}
}

func (m *Manager) warnOnce(id, text string, args ...any) {
	m.mu.Lock()
	first := !m.warned[id]
	m.warned[id] = true
	m.mu.Unlock()
	if first {
		m.c.Log.Warn(text, args...)
	}
}

// lock serializes creation for one exchange.
func (m *Manager) lock(exchange blob.ExchangeKey) (unlock func()) {
	m.mu.Lock()
	l := m.locks[exchange]
	if l == nil {
		l = &sync.Mutex{}
		m.locks[exchange] = l
	}
	m.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// Credential returns what this party signs the blobs of an exchange with: the
// exchange's own key, or the fallback. Without either it fails with
// provider.ErrNotFound.
func (m *Manager) Credential(ctx context.Context, exchange blob.ExchangeKey) (*Credential, error) {
	k, err := m.c.Store.ForExchange(ctx, exchange)
	if err != nil {
		return nil, err
	}
	cert, err := m.ownCertificate(ctx, exchange, k)
	if err != nil {
		return nil, err
	}
	a, err := checkPair(cert, k.Key)
	if err != nil {
		return nil, failure.New(failure.Configuration, failure.CodeCertificate, fmt.Errorf("own certificate %q: %w", k.Name, err))
	}
	if err := m.c.Policy.CheckDates(cert); err != nil {
		m.warnOnce("dates "+k.Name, "own exchange certificate is outside its dates; the partner may refuse it", "certificate", k.Name, "error", err)
	}
	return &Credential{SigningKey: k, Certificate: cert, Algorithm: a}, nil
}

// ownCertificate looks up the certificate of a key that we hold. Holding the
// key is proof enough: no root is needed for it.
func (m *Manager) ownCertificate(ctx context.Context, exchange blob.ExchangeKey, k SigningKey) (*x509.Certificate, error) {
	id := cacheKey{exchange, k.Name}
	if p, ok := m.cached(id); ok && SamePublicKey(p.Certificate.PublicKey, k.Key.Public()) {
		return p.Certificate, nil
	}
	p, err := m.c.Directory.Lookup(ctx, exchange, k.Name)
	if err != nil {
		return nil, certificateError(fmt.Errorf("own certificate %q: %w", k.Name, err))
	}
	if !SamePublicKey(p.Certificate.PublicKey, k.Key.Public()) {
		return nil, failure.Configurationf(failure.CodeCertificate, "own certificate %q, as published, is for another key than the stored one", k.Name)
	}
	if p.Revoked {
		m.warnOnce("revoked "+k.Name, "own exchange certificate is revoked; the partner may refuse it", "certificate", k.Name)
	}
	m.remember(id, p)
	return p.Certificate, nil
}

// Certificate returns the certificate of a name after all checks: it belongs to
// owner, whose root signed it, and it is valid and not revoked. owner is spelled
// as in names (bare id without a Kingdom, else resource name).
func (m *Manager) Certificate(ctx context.Context, exchange blob.ExchangeKey, name, owner string) (*x509.Certificate, error) {
	cert, err := m.certificate(ctx, exchange, name, owner)
	if err != nil {
		return nil, certificateError(fmt.Errorf("certificate %.200q: %w", name, err))
	}
	return cert, nil
}

func (m *Manager) certificate(ctx context.Context, exchange blob.ExchangeKey, name, expected string) (*x509.Certificate, error) {
	owner, err := m.c.Directory.Owner(name)
	if err != nil {
		return nil, err
	}
	if err := m.c.Policy.CheckOwner(owner, expected, m.c.Own); err != nil {
		return nil, failure.New(failure.Permanent, failure.CodeSignature, err)
	}
	if owner == m.c.Own {
		// Our own. If we hold its key, nothing else matters: we may read what we wrote even if the
		// certificate is expired by now, and without our own root.
		k, err := m.c.Store.ForExchange(ctx, exchange)
		if err == nil && k.Name == name {
			return m.ownCertificate(ctx, exchange, k)
		}
		if err != nil && !errors.Is(err, provider.ErrNotFound) {
			return nil, err
		}
	}
	id := cacheKey{exchange, name}
	p, ok := m.cached(id)
	if !ok {
		if p, err = m.fetch(ctx, exchange, name, owner); err != nil {
			return nil, err
		}
		m.remember(id, p)
	}
	// Dates pass, and a relaxation makes them pass; neither is a reason to give the exchange up.
	if err := errors.Join(m.c.Policy.CheckDates(p.Certificate), m.c.Policy.CheckRevoked(p.Revoked)); err != nil {
		return nil, failure.New(failure.Configuration, failure.CodeCertificate, err)
	}
	return p.Certificate, nil
}

// fetch looks a certificate up and checks who issued it.
func (m *Manager) fetch(ctx context.Context, exchange blob.ExchangeKey, name, owner string) (Published, error) {
	root, err := m.root(ctx, owner)
	if err != nil {
		return Published{}, err
	}
	p, err := m.c.Directory.Lookup(ctx, exchange, name)
	if err != nil {
		return Published{}, err
	}
	return p, CheckIssuer(p.Certificate, root)
}

// root returns the root certificate of a party.
func (m *Manager) root(ctx context.Context, owner string) (*x509.Certificate, error) {
	b, err := m.c.Roots.Get(ctx, owner)
	if errors.Is(err, provider.ErrNotFound) {
		return nil, failure.Configurationf(failure.CodeCertificate, "there is no root certificate of %.80q: %w; store the one that the partner gave you in rootCertificates", owner, err)
	}
	if err != nil {
		return nil, fmt.Errorf("root certificate of %.80q: %w", owner, err)
	}
	parse := ParseCertificate
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("-----BEGIN ")) {
		parse = ParseCertificatePEM
	}
	root, err := parse(b)
	if err != nil {
		return nil, failure.New(failure.Configuration, failure.CodeCertificate, fmt.Errorf("root certificate of %.80q %w", owner, err))
	}
	return root, nil
}

func (m *Manager) cached(id cacheKey) (Published, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.cache[id]
	return c.Published, ok && m.c.Policy.now().Sub(c.at) < cacheFor
}

func (m *Manager) remember(id cacheKey, p Published) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.cache) >= maxCache {
		clear(m.cache)
	}
	m.cache[id] = cached{p, m.c.Policy.now()}
}

// Checkpoint is a signature of a checkpoint.
type Checkpoint struct {
	Signature []byte
	// AlgorithmOID is dotted.
	AlgorithmOID string
	// CertificateName names the signer's certificate.
	CertificateName string
}

// SignCheckpoint signs the bytes of this party's checkpoint, with the
// exchange's own key, which is made if there is none; never with the fallback,
// as the reference has it. The algorithm is the deployment's choice; it need
// not be the certificate's, but must be of the key's family.
func (m *Manager) SignCheckpoint(ctx context.Context, exchange blob.ExchangeKey, a Algorithm, payload []byte) (Checkpoint, error) {
	k, err := m.ensure(ctx, exchange)
	if err != nil {
		return Checkpoint{}, err
	}
	sig, err := Sign(a, k.Key, payload)
	if err != nil {
		return Checkpoint{}, failure.New(failure.Configuration, failure.CodeCheckpoint, fmt.Errorf("sign checkpoint (coordinator.checkpoint.signature): %w", err))
	}
	return Checkpoint{Signature: sig, AlgorithmOID: a.OID(), CertificateName: k.Name}, nil
}

// VerifyCheckpoint checks that owner signed the bytes of a checkpoint.
func (m *Manager) VerifyCheckpoint(ctx context.Context, exchange blob.ExchangeKey, owner string, payload []byte, c Checkpoint) error {
	a, err := AlgorithmByOID(c.AlgorithmOID)
	if err != nil {
		return failure.New(failure.Permanent, failure.CodeCheckpoint, fmt.Errorf("%w: checkpoint of %.80q: %w", provider.ErrRejected, owner, err))
	}
	cert, err := m.Certificate(ctx, exchange, c.CertificateName, owner)
	if err != nil {
		return err
	}
	return failure.New(failure.Permanent, failure.CodeSignature, verifyNamed(a, cert.PublicKey, payload, c.Signature, owner))
}

func verifyNamed(a Algorithm, public crypto.PublicKey, payload, signature []byte, owner string) error {
	if err := Verify(a, public, payload, signature); err != nil {
		return fmt.Errorf("checkpoint of %.80q: %w", owner, err)
	}
	return nil
}
