// Package local is a certificate authority inside the process: a root
// certificate and its private key in files, and crypto/x509.
//
// The certificates are like those that the reference's OpenSSL authority
// makes: signed directly by the root, subject O then CN, the DNS name as
// alternative name, subject and authority key identifiers, usable for
// signatures only by whom they name.
//
// It keeps no list of what it issued and revokes nothing. Who holds the root
// key can sign in this party's name; a managed authority guards it better.
package local

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/trust"
	"github.com/panelmatch/panelmatch/providers/internal/keyfile"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Config is what an operator writes.
type Config struct {
	// RootCertificate is a PEM file.
	RootCertificate string `json:"rootCertificate"`
	// RootKey refers to the root's private key: PEM of PKCS #8, SEC 1 or PKCS #1, not encrypted.
	RootKey manifest.SecretRef `json:"rootKey"`
	// CreateIfMissing makes both where they are missing.
	CreateIfMissing bool `json:"createIfMissing"`
}

const (
	// backdate is how long before its making a certificate begins to be valid, because clocks differ.
	backdate = 5 * time.Minute
	// rootLife is the life of a root that is made here.
	rootLife = 10 * 365 * 24 * time.Hour
	// maxCertificateFile bounds the root certificate's file in bytes.
	maxCertificateFile = 1 << 20
)

// Factory returns the provider "local".
func Factory() provider.Factory[provider.CertificateAuthority] {
	return provider.Factory[provider.CertificateAuthority]{
		Name:    "local",
		Package: "ca/local",
		Summary: "a root certificate and its key in files",
		Resolve: resolve,
	}
}

func resolve(b manifest.Backend, scope provider.Scope) (provider.Resolved[provider.CertificateAuthority], diag.List) {
	var c Config
	diags := b.Decode(&c)
	if diags.HasErrors() {
		return provider.Resolved[provider.CertificateAuthority]{}, diags
	}
	m := scope.Manifest()
	c.RootCertificate = b.Abs(c.RootCertificate, "rootCertificate")
	if c.CreateIfMissing {
		if m.Profile != manifest.Development {
			d := b.Fault(diag.CodeRule, "makes a root that nobody guards, which is for development only", "createIfMissing")
			d.Hint = "make the root once, keep its key safe, and leave this setting out; or set profile: development"
			diags = append(diags, d)
		}
		if _, err := keyPath(c.RootKey); err != nil {
			diags = append(diags, b.Fault(diag.CodeRule, err.Error(), "rootKey"))
		}
	}
	return provider.Resolved[provider.CertificateAuthority]{
		Attributes: []provider.Attribute{
			{Key: "rootCertificate", Value: c.RootCertificate},
			{Key: "rootKey", Value: c.RootKey.Ref()},
		},
		Open: func(ctx context.Context, env provider.Env) (provider.CertificateAuthority, error) {
			a, err := open(ctx, c, m.Keys, env)
			if err != nil {
				return nil, fmt.Errorf("local certificate authority: %w", err)
			}
			a.warn(env, m.CertificateAuthority.Validity.Std())
			return a, nil
		},
	}, diags
}

// keyPath returns the file that a reference names.
func keyPath(ref manifest.SecretRef) (string, error) {
	name, ok := strings.CutPrefix(ref.Ref(), "file://")
	if !ok || !filepath.IsAbs(name) {
		return "", errors.New("must be a file: reference, because createIfMissing has to write it")
	}
	return filepath.Clean(name), nil
}

// authority is a provider.CertificateAuthority.
type authority struct {
	root      *x509.Certificate
	key       crypto.Signer
	algorithm trust.Algorithm
	now       func() time.Time
	closed    atomic.Bool
}

var _ provider.AuthorityInspector = (*authority)(nil)

func open(ctx context.Context, c Config, keys manifest.Keys, env provider.Env) (*authority, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.CreateIfMissing {
		if err := createRoot(c, keys, env); err != nil {
			return nil, err
		}
	}
	text, err := readCertificate(c.RootCertificate)
	if err != nil {
		return nil, fmt.Errorf("root certificate: %w", err)
	}
	root, err := trust.ParseCertificatePEM(text)
	if err != nil {
		return nil, fmt.Errorf("root certificate %s %w", c.RootCertificate, err)
	}
	secret, err := env.Secret(ctx, c.RootKey)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	key, err := trust.ParseKeyPEM(secret)
	if err != nil {
		return nil, fmt.Errorf("root key %s %w", c.RootKey.Ref(), err)
	}
	a := &authority{root: root, key: key, now: time.Now}
	if err := a.check(trust.Family(keys.Algorithm)); err != nil {
		return nil, fmt.Errorf("root certificate %s %w", c.RootCertificate, err)
	}
	return a, nil
}

// readCertificate reads a file that is no secret.
func readCertificate(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading only
	b, err := io.ReadAll(io.LimitReader(f, maxCertificateFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxCertificateFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxCertificateFile)
	}
	return b, nil
}

// check checks that the root can sign exchange certificates of the family. The texts follow the root's name.
func (a *authority) check(exchangeKeys trust.Family) (err error) {
	if !trust.SamePublicKey(a.root.PublicKey, a.key.Public()) {
		return errors.New("does not belong to rootKey: their public keys differ")
	}
	if a.algorithm, err = trust.AlgorithmForIssuer(a.root.PublicKey); err != nil {
		return fmt.Errorf("can't be used: %w", err)
	}
	if family := a.algorithm.Family(); exchangeKeys != "" && family != exchangeKeys {
		return fmt.Errorf("has an %s key, but exchange keys are %s (keys.algorithm); both must be of one kind, "+
			"because an exchange key signs by its certificate's signature algorithm", family, exchangeKeys)
	}
	if a.root.BasicConstraintsValid && !a.root.IsCA {
		return errors.New("is not a certificate authority's (basic constraints say CA:FALSE)")
	}
	if a.root.KeyUsage != 0 && a.root.KeyUsage&x509.KeyUsageCertSign == 0 {
		return errors.New("may not sign certificates (its key usage lacks keyCertSign)")
	}
	if len(a.root.SubjectKeyId) == 0 {
		return errors.New("has no subject key identifier, which exchange certificates refer to; make it again, with subjectKeyIdentifier=hash")
	}
	return a.checkDates()
}

func (a *authority) checkDates() error {
	switch now := a.now(); {
	case now.After(a.root.NotAfter):
		return fmt.Errorf("is expired since %s", a.root.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(a.root.NotBefore):
		return fmt.Errorf("is not valid before %s", a.root.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// warn tells of a root whose life is shorter than that of the certificates it is to sign.
func (a *authority) warn(env provider.Env, validity time.Duration) {
	if env.Log != nil && a.root.NotAfter.Before(a.now().Add(validity)) {
		env.Log.Warn("the root certificate ends before the exchange certificates would; theirs are cut short",
			"notAfter", a.root.NotAfter.UTC().Format(time.RFC3339))
	}
}

// Issue signs a certificate for req.Key.
func (a *authority) Issue(ctx context.Context, req provider.IssueRequest) (provider.Issued, error) {
	cert, err := a.issue(ctx, req)
	if err != nil {
		return provider.Issued{}, fmt.Errorf("local certificate authority: certificate for %s: %w", req.Exchange, err)
	}
	return provider.Issued{Certificate: cert, Key: req.Key}, nil
}

func (a *authority) issue(ctx context.Context, req provider.IssueRequest) (*x509.Certificate, error) {
	if a.closed.Load() {
		return nil, errors.New("it is closed")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if req.Key == nil {
		return nil, errors.New("there is no key to certify")
	}
	family, err := trust.FamilyOf(req.Key.Public())
	if err != nil {
		return nil, err
	}
	if family != a.algorithm.Family() {
		return nil, fmt.Errorf("the exchange key is %s and the root's key %s; both must be of one kind", family, a.algorithm.Family())
	}
	if req.Validity <= 0 {
		return nil, errors.New("the validity must be positive (certificateAuthority.validity)")
	}
	if err := a.checkDates(); err != nil {
		return nil, fmt.Errorf("the root certificate %w", err)
	}
	template, err := a.template(req)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, req.Key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func (a *authority) template(req provider.IssueRequest) (*x509.Certificate, error) {
	ski, err := trust.SubjectKeyID(req.Key.Public())
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := a.now()
	notAfter := now.Add(req.Validity)
	if notAfter.After(a.root.NotAfter) {
		notAfter = a.root.NotAfter
	}
	t := &x509.Certificate{
		SerialNumber:          serial,
		SignatureAlgorithm:    a.algorithm.X509(),
		Subject:               pkix.Name{CommonName: req.Subject.CommonName},
		NotBefore:             now.Add(-backdate),
		NotAfter:              notAfter,
		SubjectKeyId:          ski,
		AuthorityKeyId:        a.root.SubjectKeyId,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageKeyEncipherment,
		BasicConstraintsValid: true, // CA:FALSE
	}
	if req.Subject.Organization != "" {
		t.Subject.Organization = []string{req.Subject.Organization}
	}
	if req.Subject.DNSName != "" {
		t.DNSNames = []string{req.Subject.DNSName}
	}
	return t, nil
}

// newSerial returns a random serial number of 159 bits: positive, and 20 bytes at most.
func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 159))
}

// Inspect returns the root certificate.
func (a *authority) Inspect(ctx context.Context) (*x509.Certificate, error) {
	if a.closed.Load() {
		return nil, errors.New("local certificate authority: it is closed")
	}
	return a.root, ctx.Err()
}

// Close ends the use of the root key. It may be called more than once.
func (a *authority) Close() error {
	a.closed.Store(true)
	return nil
}

// createRoot makes key and root certificate where they are missing. The key
// comes first and the certificate is made from the key that is there then; so
// processes that race, and one that was killed in between, end with a pair.
func createRoot(c Config, keys manifest.Keys, env provider.Env) error {
	name, err := keyPath(c.RootKey)
	if err != nil {
		return fmt.Errorf("rootKey %w", err)
	}
	_, certErr := os.Stat(c.RootCertificate)
	data, err := keyfile.Read(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && certErr == nil:
		return fmt.Errorf("root certificate %s is there, but its key %s is not; restore the key, or remove the certificate to have both made", c.RootCertificate, name)
	case errors.Is(err, fs.ErrNotExist):
		if data, err = createKey(name, keys); err != nil {
			return fmt.Errorf("make root key: %w", err)
		}
	case err != nil:
		return fmt.Errorf("root key: %w", err)
	}
	if !errors.Is(certErr, fs.ErrNotExist) {
		return certErr
	}
	key, err := trust.ParseKeyPEM(manifest.NewSecret(data))
	if err != nil {
		return fmt.Errorf("root key %s %w", name, err)
	}
	cert, err := selfSign(key)
	if err != nil {
		return fmt.Errorf("make root certificate: %w", err)
	}
	err = keyfile.Create(c.RootCertificate, trust.MarshalCertificatePEM(cert))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make root certificate: %w", err)
	}
	if env.Log != nil {
		env.Log.Warn("made a root certificate; the partner needs a copy of it", "certificate", c.RootCertificate, "key", name)
	}
	return nil
}

// createKey makes a root key, and returns the one that is there in the end.
func createKey(name string, keys manifest.Keys) ([]byte, error) {
	key, err := trust.GenerateKey(keys)
	if err != nil {
		return nil, err
	}
	text, err := trust.MarshalKeyPEM(key)
	if err != nil {
		return nil, err
	}
	if err := keyfile.Create(name, text.Reveal()); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return keyfile.Read(name)
}

// selfSign makes a root certificate.
func selfSign(key crypto.Signer) (*x509.Certificate, error) {
	algorithm, err := trust.AlgorithmForIssuer(key.Public())
	if err != nil {
		return nil, err
	}
	ski, err := trust.SubjectKeyID(key.Public())
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber:          serial,
		SignatureAlgorithm:    algorithm.X509(),
		Subject:               pkix.Name{Organization: []string{"panelmatch development"}, CommonName: fmt.Sprintf("root %x", ski[:4])},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(rootLife),
		SubjectKeyId:          ski,
		AuthorityKeyId:        ski,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // it signs exchange certificates, and no further authorities
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
