package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // a name, not a protection
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/panelmatch/panelmatch/schema/manifest"
)

// GenerateKey makes a key pair as the manifest's keys say. The zero Keys is an EC key on P-256.
func GenerateKey(keys manifest.Keys) (crypto.Signer, error) {
	switch Family(keys.Algorithm) {
	case EC, "":
		switch keys.Curve {
		case "", "P-256":
			return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		case "P-384":
			return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		}
		return nil, fmt.Errorf("curve %q of exchange keys is not known; allowed: P-256, P-384", keys.Curve)
	case RSA:
		bits := keys.Bits
		if bits == 0 {
			bits = 3072
		}
		if bits < MinRSABits {
			return nil, fmt.Errorf("exchange keys of %d bits are too short; at least %d are needed", bits, MinRSABits)
		}
		return rsa.GenerateKey(rand.Reader, bits)
	}
	return nil, fmt.Errorf("algorithm %q of exchange keys is not known; allowed: EC, RSA", keys.Algorithm)
}

// MarshalKey writes a private key as PKCS #8, DER.
func MarshalKey(key crypto.Signer) (manifest.Secret, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return manifest.Secret{}, fmt.Errorf("a private key of type %T can't be written as PKCS #8", key)
	}
	return manifest.NewSecret(der), nil
}

// errPrivateKey stands for all that may be wrong with a private key's bytes: the library's texts may quote them.
var errPrivateKey = errors.New("is not a private key in PKCS #8")

// ParseKey reads a private key from PKCS #8, DER, and checks that it is of the
// family; an empty family takes both.
func ParseKey(der manifest.Secret, family Family) (crypto.Signer, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der.Reveal())
	if err != nil {
		return nil, errPrivateKey
	}
	return checkKey(parsed, family)
}

func checkKey(parsed any, family Family) (crypto.Signer, error) {
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("is a key that can't sign")
	}
	got, err := FamilyOf(key.Public())
	if err != nil {
		return nil, err
	}
	if family != "" && got != family {
		return nil, fmt.Errorf("is an %s key, but exchange keys are %s (keys.algorithm)", got, family)
	}
	if _, err := AlgorithmForIssuer(key.Public()); err != nil {
		return nil, err
	}
	return key, nil
}

// ParseKeyPEM reads the first private key of a PEM text: PKCS #8, SEC 1 or
// PKCS #1, not encrypted. Other blocks (EC parameters, certificates) are skipped.
func ParseKeyPEM(text manifest.Secret) (crypto.Signer, error) {
	for rest := text.Reveal(); ; {
		block, more := pem.Decode(rest)
		if block == nil {
			return nil, errors.New("has no PEM block PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY")
		}
		rest = more
		var parsed any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			parsed, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("is encrypted with a passphrase; decrypt it first: openssl pkey -in KEY -out NEW")
		default:
			continue
		}
		if len(block.Headers) > 0 {
			return nil, errors.New("is encrypted with a passphrase; decrypt it first: openssl pkey -in KEY -out NEW")
		}
		if err != nil {
			return nil, fmt.Errorf("has a block %s that can't be read", block.Type)
		}
		return checkKey(parsed, "")
	}
}

// MarshalKeyPEM writes a private key as PKCS #8 in PEM.
func MarshalKeyPEM(key crypto.Signer) (manifest.Secret, error) {
	der, err := MarshalKey(key)
	if err != nil {
		return manifest.Secret{}, err
	}
	return manifest.NewSecret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der.Reveal()})), nil
}

// maxCertificate bounds a certificate's DER in bytes. Exchange certificates have one to two thousand.
const maxCertificate = 64 << 10

// ParseCertificate reads one certificate, DER.
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	if len(der) > maxCertificate {
		return nil, fmt.Errorf("is larger than %d bytes, too large for a certificate", maxCertificate)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("is not an X.509 certificate in DER")
	}
	if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > MaxRSABits {
		return nil, fmt.Errorf("has an RSA key of %d bits; at most %d are taken", key.N.BitLen(), MaxRSABits)
	}
	return cert, nil
}

// ParseCertificatePEM reads the first certificate of a PEM text.
func ParseCertificatePEM(text []byte) (*x509.Certificate, error) {
	for rest := text; ; {
		block, more := pem.Decode(rest)
		if block == nil {
			return nil, errors.New("has no PEM block CERTIFICATE")
		}
		rest = more
		if block.Type == "CERTIFICATE" {
			return ParseCertificate(block.Bytes)
		}
	}
}

// MarshalCertificatePEM writes a certificate in PEM.
func MarshalCertificatePEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// SubjectKeyID returns the identifier that OpenSSL's "hash" gives a public key:
// SHA-1 over the bits of its SubjectPublicKeyInfo (RFC 5280, 4.2.1.2, method 1).
func SubjectKeyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("a public key of type %T has no identifier", public)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	sum := sha1.Sum(info.Key.Bytes) //nolint:gosec // a name, not a protection
	return sum[:], nil
}

// SamePublicKey reports whether two public keys are equal.
func SamePublicKey(a, b crypto.PublicKey) bool {
	if x, ok := a.(interface{ Equal(crypto.PublicKey) bool }); ok {
		return x.Equal(b)
	}
	return false
}

// checkPair checks that a key can sign blobs for a certificate, and returns how.
func checkPair(cert *x509.Certificate, key crypto.Signer) (Algorithm, error) {
	if !SamePublicKey(cert.PublicKey, key.Public()) {
		return 0, errors.New("the certificate is for another key")
	}
	return AlgorithmOf(cert)
}

// CheckIssued checks what a certificate authority returned for an exchange: the
// key belongs to the certificate and can sign by its algorithm, and there are
// the key identifiers without which a Kingdom refuses it.
func CheckIssued(cert *x509.Certificate, key crypto.Signer) error {
	if _, err := checkPair(cert, key); err != nil {
		return err
	}
	if len(cert.SubjectKeyId) == 0 {
		return errors.New("the certificate has no subject key identifier; the certificate authority must add one")
	}
	if len(cert.AuthorityKeyId) == 0 && !bytes.Equal(cert.RawIssuer, cert.RawSubject) {
		return errors.New("the certificate has no authority key identifier; the certificate authority must add one")
	}
	return nil
}
