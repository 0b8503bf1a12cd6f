package trust_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/trust"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

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
