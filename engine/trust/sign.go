package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.Hash
	_ "crypto/sha512" // for crypto.Hash
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/panelmatch/panelmatch/engine/provider"
)

// Signer signs a stream: write the bytes, then call Signature. ECDSA signatures
// are ASN.1 DER, RSA signatures PKCS #1 v1.5; the signed bytes are exactly what
// was written, which may be nothing. A Signer is for one goroutine.
type Signer struct {
	algorithm Algorithm
	key       crypto.Signer
	hash      hash.Hash
}

// NewSigner begins a signature. The key must be of the algorithm's family.
func NewSigner(a Algorithm, key crypto.Signer) (*Signer, error) {
	if key == nil {
		return nil, errors.New("there is no key to sign with")
	}
	if err := fits(a, key.Public()); err != nil {
		return nil, err
	}
	return &Signer{a, key, a.Hash().New()}, nil
}

// fits checks that a public key is of the algorithm's family.
func fits(a Algorithm, public crypto.PublicKey) error {
	family, err := FamilyOf(public)
	if err != nil {
		return err
	}
	if a.Family() != family {
		return fmt.Errorf("signature algorithm %s does not go with an %s key", a, family)
	}
	return nil
}

// Algorithm returns what the signature is made with.
func (s *Signer) Algorithm() Algorithm { return s.algorithm }

// Write adds bytes. It never fails.
func (s *Signer) Write(p []byte) (int, error) { return s.hash.Write(p) }

// Reset begins again.
func (s *Signer) Reset() { s.hash.Reset() }

// Signature signs what has been written since the beginning or Reset.
func (s *Signer) Signature() ([]byte, error) {
	// The options of RSA are those of PKCS #1 v1.5; those of ECDSA name the hash only.
	sig, err := s.key.Sign(rand.Reader, s.hash.Sum(nil), s.algorithm.Hash())
	if err != nil {
		return nil, fmt.Errorf("sign by %s: %w", s.algorithm, err)
	}
	return sig, nil
}

// Verifier verifies a stream: write the bytes, then call Verify. It is for one goroutine.
type Verifier struct {
	algorithm Algorithm
	public    crypto.PublicKey
	hash      hash.Hash
}

// NewVerifier begins a verification. The key must be of the algorithm's family.
func NewVerifier(a Algorithm, public crypto.PublicKey) (*Verifier, error) {
	if err := fits(a, public); err != nil {
		return nil, err
	}
	return &Verifier{a, public, a.Hash().New()}, nil
}

// Write adds bytes. It never fails.
func (v *Verifier) Write(p []byte) (int, error) { return v.hash.Write(p) }

// ErrSignature says that a signature is not one over these bytes by this key. It wraps provider.ErrRejected.
var ErrSignature = fmt.Errorf("%w: the signature does not fit", provider.ErrRejected)

// Verify fails with ErrSignature unless signature is one over what has been written.
func (v *Verifier) Verify(signature []byte) error {
	ok := false
	switch key := v.public.(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(key, v.hash.Sum(nil), signature)
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(key, v.algorithm.Hash(), v.hash.Sum(nil), signature) == nil
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

// Sign signs bytes in memory.
func Sign(a Algorithm, key crypto.Signer, data []byte) ([]byte, error) {
	s, err := NewSigner(a, key)
	if err != nil {
		return nil, err
	}
	s.Write(data) //nolint:errcheck // never fails
	return s.Signature()
}

// Verify verifies bytes in memory.
func Verify(a Algorithm, public crypto.PublicKey, data, signature []byte) error {
	v, err := NewVerifier(a, public)
	if err != nil {
		return err
	}
	v.Write(data) //nolint:errcheck // never fails
	return v.Verify(signature)
}

var (
	_ io.Writer = (*Signer)(nil)
	_ io.Writer = (*Verifier)(nil)
)
