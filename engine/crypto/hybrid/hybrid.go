// Package hybrid encrypts the peppers on their way from one party to the other:
// Tink's hybrid encryption with the one template that the protocol uses,
// ECIES over P-256 with HKDF-HMAC-SHA256 and AES-128-GCM, and no context info.
//
// Keys travel as binary Tink keysets: the public one as it is, the private one
// in clear, because private storage is where it stays. It is not a general
// encryption package.
package hybrid

import (
	"bytes"
	"errors"
	"fmt"

	tink "github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// MaxKeyset bounds a serialized keyset, in bytes. One key takes about 250.
const MaxKeyset = 64 << 10

// GenerateKeyPair makes a key pair and returns both halves as binary keysets.
// The private one is a secret.
func GenerateKeyPair() (public, private []byte, err error) {
	h, err := keyset.NewHandle(tink.ECIESHKDFAES128GCMKeyTemplate())
	if err != nil {
		return nil, nil, fmt.Errorf("make a hybrid key pair: %w", err)
	}
	var priv, pub bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewBinaryWriter(&priv)); err != nil {
		return nil, nil, fmt.Errorf("serialize the private keyset: %w", err)
	}
	p, err := h.Public()
	if err != nil {
		return nil, nil, fmt.Errorf("take the public keyset: %w", err)
	}
	if err := p.WriteWithNoSecrets(keyset.NewBinaryWriter(&pub)); err != nil {
		return nil, nil, fmt.Errorf("serialize the public keyset: %w", err)
	}
	return pub.Bytes(), priv.Bytes(), nil
}

// Errors of Encrypt and Decrypt. They say nothing of keys or plaintexts.
var (
	ErrPublicKeyset  = errors.New("this is not a public Tink keyset for hybrid encryption")
	ErrPrivateKeyset = errors.New("this is not a private Tink keyset for hybrid encryption")
	ErrCiphertext    = errors.New("the ciphertext was not made for this key, or is damaged")
)

// Encrypt encrypts for whoever has the private half of the binary keyset public.
// A keyset with secrets in it is refused: it should never have got here.
func Encrypt(public, plaintext []byte) ([]byte, error) {
	if len(public) > MaxKeyset {
		return nil, ErrPublicKeyset
	}
	h, err := keyset.ReadWithNoSecrets(keyset.NewBinaryReader(bytes.NewReader(public)))
	if err != nil {
		return nil, ErrPublicKeyset
	}
	e, err := tink.NewHybridEncrypt(h)
	if err != nil {
		return nil, ErrPublicKeyset
	}
	out, err := e.Encrypt(plaintext, nil)
	if err != nil {
		return nil, fmt.Errorf("hybrid encryption: %w", err)
	}
	return out, nil
}

// Decrypt decrypts with the binary cleartext keyset private.
func Decrypt(private, ciphertext []byte) ([]byte, error) {
	if len(private) > MaxKeyset {
		return nil, ErrPrivateKeyset
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(private)))
	if err != nil {
		return nil, ErrPrivateKeyset
	}
	d, err := tink.NewHybridDecrypt(h)
	if err != nil {
		return nil, ErrPrivateKeyset
	}
	out, err := d.Decrypt(ciphertext, nil)
	if err != nil {
		return nil, ErrCiphertext
	}
	return out, nil
}
