// Package pregenerated hands out exchange certificates that were made
// elsewhere, by a process which this one can't reach: one pair of certificate
// and key for all exchanges, or a directory with a pair for each.
//
// In the directory the pair of an exchange is <recurring exchange id>/<exchange
// date>.crt and .key; where that is missing, <recurring exchange id>.crt and
// .key. Certificates are PEM (of a chain the first counts), keys PEM of PKCS
// #8, SEC 1 or PKCS #1, not encrypted.
//
// It makes nothing: the subject and validity of the manifest are not looked at.
package pregenerated

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/trust"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Config is what an operator writes: either Certificate and Key, or Directory.
type Config struct {
	// Certificate is a PEM file, for all exchanges.
	Certificate string `json:"certificate"`
	// Key refers to its private key, PEM.
	Key manifest.SecretRef `json:"key"`
	// Directory holds a pair for each exchange.
	Directory string `json:"directory"`
}

// maxFile bounds a PEM file in bytes.
const maxFile = 1 << 20

// Factory returns the provider "pregenerated".
func Factory() provider.Factory[provider.CertificateAuthority] {
	return provider.Factory[provider.CertificateAuthority]{
		Name:    "pregenerated",
		Package: "ca/pregenerated",
		Summary: "certificates and keys that were made elsewhere",
		Resolve: resolve,
	}
}

func resolve(b manifest.Backend, scope provider.Scope) (provider.Resolved[provider.CertificateAuthority], diag.List) {
	var c Config
	diags := b.Decode(&c)
	if diags.HasErrors() {
		return provider.Resolved[provider.CertificateAuthority]{}, diags
	}
	one := c.Certificate != "" || !c.Key.IsZero()
	switch {
	case one && c.Directory != "":
		diags = append(diags, b.Fault(diag.CodeOneOf, "can't be given together with certificate and key; give one pair, or a directory", "directory"))
	case !one && c.Directory == "":
		diags = append(diags, b.Fault(diag.CodeOneOf, "needs certificate and key, or directory"))
	case one && c.Certificate == "":
		diags = append(diags, b.Fault(diag.CodeMissing, "is required where there is a key", "certificate"))
	case one && c.Key.IsZero():
		diags = append(diags, b.Fault(diag.CodeMissing, "is required where there is a certificate", "key"))
	}
	c.Certificate = b.Abs(c.Certificate, "certificate")
	c.Directory = b.Abs(c.Directory, "directory")
	family := trust.Family(scope.Manifest().Keys.Algorithm)
	r := provider.Resolved[provider.CertificateAuthority]{
		Open: func(ctx context.Context, env provider.Env) (provider.CertificateAuthority, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if c.Directory != "" {
				return openDirectory(c.Directory, family)
			}
			return openPair(ctx, c, family, env)
		},
	}
	if one {
		r.Attributes = []provider.Attribute{{Key: "certificate", Value: c.Certificate}, {Key: "key", Value: c.Key.Ref()}}
	} else {
		r.Attributes = []provider.Attribute{{Key: "directory", Value: c.Directory}}
	}
	return r, diags
}

// pair is a certificate with its key, and what to call them.
type pair struct {
	cert              *x509.Certificate
	key               crypto.Signer
	certName, keyName string
}

// parsePair reads and checks a pair. Every error names the file.
func parsePair(certText []byte, keyText manifest.Secret, certName, keyName string, family trust.Family) (*pair, error) {
	cert, err := trust.ParseCertificatePEM(certText)
	if err != nil {
		return nil, fmt.Errorf("certificate %s %w", certName, err)
	}
	key, err := trust.ParseKeyPEM(keyText)
	if err != nil {
		return nil, fmt.Errorf("key %s %w", keyName, err)
	}
	if !trust.SamePublicKey(cert.PublicKey, key.Public()) {
		return nil, fmt.Errorf("certificate %s and key %s do not belong together: their public keys differ", certName, keyName)
	}
	if got, err := trust.FamilyOf(key.Public()); err != nil || family != "" && got != family {
		return nil, fmt.Errorf("key %s is %s, but exchange keys are %s (keys.algorithm)", keyName, got, family)
	}
	if err := trust.CheckIssued(cert, key); err != nil {
		return nil, fmt.Errorf("certificate %s: %w", certName, err)
	}
	p := &pair{cert, key, certName, keyName}
	return p, p.checkDates(time.Now())
}

func (p *pair) checkDates(now time.Time) error {
	switch {
	case now.After(p.cert.NotAfter):
		return fmt.Errorf("certificate %s is expired since %s; have another one made", p.certName, p.cert.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(p.cert.NotBefore):
		return fmt.Errorf("certificate %s is not valid before %s", p.certName, p.cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// authority is a provider.CertificateAuthority over a function that finds the pair of an exchange.
type authority struct {
	find func(exchange blob.ExchangeKey) (*pair, error)

	mu     sync.RWMutex // held for reading while pairs are read
	closed bool
	root   *os.Root // nil for a single pair
}

func openPair(ctx context.Context, c Config, family trust.Family, env provider.Env) (*authority, error) {
	f, err := os.Open(c.Certificate)
	if err != nil {
		return nil, fmt.Errorf("pregenerated certificate: %w", err)
	}
	text, err := read(f, c.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := env.Secret(ctx, c.Key)
	if err != nil {
		return nil, fmt.Errorf("key of the pregenerated certificate: %w", err)
	}
	p, err := parsePair(text, key, c.Certificate, c.Key.Ref(), family)
	if err != nil {
		return nil, fmt.Errorf("pregenerated %w", err)
	}
	return &authority{find: func(blob.ExchangeKey) (*pair, error) { return p, p.checkDates(time.Now()) }}, nil
}

func openDirectory(dir string, family trust.Family) (*authority, error) {
	// What is opened below can't lead out of the directory, whatever an id or a link says. Links inside
	// of it work, which is how Kubernetes mounts Secrets.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("directory of pregenerated certificates: %w", err)
	}
	return &authority{root: root, find: func(exchange blob.ExchangeKey) (*pair, error) {
		return findPair(root, dir, exchange, family)
	}}, nil
}

func findPair(root *os.Root, dir string, exchange blob.ExchangeKey, family trust.Family) (*pair, error) {
	id := exchange.RecurringExchange
	names := []string{path.Join(id, exchange.Date.String()), id}
	for _, name := range names {
		certName, keyName := filepath.Join(dir, filepath.FromSlash(name)+".crt"), filepath.Join(dir, filepath.FromSlash(name)+".key")
		f, err := root.Open(filepath.FromSlash(name) + ".crt")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("certificate %s: %w", certName, err)
		}
		certText, err := read(f, certName)
		if err != nil {
			return nil, err
		}
		f, err = root.Open(filepath.FromSlash(name) + ".key")
		if err != nil {
			return nil, fmt.Errorf("certificate %s is there, but its key %s can't be read: %w", certName, keyName, reason(err))
		}
		keyText, err := read(f, keyName)
		if err != nil {
			return nil, err
		}
		return parsePair(certText, manifest.NewSecret(keyText), certName, keyName, family)
	}
	return nil, fmt.Errorf("%w: neither %s.crt nor %s.crt is in %s; put the certificate and its key (.key) there",
		provider.ErrNotFound, names[0], names[1], dir)
}

// read reads a file to its end, and closes it.
func read(f *os.File, name string) ([]byte, error) {
	defer f.Close() //nolint:errcheck // opened for reading only
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, reason(err))
	case len(b) > maxFile:
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	return b, nil
}

// reason drops the path, which the message names already.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Issue returns the pair of the exchange.
func (a *authority) Issue(ctx context.Context, req provider.IssueRequest) (provider.Issued, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.closed {
		return provider.Issued{}, errors.New("pregenerated certificates: they are closed")
	}
	if err := ctx.Err(); err != nil {
		return provider.Issued{}, err
	}
	exchange, err := blob.ParseExchangeKey(req.Exchange)
	if err != nil {
		return provider.Issued{}, fmt.Errorf("pregenerated certificates: %w", err)
	}
	p, err := a.find(exchange)
	if err != nil {
		return provider.Issued{}, fmt.Errorf("pregenerated certificate for %s: %w", req.Exchange, err)
	}
	return provider.Issued{Certificate: p.cert, Key: p.key}, nil
}

// Close forgets the keys. It may be called more than once.
func (a *authority) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	a.closed, a.find = true, nil
	if a.root != nil {
		return a.root.Close()
	}
	return nil
}
