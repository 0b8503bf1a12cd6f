package rlwe

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/panelmatch/panelmatch/engine/crypto/membership/internal/protoscan"
)

// Field numbers of package rlwe (shell-encryption's serialization.proto).
const (
	polyCoeffs, polyCount                        = 1, 2
	ctComponent, ctPower, ctError                = 1, 2, 3
	keyC, keyLogBase, keyParts, keySeed, keyFrom = 1, 2, 3, 4, 5
	keyPRNG, galoisKey                           = 6, 1
	prngHKDF                                     = 1
)

// ParsePolynomial reads a SerializedNttPolynomial and returns its coefficient bytes,
// which share memory with the message. The count must be N; the bytes are
// checked by Unpack.
func (r *Ring) ParsePolynomial(message []byte) ([]byte, error) {
	var coeffs []byte
	var count int32
	var once protoscan.Once
	err := protoscan.Each(message, func(f protoscan.Field) (err error) {
		switch f.Number {
		case polyCoeffs:
			coeffs, err = f.Bytes()
		case polyCount:
			count, err = f.Int32()
		default:
			return nil
		}
		if err != nil {
			return err
		}
		return once.Check(f)
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("polynomial: %w", err)
	case int(count) != r.n:
		return nil, fmt.Errorf("polynomial has %d coefficients, must have %d", count, r.n)
	case len(coeffs) != r.PackedLen():
		return nil, fmt.Errorf("polynomial has %d bytes of coefficients, must have %d", len(coeffs), r.PackedLen())
	}
	return coeffs, nil
}

// PolynomialLen is the length of a serialized polynomial.
func (r *Ring) PolynomialLen() int {
	return protowire.SizeTag(polyCoeffs) + protowire.SizeBytes(r.PackedLen()) +
		protowire.SizeTag(polyCount) + protowire.SizeVarint(uint64(r.n))
}

// AppendPolynomial appends the scaled transform p as a SerializedNttPolynomial.
func (r *Ring) AppendPolynomial(b []byte, p Poly, buf *Buffer) []byte {
	b = protowire.AppendTag(b, polyCoeffs, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(r.PackedLen()))
	at := len(b)
	b = append(b, make([]byte, r.PackedLen())...)
	r.Pack(b[at:], p, buf)
	b = protowire.AppendTag(b, polyCount, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(r.n))
}

// AppendPolynomialField appends the polynomial as a field of an outer message.
func (r *Ring) AppendPolynomialField(b []byte, field protowire.Number, p Poly, buf *Buffer) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(r.PolynomialLen()))
	return r.AppendPolynomial(b, p, buf)
}

// appendVarintField appends a varint field; the reference sets every field of these
// messages, zero or not.
func appendVarintField(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

// AppendCiphertext appends a SerializedSymmetricRlweCiphertext under the key itself
// (power 1) with the given components and error estimate.
func (r *Ring) AppendCiphertext(b []byte, components []Poly, errorEstimate float64, buf *Buffer) []byte {
	for _, c := range components {
		b = r.AppendPolynomialField(b, ctComponent, c, buf)
	}
	b = appendVarintField(b, ctPower, 1)
	b = protowire.AppendTag(b, ctError, protowire.Fixed64Type)
	return protowire.AppendFixed64(b, math.Float64bits(errorEstimate))
}

// CiphertextLen is the length of a serialized ciphertext of that many components.
func (r *Ring) CiphertextLen(components int) int {
	return components*(protowire.SizeTag(ctComponent)+protowire.SizeBytes(r.PolynomialLen())) +
		protowire.SizeTag(ctPower) + protowire.SizeVarint(1) +
		protowire.SizeTag(ctError) + protowire.SizeFixed64()
}

// Ciphertext is a parsed SerializedSymmetricRlweCiphertext. Components share memory
// with the message; Unpack checks them.
type Ciphertext struct {
	Components [][]byte
	Error      float64
}

// ParseCiphertext reads a ciphertext under the key itself with from 1 to max
// components.
func (r *Ring) ParseCiphertext(message []byte, max int) (Ciphertext, error) {
	var c Ciphertext
	power := int32(1)
	var once protoscan.Once
	err := protoscan.Each(message, func(f protoscan.Field) error {
		switch f.Number {
		case ctComponent:
			data, err := f.Bytes()
			if err != nil {
				return err
			}
			if len(c.Components) == max {
				return fmt.Errorf("more than %d components", max)
			}
			coeffs, err := r.ParsePolynomial(data)
			c.Components = append(c.Components, coeffs)
			return err
		case ctPower:
			v, err := f.Int32()
			if power = v; err != nil {
				return err
			}
			return once.Check(f)
		case ctError:
			v, err := f.Fixed64()
			if c.Error = math.Float64frombits(v); err != nil {
				return err
			}
			return once.Check(f)
		}
		return nil
	})
	switch {
	case err != nil:
		return Ciphertext{}, fmt.Errorf("ciphertext: %w", err)
	case len(c.Components) == 0:
		return Ciphertext{}, fmt.Errorf("ciphertext has no components")
	case power != 1:
		return Ciphertext{}, fmt.Errorf("ciphertext is under power %d of the secret key's argument, must be 1", power)
	}
	return c, nil
}
