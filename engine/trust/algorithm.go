package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// Family is a kind of key pair, spelled as in the manifest's keys.algorithm.
type Family string

// The families. A certificate authority and the keys that it certifies must be
// of one family, because the certificate's signature algorithm is also the one
// that its key signs blobs with.
const (
	EC  Family = "EC"
	RSA Family = "RSA"
)

// MinRSABits is the least modulus length of a key that is made or accepted as
// our own. MaxRSABits bounds all keys: verifying with a longer one takes so long
// that a certificate could be used to hold us up.
const (
	MinRSABits = 2048
	MaxRSABits = 8192
)

// FamilyOf returns the family of a public key.
func FamilyOf(public crypto.PublicKey) (Family, error) {
	switch public.(type) {
	case *ecdsa.PublicKey:
		return EC, nil
	case *rsa.PublicKey:
		return RSA, nil
	}
	return "", fmt.Errorf("a key of type %T is neither EC nor RSA", public)
}

// Algorithm is one of the six signature algorithms that both parties know. The
// zero Algorithm is none.
type Algorithm int

// The algorithms. Their order is that of people's lists, and is in no format.
const (
	ECDSAWithSHA256 Algorithm = iota + 1
	ECDSAWithSHA384
	ECDSAWithSHA512
	SHA256WithRSA
	SHA384WithRSA
	SHA512WithRSA
)

type algorithmFacts struct {
	oid    string
	java   string
	enum   string
	x509   x509.SignatureAlgorithm
	hash   crypto.Hash
	family Family
}

// facts returns the row of the protocol's table: dotted OID, name in Java's
// cryptography architecture (which the reference's settings use), name in the
// reference's own enum.
func (a Algorithm) facts() algorithmFacts {
	switch a {
	case ECDSAWithSHA256:
		return algorithmFacts{"1.2.840.10045.4.3.2", "SHA256withECDSA", "ECDSA_WITH_SHA256", x509.ECDSAWithSHA256, crypto.SHA256, EC}
	case ECDSAWithSHA384:
		return algorithmFacts{"1.2.840.10045.4.3.3", "SHA384withECDSA", "ECDSA_WITH_SHA384", x509.ECDSAWithSHA384, crypto.SHA384, EC}
	case ECDSAWithSHA512:
		return algorithmFacts{"1.2.840.10045.4.3.4", "SHA512withECDSA", "ECDSA_WITH_SHA512", x509.ECDSAWithSHA512, crypto.SHA512, EC}
	case SHA256WithRSA:
		return algorithmFacts{"1.2.840.113549.1.1.11", "SHA256withRSA", "SHA_256_WITH_RSA_ENCRYPTION", x509.SHA256WithRSA, crypto.SHA256, RSA}
	case SHA384WithRSA:
		return algorithmFacts{"1.2.840.113549.1.1.12", "SHA384withRSA", "SHA_384_WITH_RSA_ENCRYPTION", x509.SHA384WithRSA, crypto.SHA384, RSA}
	case SHA512WithRSA:
		return algorithmFacts{"1.2.840.113549.1.1.13", "SHA512withRSA", "SHA_512_WITH_RSA_ENCRYPTION", x509.SHA512WithRSA, crypto.SHA512, RSA}
	}
	return algorithmFacts{java: "none"}
}

// Algorithms lists all six.
func Algorithms() []Algorithm {
	return []Algorithm{ECDSAWithSHA256, ECDSAWithSHA384, ECDSAWithSHA512, SHA256WithRSA, SHA384WithRSA, SHA512WithRSA}
}

// String returns the Java name, such as SHA256withECDSA.
func (a Algorithm) String() string { return a.facts().java }

// OID returns the dotted object identifier, as checkpoints carry it; empty for no algorithm.
func (a Algorithm) OID() string { return a.facts().oid }

// Family returns the kind of key that the algorithm takes.
func (a Algorithm) Family() Family { return a.facts().family }

// Hash returns the hash function; 0 for no algorithm.
func (a Algorithm) Hash() crypto.Hash { return a.facts().hash }

// X509 returns the algorithm as crypto/x509 calls it.
func (a Algorithm) X509() x509.SignatureAlgorithm { return a.facts().x509 }

// ParseAlgorithm finds an algorithm by its Java name or by the name of the
// reference's enum, in any case.
func ParseAlgorithm(name string) (Algorithm, error) {
	var known []string
	for _, a := range Algorithms() {
		f := a.facts()
		if strings.EqualFold(name, f.java) || strings.EqualFold(name, f.enum) {
			return a, nil
		}
		known = append(known, f.java)
	}
	return 0, fmt.Errorf("signature algorithm %.40q is not known; allowed: %s", name, strings.Join(known, ", "))
}

// AlgorithmByOID finds an algorithm by its dotted object identifier.
func AlgorithmByOID(oid string) (Algorithm, error) {
	for _, a := range Algorithms() {
		if a.OID() == oid {
			return a, nil
		}
	}
	return 0, fmt.Errorf("signature algorithm %.60q is none of the six that the protocol knows", oid)
}

// AlgorithmOf returns the algorithm by which a certificate was signed. Blobs
// are signed by the same, with the certificate's key; so the two must be of
// one family, and AlgorithmOf fails if they are not.
func AlgorithmOf(cert *x509.Certificate) (Algorithm, error) {
	family, err := FamilyOf(cert.PublicKey)
	if err != nil {
		return 0, err
	}
	for _, a := range Algorithms() {
		if a.X509() != cert.SignatureAlgorithm {
			continue
		}
		if a.Family() != family {
			return 0, fmt.Errorf("the certificate has an %s key but is signed by %s, so its key can't sign blobs; "+
				"the certificate authority's key and the exchange keys (keys.algorithm) must be of one kind", family, a)
		}
		return a, nil
	}
	return 0, fmt.Errorf("the certificate is signed by %s, which is none of the six algorithms that the protocol knows", cert.SignatureAlgorithm)
}

// AlgorithmForIssuer returns the algorithm that a certificate authority with
// this public key signs with by default: as strong as the key.
func AlgorithmForIssuer(public crypto.PublicKey) (Algorithm, error) {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return ECDSAWithSHA256, nil
		case elliptic.P384():
			return ECDSAWithSHA384, nil
		case elliptic.P521():
			return ECDSAWithSHA512, nil
		}
		return 0, errors.New("the curve of the EC key is none of P-256, P-384 and P-521")
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < MinRSABits || bits > MaxRSABits {
			return 0, fmt.Errorf("the RSA key has %d bits; at least %d are needed, and at most %d are taken", bits, MinRSABits, MaxRSABits)
		}
		return SHA256WithRSA, nil
	}
	_, err := FamilyOf(public)
	return 0, err
}
