package trust

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/wire/protocolpb"
)

// maxSignatureBlob bounds the blob <key>.signature in bytes. The reference's have about 100.
const maxSignatureBlob = 16 << 10

// WriteSigned writes a blob and its signature into shared storage, in one pass
// over src. Old ones are removed first, the signature before the blob, and the
// new signature is written last: a reader finds no signature until all is
// there. It may be repeated after any failure; the write itself is retried if
// src can seek.
func WriteSigned(ctx context.Context, store *blob.Store, key string, src io.Reader, c *Credential) error {
	signer, err := c.NewSigner()
	if err != nil {
		return failure.New(failure.Configuration, failure.CodeCertificate, err)
	}
	sigKey := blob.SignatureKey(key)
	for _, old := range []string{sigKey, key} {
		if err := store.Delete(ctx, old); err != nil {
			return err
		}
	}
	if err := store.Put(ctx, key, tee(src, signer)); err != nil {
		return err
	}
	sig, err := signer.Signature()
	if err != nil {
		return err
	}
	b, err := MarshalSignature(sig, c.Name)
	if err != nil {
		return err
	}
	return store.PutBytes(ctx, sigKey, b)
}

// tee returns a reader of src that also writes what is read to the signer. If
// src can seek so can it, and then it begins the signature again.
func tee(src io.Reader, s *Signer) io.Reader {
	r := io.TeeReader(src, s)
	seeker, ok := src.(io.Seeker)
	if !ok {
		return r
	}
	begin, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return r
	}
	return &seekingTee{Reader: r, seeker: seeker, begin: begin, signer: s}
}

type seekingTee struct {
	io.Reader
	seeker io.Seeker
	begin  int64
	signer *Signer
}

// Seek tells the place, or goes back to the beginning.
func (t *seekingTee) Seek(offset int64, whence int) (int64, error) {
	if offset == 0 && whence == io.SeekCurrent {
		return t.seeker.Seek(0, io.SeekCurrent)
	}
	if whence != io.SeekStart || offset != t.begin {
		return 0, errors.New("a stream that is being signed can only begin again")
	}
	t.signer.Reset()
	return t.seeker.Seek(offset, whence)
}

// MarshalSignature writes the content of a blob <key>.signature.
func MarshalSignature(signature []byte, certificateName string) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(&protocolpb.NamedSignature{Signature: signature, CertificateName: certificateName})
}

// ParseSignature reads the content of a blob <key>.signature.
func ParseSignature(b []byte) (signature []byte, certificateName string, err error) {
	var m protocolpb.NamedSignature
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, "", fmt.Errorf("%w: it is not a signature message", provider.ErrRejected)
	}
	if len(m.GetSignature()) == 0 || m.GetCertificateName() == "" {
		return nil, "", fmt.Errorf("%w: it has no signature, or names no certificate", provider.ErrRejected)
	}
	return m.GetSignature(), m.GetCertificateName(), nil
}

// Lookup finds the certificate of a name, with all checks made; see Manager.Certificate.
type Lookup func(ctx context.Context, name string) (*x509.Certificate, error)

// LookupFor returns a Lookup for blobs of one exchange that owner must have signed.
func (m *Manager) LookupFor(exchange blob.ExchangeKey, owner string) Lookup {
	return func(ctx context.Context, name string) (*x509.Certificate, error) {
		return m.Certificate(ctx, exchange, name, owner)
	}
}

// ReadOptions is how ReadVerified reads. The zero value reads once, with the default scratch.
type ReadOptions struct {
	Scratch blob.Scratch
	// Rereads is how often blob and signature are read again if they don't fit, with a Pause before:
	// the partner may be writing them anew.
	Rereads int
	Pause   time.Duration
}

// Verified is a blob in scratch whose signature has been verified. Close it.
type Verified struct {
	*blob.Spool
	// Signature is the bare signature, and CertificateName whose it is.
	Signature       []byte
	CertificateName string
}

// ReadVerified reads a blob of shared storage into scratch and verifies its
// signature, before anybody sees a byte of it. A blob without a signature is
// not there: provider.ErrNotFound. One whose signature does not fit fails with
// ErrSignature, which is permanent.
func ReadVerified(ctx context.Context, store *blob.Store, key string, lookup Lookup, opts ReadOptions) (*Verified, error) {
	for attempt := 0; ; attempt++ {
		v, err := readVerified(ctx, store, key, lookup, opts.Scratch)
		if err == nil || !errors.Is(err, ErrSignature) {
			return v, err
		}
		if attempt >= opts.Rereads {
			return nil, failure.New(failure.Permanent, failure.CodeSignature, err)
		}
		if err := pause(ctx, opts.Pause); err != nil {
			return nil, err
		}
	}
}

func readVerified(ctx context.Context, store *blob.Store, key string, lookup Lookup, scratch blob.Scratch) (*Verified, error) {
	b, err := store.GetBytes(ctx, blob.SignatureKey(key), maxSignatureBlob)
	if err != nil {
		return nil, fmt.Errorf("signature of blob %q: %w", key, err)
	}
	signature, name, err := ParseSignature(b)
	if err != nil {
		return nil, failure.New(failure.Permanent, failure.CodeSignature, fmt.Errorf("signature of blob %q: %w", key, err))
	}
	cert, err := lookup(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("signature of blob %q: %w", key, err)
	}
	verifier, err := verifierFor(cert)
	if err != nil {
		return nil, failure.New(failure.Permanent, failure.CodeCertificate, fmt.Errorf("certificate %.200q: %w", name, err))
	}
	spool, err := store.Fetch(ctx, key, scratch)
	if err != nil {
		return nil, err
	}
	// Over what is in scratch, not over what came: so it is these bytes that are good.
	if _, err = io.Copy(verifier, spool.Reader()); err == nil {
		err = verifier.Verify(signature)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("blob %q, signed with certificate %.200q: %w", key, name, err), spool.Close())
	}
	return &Verified{Spool: spool, Signature: signature, CertificateName: name}, nil
}

// verifierFor begins the verification of a blob by the algorithm of the certificate's own signature.
func verifierFor(cert *x509.Certificate) (*Verifier, error) {
	a, err := AlgorithmOf(cert)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", provider.ErrRejected, err)
	}
	return NewVerifier(a, cert.PublicKey)
}

// Commit writes the blob into private storage, and then the bare signature
// beside it, as the reference does. It may be repeated.
func (v *Verified) Commit(ctx context.Context, private *blob.Store, key string) error {
	if err := v.Spool.Commit(ctx, private, key); err != nil {
		return err
	}
	return private.PutBytes(ctx, blob.SignatureKey(key), v.Signature)
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
