package trust

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/commonpb"
)

// SigningKey is a private key with the name of the certificate that belongs to
// it. It prints its name only.
type SigningKey struct {
	// Name is the certificate's: <owner>:<uuid>, or a resource name with a Kingdom. In a pending entry
	// it is the id with which the certificate is asked for.
	Name string
	Key  crypto.Signer
}

// Format writes the name, and [redacted] for the key, for every verb.
func (k SigningKey) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "key of "+k.Name+" [redacted]")
}

// LogValue returns what Format writes.
func (k SigningKey) LogValue() slog.Value {
	return slog.StringValue("key of " + k.Name + " [redacted]")
}

// MarshalSigningKey writes the content of an entry of the privateKeys map, before it is sealed.
func MarshalSigningKey(k SigningKey) (manifest.Secret, error) {
	der, err := MarshalKey(k.Key)
	if err != nil {
		return manifest.Secret{}, err
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&commonpb.SigningKeys{CertName: k.Name, PrivateKey: der.Reveal()})
	if err != nil {
		return manifest.Secret{}, fmt.Errorf("signing key: %w", err)
	}
	return manifest.NewSecret(b), nil
}

// ParseSigningKey reads what MarshalSigningKey or the reference wrote. The key
// must be of the family; an empty family takes both.
func ParseSigningKey(plain manifest.Secret, family Family) (SigningKey, error) {
	var keys commonpb.SigningKeys
	if err := proto.Unmarshal(plain.Reveal(), &keys); err != nil {
		// The library's text could quote the bytes.
		return SigningKey{}, fmt.Errorf("%w: it is not a signing key", provider.ErrRejected)
	}
	if keys.GetCertName() == "" {
		return SigningKey{}, fmt.Errorf("%w: it names no certificate", provider.ErrRejected)
	}
	key, err := ParseKey(manifest.NewSecret(keys.GetPrivateKey()), family)
	if err != nil {
		return SigningKey{}, fmt.Errorf("%w: it %w", provider.ErrRejected, err)
	}
	return SigningKey{Name: keys.GetCertName(), Key: key}, nil
}

// pendingPrefix stands before the names of keys whose certificate is not yet known to have been published.
const pendingPrefix = "pending/"

// KeyStore keeps signing keys in the privateKeys map, sealed. It caches
// nothing: a key that another process writes is seen. It is safe for concurrent
// use as far as its map is.
//
// An exchange's key lies under the exchange's path, in the reference's format.
// A key waits under pending/<path> until its certificate has been published,
// so that a crash never loses the key of a published certificate.
type KeyStore struct {
	entries  provider.SecretMap
	sealer   *Sealer
	family   Family
	fallback string
}

// NewKeyStore returns the store of a privateKeys map. keys.Fallback names the
// entry that signs for exchanges which made no key; empty for none.
func NewKeyStore(entries provider.SecretMap, sealer *Sealer, keys manifest.Keys) *KeyStore {
	family := Family(keys.Algorithm)
	if family == "" {
		family = EC
	}
	return &KeyStore{entries, sealer, family, keys.Fallback}
}

// Get returns the entry called name, an exchange's path or a fallback's name.
// It fails with provider.ErrNotFound if there is none.
func (s *KeyStore) Get(ctx context.Context, name string) (SigningKey, error) {
	stored, err := s.entries.Get(ctx, name)
	if err == nil && len(stored) == 0 {
		err = provider.ErrNotFound // see settle
	}
	if err != nil {
		return SigningKey{}, fmt.Errorf("private key %q: %w", name, err)
	}
	plain, err := s.sealer.Open(ctx, name, stored)
	if err != nil {
		return SigningKey{}, err
	}
	k, err := ParseSigningKey(plain, s.family)
	if err != nil {
		return SigningKey{}, failure.New(failure.Configuration, failure.CodeKMS, fmt.Errorf("private key %q: %w", name, err))
	}
	return k, nil
}

// Put seals and stores an entry, in place of the one that may be there.
func (s *KeyStore) Put(ctx context.Context, name string, k SigningKey) error {
	plain, err := MarshalSigningKey(k)
	if err != nil {
		return fmt.Errorf("private key %q: %w", name, err)
	}
	sealed, err := s.sealer.Seal(ctx, name, plain)
	if err != nil {
		return err
	}
	if err := s.entries.Put(ctx, name, sealed); err != nil {
		return fmt.Errorf("store private key %q: %w", name, err)
	}
	return nil
}

// ForExchange returns the key that signs for an exchange: its own, or the
// fallback. Without either it fails with provider.ErrNotFound.
func (s *KeyStore) ForExchange(ctx context.Context, exchange blob.ExchangeKey) (SigningKey, error) {
	k, err := s.Get(ctx, exchange.Path())
	if s.fallback == "" || !errors.Is(err, provider.ErrNotFound) {
		return k, err
	}
	k, err = s.Get(ctx, s.fallback)
	if errors.Is(err, provider.ErrNotFound) {
		err = fmt.Errorf("%s has no private key, nor is there the fallback %q: %w", exchange.Path(), s.fallback, provider.ErrNotFound)
	}
	return k, err
}

// pending returns the key that waits for its certificate.
func (s *KeyStore) pending(ctx context.Context, exchange blob.ExchangeKey) (SigningKey, error) {
	return s.Get(ctx, pendingPrefix+exchange.Path())
}

// putPending stores a key before its certificate is asked for. k.Name is the id to ask with.
func (s *KeyStore) putPending(ctx context.Context, exchange blob.ExchangeKey, k SigningKey) error {
	return s.Put(ctx, pendingPrefix+exchange.Path(), k)
}

// settle empties the pending entry. A map has no way to remove one.
func (s *KeyStore) settle(ctx context.Context, exchange blob.ExchangeKey) error {
	return s.entries.Put(ctx, pendingPrefix+exchange.Path(), nil)
}
