package check

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/graph"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/trust"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// CanaryPrefix is where canary blobs lie while a check runs. One that is left
// behind by a check which was killed may be deleted.
const CanaryPrefix = ".panelmatch-check"

// maxEntries bounds how many stored details are looked at, and maxReported how many faults among them are told.
const (
	maxEntries  = 1000
	maxReported = 5
	cleanup     = 15 * time.Second
	expiresSoon = 30 * 24 * time.Hour
)

// random returns a name that nobody else has.
func random() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// storage writes, reads, lists and deletes a canary below prefix.
func (c *checker) storage(ctx context.Context, p *proofs, bucket provider.Storage, prefix string) {
	store, err := blob.NewStore(bucket, blob.Options{Prefix: prefix, Retry: blob.Retry{Attempts: 2}})
	if err != nil {
		p.run("write", func() (string, error) { return "", err })
		return
	}
	key := CanaryPrefix + "/" + random()
	canary := []byte("written by panelmatch check; it may be deleted\n" + random() + "\n")
	written, gone := false, false
	defer func() {
		if gone || !written {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
		defer cancel()
		if err := store.Delete(ctx, key); err != nil {
			p.warn("clean up", c.scrub.text(fmt.Sprintf("the canary %s is left behind: %v", key, err)), "delete it by hand")
		}
	}()
	// A write that failed may have written all the same.
	written = true
	if !p.run("write", func() (string, error) { return "", store.PutBytes(ctx, key, canary) }) {
		return
	}
	p.run("read", func() (string, error) {
		got, err := store.GetBytes(ctx, key, int64(len(canary))+1)
		if err == nil && !bytes.Equal(got, canary) {
			err = errors.New("what is read is not what was written")
		}
		return "", err
	})
	p.run("list", func() (string, error) {
		for info, err := range store.List(ctx, CanaryPrefix+"/") {
			if err != nil {
				return "", err
			}
			if info.Key == key {
				return "", nil
			}
		}
		return "", errors.New("a blob that was just written is not listed")
	})
	p.soften("exchanges run without it; commands that list need it")
	gone = p.run("delete", func() (string, error) {
		if err := store.Delete(ctx, key); err != nil {
			return "", err
		}
		there, err := store.Exists(ctx, key)
		if err == nil && there {
			err = errors.New("the blob is still there after it was deleted")
		}
		return "", err
	})
}

// kms wraps and unwraps, and makes sure that other associated data is refused.
func (c *checker) kms(ctx context.Context, p *proofs, k provider.KMS) {
	plain := make([]byte, 32)
	_, _ = rand.Read(plain) // never fails
	data := []byte(CanaryPrefix + "/" + random())
	var sealed []byte
	if !p.run("wrap", func() (_ string, err error) {
		sealed, err = k.EncryptWithContext(ctx, plain, data)
		if err == nil && bytes.Contains(sealed, plain) {
			err = errors.New("the ciphertext holds the plaintext")
		}
		return "", err
	}) {
		return
	}
	p.run("unwrap", func() (string, error) {
		got, err := k.DecryptWithContext(ctx, sealed, data)
		if err == nil && !bytes.Equal(got, plain) {
			err = errors.New("what is unwrapped is not what was wrapped")
		}
		return "", err
	})
	p.run("other data", func() (string, error) {
		_, err := k.DecryptWithContext(ctx, sealed, append(data, '!'))
		switch {
		case err == nil:
			return "", hinted(errors.New("the key unwraps with other associated data: a stored key could be passed off as another one"),
				"use a key management service and a kind of key that authenticate associated data")
		case errors.Is(err, provider.ErrTransient), ctx.Err() != nil:
			return "", fmt.Errorf("it can't be told whether other associated data is refused: %w", err)
		}
		return "other associated data is refused", nil
	})
}

// rootCertificates are what authorities told about themselves, for the proof of the own root.
type rootCertificates struct {
	mu    sync.Mutex
	known map[string]*x509.Certificate
}

// inspect asks an authority for its certificate, once.
func (c *checker) inspect(ctx context.Context, id string, a provider.AuthorityInspector) (*x509.Certificate, error) {
	c.roots.mu.Lock()
	defer c.roots.mu.Unlock()
	if cert := c.roots.known[id]; cert != nil {
		return cert, nil
	}
	cert, err := a.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	if cert == nil {
		return nil, errors.New("the authority returned no certificate")
	}
	if c.roots.known == nil {
		c.roots.known = map[string]*x509.Certificate{}
	}
	c.roots.known[id] = cert
	return cert, nil
}

// authority looks the authority up and, if asked to, has it issue a certificate.
func (c *checker) authority(ctx context.Context, p *proofs, a provider.CertificateAuthority) {
	var root *x509.Certificate
	if inspector, ok := a.(provider.AuthorityInspector); ok {
		good := p.run("inspect", func() (string, error) {
			cert, err := c.inspect(ctx, p.node.ID, inspector)
			if err != nil {
				return "", err
			}
			root = cert
			family, err := trust.FamilyOf(cert.PublicKey)
			if err != nil {
				return "", err
			}
			if want := c.m.Keys.Algorithm; want != "" && !strings.EqualFold(want, string(family)) {
				return "", hinted(fmt.Errorf("the authority's key is %s, but exchange keys are %s; both must be of one family", family, want),
					fmt.Sprintf("set keys.algorithm to %s, or name an authority with a key of the family %s", family, want))
			}
			if now := c.o.Now(); now.After(cert.NotAfter) || now.Before(cert.NotBefore) {
				return "", hinted(fmt.Errorf("the authority's certificate is valid from %s to %s only", day(cert.NotBefore), day(cert.NotAfter)),
					"renew the root, and give it to the partner")
			}
			return fmt.Sprintf("%s, %s, until %s", cert.Subject, family, day(cert.NotAfter)), nil
		})
		if good && root.NotAfter.Sub(c.o.Now()) < expiresSoon {
			p.warn("expiry", "the authority's certificate ends on "+day(root.NotAfter), "renew the root, and give it to the partner before that")
		}
	}
	if c.o.Issue {
		p.run("issue", func() (string, error) { return c.issue(ctx, a, root) })
	}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// issue has a certificate made for a key that is then forgotten.
func (c *checker) issue(ctx context.Context, a provider.CertificateAuthority, root *x509.Certificate) (string, error) {
	key, err := trust.GenerateKey(c.m.Keys)
	if err != nil {
		return "", hinted(err, "look at keys")
	}
	id := "panelmatch-check"
	if ids := c.opened.Graph().RecurringExchanges(); len(ids) > 0 {
		id = ids[0] // an authority that brings certificates along knows these
	}
	exchange, err := blob.NewExchangeKey(id, workflow.DateOf(c.o.Now()))
	if err != nil {
		return "", err
	}
	issued, err := a.Issue(ctx, provider.IssueRequest{
		Exchange: exchange.Path(), Key: key, Subject: c.m.CertificateAuthority.Subject,
		Validity: c.m.CertificateAuthority.Validity.Std(), IdempotencyKey: random(),
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("for %s: %w", exchange, err)
	case issued.Certificate == nil || issued.Key == nil:
		return "", errors.New("the authority returned no certificate, or no key")
	}
	if err := trust.CheckIssued(issued.Certificate, issued.Key); err != nil {
		return "", fmt.Errorf("the certificate that was issued: %w", err)
	}
	family, err := trust.FamilyOf(issued.Certificate.PublicKey)
	if err != nil {
		return "", err
	}
	if want := c.m.Keys.Algorithm; want != "" && !strings.EqualFold(want, string(family)) {
		return "", hinted(fmt.Errorf("the certificate that was issued is for a key of the family %s, but exchange keys are %s", family, want),
			fmt.Sprintf("set keys.algorithm to %s", family))
	}
	if root != nil {
		if err := trust.CheckIssuer(issued.Certificate, root); err != nil {
			return "", fmt.Errorf("the certificate that was issued: %w", err)
		}
	}
	return fmt.Sprintf("%s, until %s", issued.Certificate.Subject, day(issued.Certificate.NotAfter)), nil
}

// secretMap lists the map, reads an entry, and one that is not there.
func (c *checker) secretMap(ctx context.Context, p *proofs, m provider.SecretMap) {
	var keys []string
	listed := p.run("list", func() (_ string, err error) {
		if keys, err = m.List(ctx); err != nil {
			return "", err
		}
		if len(keys) == 1 {
			return "1 entry", nil
		}
		return fmt.Sprintf("%d entries", len(keys)), nil
	})
	if !listed {
		p.soften("exchanges run without it; commands that list need it")
	}
	p.run("get", func() (string, error) {
		if len(keys) > 0 {
			if _, err := m.Get(ctx, keys[0]); err != nil {
				return "", err
			}
		}
		_, err := m.Get(ctx, "panelmatch-check-"+random())
		switch {
		case err == nil:
			return "", errors.New("an entry that can't be there has a value")
		case errors.Is(err, provider.ErrNotFound):
			return "", nil
		}
		return "", fmt.Errorf("an entry that is not there: %w", err)
	})
}

// keyProtection repeats the reason for keys that nothing seals, or opens a stored key.
func (c *checker) keyProtection(ctx context.Context, p *proofs) {
	sealer := trust.NoSealer()
	switch k := c.opened.KMS(); {
	case c.m.KeyProtection.StorageReason != "":
		p.warn("protection", "private keys are stored as they are; the reason given: "+c.m.KeyProtection.StorageReason,
			"make sure that the reason still holds")
	case k == nil:
		return
	default:
		s, err := trust.NewSealer(k, trust.Format(c.m.Keys.Format))
		if err != nil {
			p.run("protection", func() (string, error) { return "", err })
			return
		}
		sealer = s
	}
	entries := c.opened.UseCase(manifest.PrivateKeys)
	if entries == nil {
		return
	}
	names, err := entries.List(ctx)
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, "recurringExchanges/") && n != c.m.Keys.Fallback })
	if err != nil || len(names) == 0 {
		return // the map says so itself; a new deployment has none
	}
	name := names[len(names)-1] // of the latest date, in most deployments
	if f := c.m.Keys.Fallback; f != "" && slices.Contains(names, f) {
		name = f
	}
	p.run("open a stored key", func() (string, error) {
		_, err := trust.NewKeyStore(entries, sealer, c.m.Keys).Get(ctx, name)
		if err != nil {
			return "", hinted(fmt.Errorf("%s: %w", name, err), "the key that sealed it may be another one than kms names, or the stored key is damaged")
		}
		return name, nil
	})
}

// ownRoot makes sure that this party's own root is where its partner's are:
// own certificates are verified against it after a restart.
func (c *checker) ownRoot(ctx context.Context, p *proofs) {
	roots := c.opened.UseCase(manifest.RootCertificates)
	if roots == nil {
		return
	}
	name := c.m.Identity.ResourceName()
	if c.m.Coordinator.Name == "checkpoint" {
		name = c.m.Identity.ID
	}
	data, err := roots.Get(ctx, name)
	if errors.Is(err, provider.ErrNotFound) { // a deployment that is being set up
		p.list = append(p.list, Proof{
			Name: "own root", Status: Warning, Missing: "root certificate " + name,
			Detail: "the own root certificate is not among the root certificates",
			Hint:   "panelmatch apply stores it; this client does without, a reference client on the same storage does not",
		})
		return
	}
	p.run("own root", func() (string, error) {
		if err != nil {
			return "", err
		}
		parse := trust.ParseCertificate
		if bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN")) {
			parse = trust.ParseCertificatePEM
		}
		cert, err := parse(data)
		if err != nil {
			return "", fmt.Errorf("root certificate %q: %w", name, err)
		}
		for _, n := range c.opened.Graph().Nodes() {
			if n.Kind != graph.KindCertificateAuthority {
				continue
			}
			a, ok := valueOf[provider.AuthorityInspector](c, n.ID)
			if !ok {
				continue
			}
			if ca, err := c.inspect(ctx, n.ID, a); err == nil && !trust.SamePublicKey(ca.PublicKey, cert.PublicKey) {
				return "", hinted(fmt.Errorf("the own root certificate %q is not that of %s: the partner would refuse what it issues", name, n.ID),
					"store the authority's root certificate, and give it to the partner")
			}
		}
		return cert.Subject.String(), nil
	})
}

// exchange finds the storage of an exchange, and proves it if stored details
// named it. For the exchanges that the manifest doesn't name it reads all details.
func (c *checker) exchange(ctx context.Context, p *proofs) {
	id, side, ok := graph.ParseExchangeID(p.node.ID)
	if !ok {
		return
	}
	if id == graph.AnyExchange {
		c.storedDetails(ctx, p, side)
		return
	}
	var place graph.Place
	if p.run("find", func() (_ string, err error) {
		if place, err = c.opened.Exchange(ctx, id, side); err != nil {
			return "", err
		}
		return place.Label + ", as " + place.Source + " says", nil
	}) && place.Details != nil {
		c.storage(ctx, p, place.Bucket, place.Prefix)
	}
}

// storedDetails reads the details of all exchanges that have some.
func (c *checker) storedDetails(ctx context.Context, p *proofs, side graph.Side) {
	stored := c.opened.UseCase(graph.DetailsOf(side))
	if stored == nil {
		return
	}
	ids, err := stored.List(ctx)
	if err != nil {
		return // the map says so itself
	}
	good, bad := 0, 0
	for _, id := range ids[:min(len(ids), maxEntries)] {
		if _, err := c.opened.StorageDetails(ctx, id, side); err == nil {
			good++
			continue
		}
		if bad++; bad <= maxReported {
			p.run("stored details", func() (string, error) {
				_, err := c.opened.StorageDetails(ctx, id, side)
				return "", err
			})
		}
	}
	if bad > maxReported {
		p.run("stored details", func() (string, error) { return "", fmt.Errorf("and %d more that can't be used", bad-maxReported) })
	}
	if good > 0 {
		p.run("stored details", func() (string, error) { return fmt.Sprintf("%d can be used", good), nil })
	}
}

// compute makes sure that what does not fit into memory can be written to scratch.
func (c *checker) compute(p *proofs) {
	dir := p.node.Attribute("scratch")
	if dir == "" {
		return
	}
	p.run("scratch", func() (string, error) {
		f, err := os.CreateTemp(dir, "panelmatch-check-*")
		if err != nil {
			return "", hinted(err, "let the user that runs this process write to compute.local.scratch, or name another directory")
		}
		_, err = f.Write(make([]byte, 4096))
		return dir, errors.Join(err, f.Close(), os.Remove(f.Name()))
	})
}

// coordinator asks a coordinator that can prove itself to do so.
func (c *checker) coordinator(ctx context.Context, p *proofs) {
	if prober, ok := valueOf[provider.Prober](c, p.node.ID); ok {
		p.run("ask", func() (string, error) { return "", prober.Probe(ctx) })
	}
}
