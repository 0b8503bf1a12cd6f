package engine

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"time"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/coordinator/checkpoint"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/step"
	"github.com/panelmatch/panelmatch/engine/trust"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// A partner may be in the middle of writing a blob anew; one that does not verify is read again a few
// times before it is believed.
const (
	rereads     = 3
	rereadPause = 500 * time.Millisecond
)

// signed is shared storage in which every blob is signed, for one party.
type signed struct {
	*stores
	trust     *trust.Manager
	workflows *workflows
	party     manifest.Party
	scratch   blob.Scratch
}

// Shared returns the signed shared storage of an exchange.
func (s *signed) Shared(ctx context.Context, key blob.ExchangeKey) (step.Shared, error) {
	store, err := s.unsigned(ctx, key)
	if err != nil {
		return nil, err
	}
	partner, err := s.workflows.partner(ctx, key.RecurringExchange, s.party)
	if err != nil {
		return nil, err
	}
	return &sharedStore{parent: s, key: key, store: store, partner: partner}, nil
}

type sharedStore struct {
	parent  *signed
	key     blob.ExchangeKey
	store   *blob.Store
	partner string
}

// Write signs and writes a blob.
func (s *sharedStore) Write(ctx context.Context, key string, src io.Reader) error {
	c, err := s.parent.trust.Credential(ctx, s.key)
	if err != nil {
		return err
	}
	return trust.WriteSigned(ctx, s.store, key, src, c)
}

// maxSignature bounds the blob of a signature.
const maxSignature = 16 << 10

// Author reads the certificate's name from the blob's signature and judges the certificate.
func (s *sharedStore) Author(ctx context.Context, key string) (step.Author, error) {
	b, err := s.store.GetBytes(ctx, blob.SignatureKey(key), maxSignature)
	if err != nil {
		return nil, err
	}
	_, name, err := trust.ParseSignature(b)
	if err != nil {
		return nil, failure.New(failure.Permanent, failure.CodeSignature, fmt.Errorf("signature of blob %q: %w", key, err))
	}
	cert, err := s.parent.trust.Certificate(ctx, s.key, name, s.partner)
	if err != nil {
		return nil, err
	}
	return &author{s, cert}, nil
}

func (s *sharedStore) read(ctx context.Context, key string, lookup trust.Lookup) (*trust.Verified, error) {
	return trust.ReadVerified(ctx, s.store, key, lookup, trust.ReadOptions{
		Scratch: s.parent.scratch, Rereads: rereads, Pause: rereadPause,
	})
}

// author reads blobs that one certificate signed, whatever name stands in their signatures.
type author struct {
	store *sharedStore
	cert  *x509.Certificate
}

// Read returns a verified blob with its bare signature.
func (a *author) Read(ctx context.Context, key string) (*blob.Spool, []byte, error) {
	v, err := a.store.read(ctx, key, func(context.Context, string) (*x509.Certificate, error) { return a.cert, nil })
	if err != nil {
		return nil, nil, err
	}
	return v.Spool, v.Signature, nil
}

// checkpointSigner signs checkpoints with the exchange keys.
type checkpointSigner struct {
	trust     *trust.Manager
	algorithm trust.Algorithm
}

var _ checkpoint.Signer = checkpointSigner{}

// Sign signs a checkpoint of ours.
func (c checkpointSigner) Sign(ctx context.Context, key blob.ExchangeKey, payload []byte) (checkpoint.Signature, error) {
	s, err := c.trust.SignCheckpoint(ctx, key, c.algorithm, payload)
	return checkpoint.Signature{Bytes: s.Signature, AlgorithmOID: s.AlgorithmOID, CertificateName: s.CertificateName}, err
}

// Verify checks that owner signed a checkpoint.
func (c checkpointSigner) Verify(ctx context.Context, key blob.ExchangeKey, owner string, payload []byte, s checkpoint.Signature) error {
	return c.trust.VerifyCheckpoint(ctx, key, owner, payload, trust.Checkpoint{
		Signature: s.Bytes, AlgorithmOID: s.AlgorithmOID, CertificateName: s.CertificateName,
	})
}

// workflows answers questions about the stored workflows.
type workflows struct {
	stored provider.SecretMap
	format workflow.Format
}

// partner returns the id of the other party of a recurring exchange.
func (w *workflows) partner(ctx context.Context, id string, own manifest.Party) (string, error) {
	b, err := w.stored.Get(ctx, id)
	if err != nil {
		return "", err
	}
	doc, diags := workflow.Parse(b, workflow.ParseOptions{Name: "workflow of " + id, Format: w.format})
	if err := diags.Err(); err != nil {
		return "", failure.New(failure.Permanent, failure.CodeWorkflow, err)
	}
	return doc.Workflow.Identifiers.Partner(own), nil
}

// certificates makes exchange certificates for the step that asks for one.
type certificates struct{ trust *trust.Manager }

// Create returns the name of this party's certificate.
func (c certificates) Create(ctx context.Context, key blob.ExchangeKey) (string, error) {
	return c.trust.Ensure(ctx, key)
}
