package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/commonpb"
)

// Format is how a private key lies in storage.
type Format string

// The formats. A Sealer writes one of them and reads all that it can.
const (
	// Envelope: a fresh data key encrypts, and the KMS encrypts the data key. It has no limit of size,
	// and binds the key to its name even where the KMS has no associated data. It begins with a mark.
	Envelope Format = "envelope"
	// Direct: what the KMS made of the whole, as the reference stores it.
	Direct Format = "direct"
	// Plain: as it is, for storage that protects what it holds.
	Plain Format = "plain"
)

// envelopeMark is what the envelope format begins with; the rest is Tink's KMS
// envelope: the length of the encrypted data key in 4 bytes, big-endian, that
// key, and the AES256-GCM ciphertext. The associated data, which both formats
// share, is that of blob.PrivateKeyAssociatedData; the KMS itself sees none.
const envelopeMark = "panelmatch envelope 1\n"

// maxSealed bounds a stored private key in bytes. An RSA key of 4096 bits has 2400.
const maxSealed = 64 << 10

// FormatOf guesses the format of a stored private key without opening it.
func FormatOf(stored []byte) Format {
	switch {
	case bytes.HasPrefix(stored, []byte(envelopeMark)):
		return Envelope
	case isPlain(stored):
		return Plain
	}
	return Direct
}

// isPlain reports whether the bytes are signing keys that nobody sealed.
func isPlain(stored []byte) bool {
	var keys commonpb.SigningKeys
	if proto.Unmarshal(stored, &keys) != nil {
		return false
	}
	_, err := ParseKey(manifest.NewSecret(keys.GetPrivateKey()), "")
	return err == nil
}

// Sealer protects private keys where they are stored. It is safe for concurrent use.
type Sealer struct {
	kms    provider.KMS // nil for Plain
	format Format
}

// NewSealer returns a Sealer that writes the format, Envelope or Direct, with a
// key of a key management service. The KMS stays the caller's to close.
func NewSealer(kms provider.KMS, format Format) (*Sealer, error) {
	if kms == nil {
		return nil, errors.New("sealing private keys needs a KMS")
	}
	switch format {
	case "":
		format = Envelope
	case Envelope, Direct:
	default:
		return nil, fmt.Errorf("format %q of private keys is not known; allowed: %s, %s", format, Envelope, Direct)
	}
	return &Sealer{kms, format}, nil
}

// NoSealer returns a Sealer that stores private keys as they are, because the
// storage protects them. It opens nothing that a KMS has sealed.
func NoSealer() *Sealer { return &Sealer{format: Plain} }

// Format returns the format that is written.
func (s *Sealer) Format() Format { return s.format }

// Seal protects a private key that will be stored under a name of the
// privateKeys map. It can be opened under that name only.
func (s *Sealer) Seal(ctx context.Context, name string, plain manifest.Secret) ([]byte, error) {
	ad := blob.PrivateKeyAssociatedData(name)
	switch s.format {
	case Plain:
		return bytes.Clone(plain.Reveal()), nil
	case Direct:
		c, err := s.kms.EncryptWithContext(ctx, plain.Reveal(), ad)
		if errors.Is(err, provider.ErrTooLarge) {
			err = fmt.Errorf("%w; the KMS takes no key of this size at once, set keys.format: envelope", err)
		}
		return c, sealError("seal", name, err)
	case Envelope:
	}
	_, envelope, err := s.envelope()
	if err != nil {
		return nil, sealError("seal", name, err)
	}
	c, err := envelope.EncryptWithContext(ctx, plain.Reveal(), ad)
	if err != nil {
		return nil, sealError("seal", name, err)
	}
	return append([]byte(envelopeMark), c...), nil
}

// Open opens a private key that was stored under a name. It fails with
// ErrRejected if it was sealed with another key, for another name, or is damaged.
func (s *Sealer) Open(ctx context.Context, name string, stored []byte) (manifest.Secret, error) {
	plain, err := s.open(ctx, name, stored)
	if err != nil {
		return manifest.Secret{}, sealError("open", name, err)
	}
	return manifest.NewSecret(plain), nil
}

func (s *Sealer) open(ctx context.Context, name string, stored []byte) ([]byte, error) {
	if len(stored) > maxSealed {
		return nil, fmt.Errorf("%w: %d bytes are too many for a private key", provider.ErrRejected, len(stored))
	}
	if s.format == Plain {
		if !isPlain(stored) {
			return nil, fmt.Errorf("%w: it was sealed by a KMS, or is damaged; name that KMS as kms", provider.ErrRejected)
		}
		return bytes.Clone(stored), nil
	}
	ad := blob.PrivateKeyAssociatedData(name)
	if rest, ok := bytes.CutPrefix(stored, []byte(envelopeMark)); ok {
		kms, envelope, err := s.envelope()
		if err != nil {
			return nil, err
		}
		plain, err := envelope.DecryptWithContext(ctx, rest, ad)
		if err != nil && kms.err == nil {
			// The library's own complaint: the length, or the ciphertext below the data key.
			err = fmt.Errorf("%w: it was sealed for another name, or is damaged", provider.ErrRejected)
		}
		return plain, err
	}
	plain, err := s.kms.DecryptWithContext(ctx, stored, ad)
	if errors.Is(err, provider.ErrRejected) && isPlain(stored) {
		err = fmt.Errorf("%w: it is stored as it is, without a KMS; store it again with one", provider.ErrRejected)
	}
	return plain, err
}

// envelope returns Tink's envelope over the KMS, for one operation, and what
// the KMS said in it. The data key is for AES256-GCM.
func (s *Sealer) envelope() (*recorder, *aead.KMSEnvelopeAEADWithContext, error) {
	r := &recorder{kms: s.kms}
	e, err := aead.NewKMSEnvelopeAEADWithContext(aead.AES256GCMKeyTemplate(), r)
	return r, e, err
}

// recorder remembers the error of a KMS, to tell it from errors of the envelope around it.
type recorder struct {
	kms provider.KMS
	err error
}

func (r *recorder) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	c, err := r.kms.EncryptWithContext(ctx, plaintext, associatedData)
	r.err = err
	return c, err
}

func (r *recorder) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	p, err := r.kms.DecryptWithContext(ctx, ciphertext, associatedData)
	r.err = err
	return p, err
}

// sealError names the key and sorts the error: what a KMS refuses passes when an operator mends it.
func sealError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s private key %q: %w", op, name, err)
	if errors.Is(err, provider.ErrTransient) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(err, provider.ErrRejected) || errors.Is(err, provider.ErrPermission) || errors.Is(err, provider.ErrTooLarge) {
		return failure.New(failure.Configuration, failure.CodeKMS, err)
	}
	return failure.New(failure.Transient, failure.CodeKMS, err)
}
