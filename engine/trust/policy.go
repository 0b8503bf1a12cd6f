package trust

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Relaxation is a check that a deployment leaves out, by its name under trust.allow.
type Relaxation string

// The relaxations. The reference makes none of these checks.
const (
	// AllowExpired takes certificates outside their dates.
	AllowExpired Relaxation = "expiredCertificates"
	// AllowRevoked takes certificates that the Kingdom calls revoked or on hold.
	AllowRevoked Relaxation = "revokedCertificates"
	// AllowAnyOwner takes a blob that either party signed, this one included.
	AllowAnyOwner Relaxation = "anyOwner"
)

// Relaxations lists all of them.
func Relaxations() []Relaxation { return []Relaxation{AllowExpired, AllowRevoked, AllowAnyOwner} }

// meaning says what a relaxation costs.
func (r Relaxation) meaning() string {
	switch r {
	case AllowExpired:
		return "certificates outside their dates are accepted"
	case AllowRevoked:
		return "revoked certificates are accepted"
	case AllowAnyOwner:
		return "a blob of the partner's may be signed by either party"
	}
	return ""
}

// Policy judges the partner's certificates. It is read-only after NewPolicy and safe for concurrent use.
type Policy struct {
	leeway time.Duration
	allow  []Relaxation
	now    func() time.Time
}

// NewPolicy makes a policy of the manifest's trust. An unknown relaxation is an error.
func NewPolicy(t manifest.Trust) (*Policy, error) {
	p := &Policy{leeway: t.DateLeeway.Std(), now: time.Now}
	if p.leeway < 0 {
		return nil, fmt.Errorf("trust.dateLeeway %s is negative", p.leeway)
	}
	for _, name := range t.Allow {
		r := Relaxation(name)
		if !slices.Contains(Relaxations(), r) {
			var known []string
			for _, k := range Relaxations() {
				known = append(known, string(k))
			}
			return nil, fmt.Errorf("trust.allow names %.40q, which is no relaxation; allowed: %s", name, strings.Join(known, ", "))
		}
		if !slices.Contains(p.allow, r) {
			p.allow = append(p.allow, r)
		}
	}
	return p, nil
}

// Allows reports whether a check is left out.
func (p *Policy) Allows(r Relaxation) bool { return slices.Contains(p.allow, r) }

// Log warns of each relaxation, once; the daemon calls it when it starts.
func (p *Policy) Log(log *slog.Logger) {
	for _, r := range p.allow {
		log.Warn("trust is relaxed: "+r.meaning(), "allow", string(r))
	}
}

// CheckDates checks that a certificate is valid now, give or take the leeway.
func (p *Policy) CheckDates(cert *x509.Certificate) error {
	if p.Allows(AllowExpired) {
		return nil
	}
	now := p.now()
	switch {
	case now.After(cert.NotAfter.Add(p.leeway)):
		return fmt.Errorf("%w: the certificate is expired since %s", provider.ErrRejected, cert.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(cert.NotBefore.Add(-p.leeway)):
		return fmt.Errorf("%w: the certificate is not valid before %s", provider.ErrRejected, cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// CheckRevoked checks what the directory says of a certificate's revocation.
func (p *Policy) CheckRevoked(revoked bool) error {
	if revoked && !p.Allows(AllowRevoked) {
		return fmt.Errorf("%w: the certificate is revoked", provider.ErrRejected)
	}
	return nil
}

// CheckOwner checks that a certificate is owned by the party that should have
// signed. own is this party.
func (p *Policy) CheckOwner(owner, expected, own string) error {
	if owner == expected || owner == own && p.Allows(AllowAnyOwner) {
		return nil
	}
	return fmt.Errorf("%w: the certificate belongs to %.80q, but %q should have signed", provider.ErrRejected, owner, expected)
}

// CheckIssuer checks that the root's key signed the certificate. As in the
// reference that is all: no chain, no names, no dates of the root.
func CheckIssuer(cert, root *x509.Certificate) error {
	if err := root.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		return fmt.Errorf("%w: the certificate is not signed by the owner's root certificate", provider.ErrRejected)
	}
	return nil
}
