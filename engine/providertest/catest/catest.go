// Package catest is the conformance suite for certificate authorities: what
// every provider.CertificateAuthority must do, so that the partner (and a
// Kingdom) takes the certificates that it issues, and exchange keys can sign.
//
// It is for tests only, and knows no product: the test of a provider says how
// to open one (Harness) and calls Run.
package catest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/trust"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Exchange is the exchange that the suite asks certificates for.
const Exchange = "recurringExchanges/rx1/exchanges/2024-01-31"

// Harness tells the suite about the provider under test.
type Harness struct {
	// Open opens the authority. Each call returns an instance of its own, which the suite closes.
	Open func(t *testing.T) provider.CertificateAuthority
	// Root is the certificate that the partner holds.
	Root *x509.Certificate
	// Keys are the exchange keys that the authority is made for.
	Keys manifest.Keys
	// BringsKeys is set for an authority whose certificates and keys were made elsewhere: it
	// looks neither at the key nor at the subject and validity that are asked for.
	BringsKeys bool
	// IgnoresValidity is set for one (or a stand-in of one) that decides by itself how long certificates are valid.
	IgnoresValidity bool
}

// Run runs the suite, one subtest per promise.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, c := range []struct {
		name string
		f    func(*testing.T, Harness)
	}{
		{"the root signs the certificate directly", signedByRoot},
		{"certificate and key belong together", pair},
		{"the key signs blobs by the certificate's algorithm", signsBlobs},
		{"the certificate has key identifiers", identifiers},
		{"the certificate says what was asked for", contents},
		{"the certificate is valid now and as long as was asked for", validity},
		{"a retry of a request gets a certificate for the same key", retry},
		{"two keys get two certificates", distinct},
		{"a key of the other family is refused", otherFamily},
		{"many goroutines may use it", concurrent},
		{"a context that has ended stops it", cancelled},
		{"nothing works after Close", closed},
		{"it tells its root", inspect},
	} {
		t.Run(c.name, func(t *testing.T) { c.f(t, h) })
	}
}

func (h Harness) open(t *testing.T) provider.CertificateAuthority {
	t.Helper()
	a := h.Open(t)
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return a
}

const requestedValidity = 72 * time.Hour

// Request makes a request for a new key.
func Request(t *testing.T, keys manifest.Keys) provider.IssueRequest {
	t.Helper()
	key, err := trust.GenerateKey(keys)
	if err != nil {
		t.Fatal(err)
	}
	return provider.IssueRequest{
		Exchange:       Exchange,
		Key:            key,
		Subject:        manifest.Subject{CommonName: "edp1.example.com", Organization: "Edp & Söhne, 1", DNSName: "edp1.example.com"},
		Validity:       requestedValidity,
		IdempotencyKey: "8d1f0c0e-3b7e-4d0c-9a55-0c7a1d2b3e4f",
	}
}

func issue(t *testing.T, h Harness) (provider.IssueRequest, provider.Issued) {
	t.Helper()
	req := Request(t, h.Keys)
	got, err := h.open(t).Issue(t.Context(), req)
	if err != nil {
		t.Fatalf("Issue: %v", err)
	}
	if got.Certificate == nil || got.Key == nil {
		t.Fatal("Issue gave no certificate, or no key")
	}
	return req, got
}

func signedByRoot(t *testing.T, h Harness) {
	_, got := issue(t, h)
	// The partner's check is this one alone.
	if err := h.Root.CheckSignature(got.Certificate.SignatureAlgorithm, got.Certificate.RawTBSCertificate, got.Certificate.Signature); err != nil {
		t.Errorf("the root's key does not verify the certificate: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(h.Root)
	if _, err := got.Certificate.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Errorf("no chain from the certificate to the root: %v", err)
	}
}

func pair(t *testing.T, h Harness) {
	req, got := issue(t, h)
	if !trust.SamePublicKey(got.Certificate.PublicKey, got.Key.Public()) {
		t.Error("the certificate is for another key than the one that came with it")
	}
	if !h.BringsKeys && got.Key != req.Key {
		t.Error("the key is not the one that was asked for")
	}
	if err := trust.CheckIssued(got.Certificate, got.Key); err != nil {
		t.Errorf("the engine refuses it: %v", err)
	}
}

func signsBlobs(t *testing.T, h Harness) {
	_, got := issue(t, h)
	a, err := trust.AlgorithmOf(got.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if family := trust.Family(h.Keys.Algorithm); family != "" && a.Family() != family {
		t.Errorf("signed by %s, but exchange keys are %s", a, family)
	}
	sig, err := trust.Sign(a, got.Key, []byte("blob"))
	if err != nil {
		t.Fatal(err)
	}
	if err := trust.Verify(a, got.Certificate.PublicKey, []byte("blob"), sig); err != nil {
		t.Error(err)
	}
}

func identifiers(t *testing.T, h Harness) {
	_, got := issue(t, h)
	c := got.Certificate
	if len(c.SubjectKeyId) == 0 {
		t.Error("no subject key identifier")
	}
	if !bytes.Equal(c.AuthorityKeyId, h.Root.SubjectKeyId) {
		t.Errorf("authority key identifier %x; the root's is %x", c.AuthorityKeyId, h.Root.SubjectKeyId)
	}
	if c.SerialNumber.Sign() <= 0 || c.SerialNumber.BitLen() > 159 {
		t.Errorf("serial number %s: want a positive one of at most 20 bytes", c.SerialNumber)
	}
	if c.Version != 3 {
		t.Errorf("version %d", c.Version)
	}
}

func contents(t *testing.T, h Harness) {
	req, got := issue(t, h)
	c := got.Certificate
	if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		t.Error("the key usage has no digitalSignature")
	}
	if h.BringsKeys {
		return
	}
	var name pkix.RDNSequence
	if _, err := asn1.Unmarshal(c.RawSubject, &name); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, set := range name {
		for _, a := range set {
			order = append(order, a.Type.String())
		}
	}
	if want := []string{"2.5.4.10", "2.5.4.3"}; !slices.Equal(order, want) {
		t.Errorf("the subject's attributes are %v, want O then CN: %v", order, want)
	}
	if c.Subject.CommonName != req.Subject.CommonName || !slices.Equal(c.Subject.Organization, []string{req.Subject.Organization}) {
		t.Errorf("subject %v", c.Subject)
	}
	if !slices.Equal(c.DNSNames, []string{req.Subject.DNSName}) {
		t.Errorf("DNS names %v", c.DNSNames)
	}
}

func validity(t *testing.T, h Harness) {
	_, got := issue(t, h)
	c, now := got.Certificate, time.Now()
	if now.Before(c.NotBefore) || now.After(c.NotAfter) {
		t.Errorf("valid from %v to %v", c.NotBefore, c.NotAfter)
	}
	if h.BringsKeys || h.IgnoresValidity {
		return
	}
	// Tolerant of authorities that count in days and of those that date back.
	if left := c.NotAfter.Sub(now); left < requestedValidity-time.Hour || left > requestedValidity+24*time.Hour {
		t.Errorf("valid for %v, want %v", left, requestedValidity)
	}
	if c.NotBefore.Before(now.Add(-24 * time.Hour)) {
		t.Errorf("dated back to %v", c.NotBefore)
	}
}

func retry(t *testing.T, h Harness) {
	a := h.open(t)
	req := Request(t, h.Keys)
	var keys []crypto.PublicKey
	for range 2 {
		got, err := a.Issue(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, got.Certificate.PublicKey)
	}
	if !trust.SamePublicKey(keys[0], keys[1]) {
		t.Error("two keys for one request")
	}
}

func distinct(t *testing.T, h Harness) {
	if h.BringsKeys {
		return
	}
	_, a := issue(t, h)
	_, b := issue(t, h)
	if a.Certificate.SerialNumber.Cmp(b.Certificate.SerialNumber) == 0 {
		t.Error("two certificates have one serial number")
	}
	if bytes.Equal(a.Certificate.SubjectKeyId, b.Certificate.SubjectKeyId) {
		t.Error("two keys have one subject key identifier")
	}
}

func otherFamily(t *testing.T, h Harness) {
	if h.BringsKeys {
		return
	}
	other := manifest.Keys{Algorithm: string(trust.RSA), Bits: trust.MinRSABits}
	if trust.Family(h.Keys.Algorithm) == trust.RSA {
		other = manifest.Keys{Algorithm: string(trust.EC)}
	}
	if _, err := h.open(t).Issue(t.Context(), Request(t, other)); err == nil {
		t.Error("it certified a key that can't sign by the certificate's algorithm")
	}
}

func concurrent(t *testing.T, h Harness) {
	a := h.open(t)
	req := Request(t, h.Keys)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := a.Issue(t.Context(), req); err != nil {
				t.Errorf("Issue: %v", err)
			}
		})
	}
	wg.Wait()
}

func cancelled(t *testing.T, h Harness) {
	a := h.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Issue(ctx, Request(t, h.Keys)); err == nil {
		t.Error("it issued although the context had ended")
	}
}

func closed(t *testing.T, h Harness) {
	a := h.Open(t)
	for range 2 {
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := a.Issue(t.Context(), Request(t, h.Keys)); err == nil {
		t.Error("it issues after Close")
	}
}

func inspect(t *testing.T, h Harness) {
	i, ok := h.open(t).(provider.AuthorityInspector)
	if !ok {
		return
	}
	got, err := i.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !got.Equal(h.Root) {
		t.Error("it tells another root than the partner holds")
	}
}
