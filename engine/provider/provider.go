// Package provider holds what the engine needs to know about somebody else's
// systems: the small interface of each kind of provider, the Factory that
// makes one from its manifest settings, and the Table of what a binary is
// built with.
//
// It has no provider in it and opens nothing by itself: package graph calls
// factories, packages under providers implement them.
package provider

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"time"

	"gocloud.dev/blob"

	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Kind is a kind of provider.
type Kind string

// The kinds.
const (
	KindStorage              Kind = "storage"
	KindKMS                  Kind = "kms"
	KindCertificateAuthority Kind = "certificateAuthority"
	KindSecretMap            Kind = "secretMap"
	KindCoordinator          Kind = "coordinator"
	KindCompute              Kind = "compute"
)

// Errors that providers return, wrapped with %w, so that callers can act on them with errors.Is.
var (
	// ErrNotFound: what was asked for does not exist. Final until someone writes it.
	ErrNotFound = errors.New("not found")
	// ErrPermission: the other system refuses us. Final until someone changes a permission.
	ErrPermission = errors.New("permission denied")
	// ErrTransient: the same call may succeed later.
	ErrTransient = errors.New("temporarily unavailable")
	// ErrTooLarge: a size limit is exceeded. Final.
	ErrTooLarge = errors.New("too large")
	// ErrReadOnly: this provider can't be written to. Final.
	ErrReadOnly = errors.New("read-only")
	// ErrRejected: the bytes are not what they should be (wrong key, wrong associated data, damaged). Final.
	ErrRejected = errors.New("rejected")
)

// Storage is a bucket of blobs. It is gocloud's portable type: a provider
// supplies the driver. Package blob puts prefixes, limits, retries and
// redaction on top.
type Storage = *blob.Bucket

// KMS encrypts small plaintexts (a private key, a data key) with a key that
// never leaves the key management service.
//
// The method set is Tink's AEADWithContext plus Close, so that Tink's
// envelope works on top. An implementation must authenticate associatedData:
// Decrypt with other associated data fails with ErrRejected. It must be safe
// for concurrent use, and wrap the errors of this package.
type KMS interface {
	EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error)
	DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error)
	io.Closer
}

// IssueRequest asks for one exchange certificate.
type IssueRequest struct {
	// Exchange is the exchange's path, recurringExchanges/<id>/exchanges/<date>.
	Exchange string
	// Key is the key that the certificate is for. The engine has it stored before it asks.
	Key crypto.Signer
	// Subject and Validity are what the certificate should say.
	Subject  manifest.Subject
	Validity time.Duration
	// IdempotencyKey is the same for a retry of the same request, at most 36 characters of [A-Za-z0-9-].
	IdempotencyKey string
}

// Issued is a certificate with the key that belongs to it.
type Issued struct {
	// Certificate is the leaf.
	Certificate *x509.Certificate
	// Key is IssueRequest.Key, or a key that the authority brought along (pregenerated).
	Key crypto.Signer
}

// CertificateAuthority issues exchange certificates.
//
// Issue must return a certificate whose public key is that of Issued.Key, with
// subject and authority key identifiers, signed directly by the root that the
// partner holds. It must be safe for concurrent use.
type CertificateAuthority interface {
	Issue(ctx context.Context, req IssueRequest) (Issued, error)
	io.Closer
}

// AuthorityInspector is a CertificateAuthority that can tell about itself
// without issuing anything; `panelmatch check` uses it.
type AuthorityInspector interface {
	// Inspect reaches the authority and returns its root (or issuing) certificate.
	Inspect(ctx context.Context) (*x509.Certificate, error)
}

// Prober is a provider that can prove, without changing anything, that it
// reaches its other side and is let in; `panelmatch check` uses it.
type Prober interface {
	Probe(ctx context.Context) error
}

// SecretMap is a small map from names to bytes which somebody else keeps.
//
// Get of an absent key fails with ErrNotFound. Values are copies. Put
// overwrites, whole or not at all; a map that can't be written fails with
// ErrReadOnly. List returns the keys in byte order. Keys are not file names:
// they may contain slashes, and an implementation must not let one leave its
// place. All methods are safe for concurrent use.
type SecretMap interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Put(ctx context.Context, key string, value []byte) error
	List(ctx context.Context) ([]string, error)
	io.Closer
}

// Coordinator is an open connection to somebody who hands out steps, such as
// a Kingdom. What can be asked of it is said in package coordinator, which
// builds on this package. The coordinator that keeps checkpoints in shared
// storage is the engine's own and needs no provider.
type Coordinator interface {
	io.Closer
}

// Env is what a factory gets to open a provider with. The context that comes
// with it bounds the opening; a provider must not keep it.
type Env struct {
	Log *slog.Logger
	// Secret resolves a reference (reads the file or environment variable) now. The error names the
	// reference, never the secret.
	Secret func(ctx context.Context, ref manifest.SecretRef) (manifest.Secret, error)
}

// Scope is how a factory, while it resolves, asks for other nodes of the
// graph. Equal requests share one node. The returned Ref can be used only
// while and after the factory's own node opens.
type Scope interface {
	Storage(s manifest.Storage) Ref[Storage]
	KMS(k manifest.KMS) Ref[KMS]
	// Profile is the deployment's; identity and keys are for cross-checks.
	Manifest() *manifest.Manifest
}

// Ref is a node that will be open when it is needed.
type Ref[T any] interface {
	Get() T
}

// AttributeKeyAlgorithm is the attribute with which a certificate authority
// whose settings tell so says which keys it signs with: EC or RSA. The graph
// compares it with the exchange keys.
const AttributeKeyAlgorithm = "keyAlgorithm"

// Attribute is a fact about a resolved node that people may see; never a secret.
type Attribute struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Resolved is a provider whose settings have been read and found good.
type Resolved[T any] struct {
	// Attributes are shown by `panelmatch graph`.
	Attributes []Attribute
	// Open dials, reads files, and returns the provider; on error nothing is left open.
	Open func(ctx context.Context, env Env) (T, error)
}

// Factory makes providers of one product. T is Storage, KMS and so on.
type Factory[T io.Closer] struct {
	// Name is the backend's key in the manifest (vaultPKI), or the URL scheme (gs).
	Name string
	// Package is the directory below providers/ that holds it, such as storage/file.
	Package string
	// Summary is one line for `panelmatch providers`.
	Summary string
	// Resolve reads the settings. It does no I/O and resolves no secret. It reports every fault it
	// finds, with positions from b.At.
	//
	// For a custom backend b holds its settings alone, with b.Name the provider's own name. A storage
	// factory ignores the setting prefix: the graph applies it.
	Resolve func(b manifest.Backend, scope Scope) (Resolved[T], diag.List)
}

// Table is what a binary is built with: an explicit list, made in one place.
type Table struct {
	Storage              []Factory[Storage]
	KMS                  []Factory[KMS]
	CertificateAuthority []Factory[CertificateAuthority]
	SecretMap            []Factory[SecretMap]
	Coordinator          []Factory[Coordinator]
}

// Find returns the factory of the given name.
func Find[T io.Closer](fs []Factory[T], name string) (Factory[T], bool) {
	for _, f := range fs {
		if f.Name == name {
			return f, true
		}
	}
	return Factory[T]{}, false
}
