package trust

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
)

// ErrAlreadyPublished says that the directory has a certificate for this key already,
// and can't tell under which name. Another key is needed.
var ErrAlreadyPublished = errors.New("a certificate for this key has been published before")

// Directory is where both parties publish their certificates: a Kingdom, or
// the shared storage of an exchange. It must be safe for concurrent use.
type Directory interface {
	// Publish makes a certificate of this party known and returns its name. id is a UUID, the same
	// when a publication is repeated after a crash; the certificate may then be another one for the
	// same key. A directory that takes a key only once returns the name of what it has; if it can't
	// tell that, it fails with ErrAlreadyPublished.
	Publish(ctx context.Context, exchange blob.ExchangeKey, id string, cert *x509.Certificate) (name string, err error)
	// Lookup returns the certificate of a name, unverified. An absent one fails with provider.ErrNotFound.
	Lookup(ctx context.Context, exchange blob.ExchangeKey, name string) (Published, error)
	// Owner returns whose certificate a name is, spelled as the keys of the rootCertificates map are.
	Owner(name string) (string, error)
}

// Published is a certificate as a directory has it.
type Published struct {
	Certificate *x509.Certificate
	// Revoked is set if the directory says that it is revoked or on hold.
	Revoked bool
}

// SharedDirectory is the Directory without a Kingdom: certificates/<owner
// id>:<uuid> in the shared storage of each exchange.
type SharedDirectory struct {
	own    string
	shared func(context.Context, blob.ExchangeKey) (*blob.Store, error)
}

// NewSharedDirectory returns the directory in which the party with the id own
// publishes. shared opens the shared storage of an exchange.
func NewSharedDirectory(own string, shared func(context.Context, blob.ExchangeKey) (*blob.Store, error)) *SharedDirectory {
	return &SharedDirectory{own, shared}
}

var _ Directory = (*SharedDirectory)(nil)

// Publish writes the certificate under <own id>:<id>.
func (d *SharedDirectory) Publish(ctx context.Context, exchange blob.ExchangeKey, id string, cert *x509.Certificate) (string, error) {
	name := d.own + ":" + id
	key, err := blob.CertificateKey(name)
	if err != nil {
		return "", err
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&internalpb.Certificate{X509Der: cert.Raw})
	if err != nil {
		return "", err
	}
	store, err := d.shared(ctx, exchange)
	if err != nil {
		return "", err
	}
	return name, store.PutBytes(ctx, key, b)
}

// Lookup reads the certificate of a name.
func (d *SharedDirectory) Lookup(ctx context.Context, exchange blob.ExchangeKey, name string) (Published, error) {
	key, err := blob.CertificateKey(name)
	if err != nil {
		return Published{}, fmt.Errorf("%w: %w", provider.ErrRejected, err)
	}
	store, err := d.shared(ctx, exchange)
	if err != nil {
		return Published{}, err
	}
	b, err := store.GetBytes(ctx, key, maxCertificate+64)
	if err != nil {
		return Published{}, err
	}
	cert, err := parseSharedCertificate(b)
	if err != nil {
		return Published{}, fmt.Errorf("blob %q: %w", key, err)
	}
	return Published{Certificate: cert}, nil
}

// parseSharedCertificate reads the content of a certificate's blob.
func parseSharedCertificate(b []byte) (*x509.Certificate, error) {
	var m internalpb.Certificate
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w: it is not a certificate message", provider.ErrRejected)
	}
	cert, err := ParseCertificate(m.GetX509Der())
	if err != nil {
		return nil, fmt.Errorf("%w: it %w", provider.ErrRejected, err)
	}
	return cert, nil
}

// Owner returns what stands before the last colon.
func (d *SharedDirectory) Owner(name string) (string, error) {
	owner, _, err := blob.ParseCertificateName(name)
	if err != nil {
		return "", fmt.Errorf("%w: %w", provider.ErrRejected, err)
	}
	return owner, nil
}

// newID returns a random UUID (version 4).
func newID() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// certificateError sorts an error about a certificate that nobody sorted yet: bytes that are not right
// stay so, everything else may pass.
func certificateError(err error) error {
	var sorted *failure.Error
	switch {
	case err == nil, errors.As(err, &sorted), errors.Is(err, provider.ErrTransient), errors.Is(err, provider.ErrPermission),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, provider.ErrRejected):
		return failure.New(failure.Permanent, failure.CodeCertificate, err)
	}
	return failure.New(failure.Transient, failure.CodeCertificate, err)
}
