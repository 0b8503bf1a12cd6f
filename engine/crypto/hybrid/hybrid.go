// Package hybrid encrypts small secrets, such as the peppers, from one party of an exchange to the
// other: anyone with the public key can encrypt, the holder of the private key can decrypt. It is
// Tink's hybrid encryption with the key template ECIES_P256_HKDF_HMAC_SHA256_AES128_GCM, the output
// prefix TINK, and no context info.
//
// Keys are blobs: binary Tink keysets, the private one in the clear. Protecting the private blob at
// rest is for the storage layer; signing what is sent, for the exchange.
package hybrid

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// MaxKeysetSize is the largest keyset blob that is read, in bytes. One key takes some 300.
const MaxKeysetSize = 64 << 10

// ErrDecrypt is the error for a ciphertext that the private key does not open. It does not say why.
var ErrDecrypt = errors.New("the ciphertext was not encrypted for this private key, or was changed")

// GenerateKeyPair returns a new private keyset and its public keyset.
func GenerateKeyPair() (private, public []byte, err error) {
	handle, err := keyset.NewHandle(hybrid.ECIESHKDFAES128GCMKeyTemplate())
	if err != nil {
		return nil, nil, fmt.Errorf("generate a hybrid encryption key: %w", err)
	}
	var secret, open bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&secret)); err != nil {
		return nil, nil, fmt.Errorf("write the private keyset: %w", err)
	}
	publicHandle, err := handle.Public()
	if err != nil {
		return nil, nil, fmt.Errorf("derive the public keyset: %w", err)
	}
	if err := publicHandle.WriteWithNoSecrets(keyset.NewBinaryWriter(&open)); err != nil {
		return nil, nil, fmt.Errorf("write the public keyset: %w", err)
	}
	return secret.Bytes(), open.Bytes(), nil
}

// Encrypt encrypts plaintext, which may be empty, to the holder of the private keyset. A keyset that
// holds secret keys is refused. Two encryptions of one plaintext differ.
func Encrypt(public, plaintext []byte) ([]byte, error) {
	if err := checkSize("public", public); err != nil {
		return nil, err
	}
	handle, err := keyset.ReadWithNoSecrets(keyset.NewBinaryReader(bytes.NewReader(public)))
	if err != nil {
		return nil, fmt.Errorf("read the public keyset: %w", err)
	}
	e, err := hybrid.NewHybridEncrypt(handle)
	if err != nil {
		return nil, fmt.Errorf("use the public keyset, which must be one for hybrid encryption: %w", err)
	}
	out, err := e.Encrypt(plaintext, nil)
	if err != nil {
		return nil, fmt.Errorf("encrypt to the public keyset: %w", err)
	}
	return out, nil
}

// Decrypt opens what Encrypt has made. It fails with ErrDecrypt if the ciphertext is not for this key.
func Decrypt(private, ciphertext []byte) ([]byte, error) {
	if err := checkSize("private", private); err != nil {
		return nil, err
	}
	// What Tink says of a broken keyset could quote it: it is not passed on.
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(private)))
	if err != nil {
		return nil, errors.New("the private keyset is not a binary Tink keyset")
	}
	d, err := hybrid.NewHybridDecrypt(handle)
	if err != nil {
		return nil, errors.New("the private keyset is not one for hybrid decryption")
	}
	out, err := d.Decrypt(ciphertext, nil)
	if err != nil {
		return nil, ErrDecrypt
	}
	return out, nil
}

func checkSize(kind string, b []byte) error {
	if len(b) == 0 || len(b) > MaxKeysetSize {
		return fmt.Errorf("the %s keyset has %d bytes; it must have 1 to %d", kind, len(b), MaxKeysetSize)
	}
	return nil
}
