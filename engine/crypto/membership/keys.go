package membership

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/panelmatch/panelmatch/engine/crypto/membership/internal/protoscan"
	"github.com/panelmatch/panelmatch/engine/crypto/membership/rlwe"
)

// seeds gives the randomness of a key pair: the secret's generator, and for each
// Galois key its public seed and the generator of its errors.
type seeds struct {
	secret *rlwe.PRNG
	galois func(i int) (public []byte, errors *rlwe.PRNG)
}

func freshSeeds() seeds {
	return seeds{rlwe.NewPrivatePRNG(), func(int) ([]byte, *rlwe.PRNG) { return rlwe.NewSeed(), rlwe.NewPrivatePRNG() }}
}

// GenerateKeys makes a key pair: the serialized PrivateKey, which stays with the asker,
// and the serialized PublicKey, which the holder gets.
func (s *Scheme) GenerateKeys() (private, public []byte, err error) {
	return s.generateKeys(freshSeeds())
}

func (s *Scheme) generateKeys(from seeds) (private, public []byte, err error) {
	secret := rlwe.SampleSecret(from.secret, s.request.N(), s.variance)
	k, err := s.privateKey(secret)
	if err != nil {
		return nil, nil, err
	}
	private = protowire.AppendTag(private, privateRequestKey, protowire.BytesType)
	private = protowire.AppendBytes(private, k.request.Append(nil))
	private = protowire.AppendTag(private, privateResponseKey, protowire.BytesType)
	private = protowire.AppendBytes(private, k.response.Append(nil))
	c := rlwe.NewCryptor(k.request, s.t, s.variance)
	for i := range s.logCF {
		seed, errs := from.galois(i)
		key, err := c.AppendGaloisKey(nil, s.request.ExpansionPower(i), s.logBase, seed, errs)
		if err != nil {
			return nil, nil, err
		}
		public = protowire.AppendTag(public, publicGaloisKey, protowire.BytesType)
		public = protowire.AppendBytes(public, key)
	}
	return private, public, nil
}

// PrivateKey encrypts queries and decrypts their results. It is safe for concurrent
// use and prints as [redacted].
type PrivateKey struct {
	s        *Scheme
	request  *rlwe.SecretKey
	response *rlwe.SecretKey
}

func (s *Scheme) privateKey(secret []int64) (*PrivateKey, error) {
	request, err := rlwe.NewSecretKey(s.request, secret)
	if err != nil {
		return nil, err
	}
	response, err := rlwe.NewSecretKey(s.response, secret)
	if err != nil {
		return nil, err
	}
	return &PrivateKey{s, request, response}, nil
}

// ParsePrivateKey reads a serialized PrivateKey. Both of its keys must be the same small secret:
// a key that was made for other parameters is refused here, not by garbage later.
func (s *Scheme) ParsePrivateKey(b []byte) (*PrivateKey, error) {
	var messages [2][]byte
	var once protoscan.Once
	err := protoscan.Each(b, func(f protoscan.Field) (err error) {
		if f.Number != privateRequestKey && f.Number != privateResponseKey {
			return nil
		}
		if messages[f.Number-privateRequestKey], err = f.Bytes(); err != nil {
			return err
		}
		return once.Check(f)
	})
	if err != nil {
		return nil, fmt.Errorf("rlwe private key: %w", err)
	}
	k := &PrivateKey{s: s}
	if k.request, err = readSecret(s.request, messages[0]); err != nil {
		return nil, fmt.Errorf("rlwe private key, request key: %w", err)
	}
	if k.response, err = readSecret(s.response, messages[1]); err != nil {
		return nil, fmt.Errorf("rlwe private key, response key: %w", err)
	}
	limit := 2 * int64(s.variance)
	x, err := k.request.Coefficients(limit)
	if err != nil {
		return nil, fmt.Errorf("rlwe private key, request key: %w: it was made for other parameters", err)
	}
	y, err := k.response.Coefficients(limit)
	if err != nil {
		return nil, fmt.Errorf("rlwe private key, response key: %w: it was made for other parameters", err)
	}
	var differ int64
	for i := range x {
		differ |= x[i] ^ y[i]
	}
	if differ != 0 {
		return nil, errors.New("rlwe private key: request key and response key are not the same secret")
	}
	return k, nil
}

func readSecret(r *rlwe.Ring, message []byte) (*rlwe.SecretKey, error) {
	coeffs, err := r.ParsePolynomial(message)
	if err != nil {
		return nil, err
	}
	return rlwe.ParseSecretKey(r, coeffs)
}

// String keeps the key out of logs.
func (k *PrivateKey) String() string { return "[redacted]" }

// GoString is String.
func (k *PrivateKey) GoString() string { return "[redacted]" }

// Format prints [redacted] for every verb.
func (k *PrivateKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[redacted]") }
