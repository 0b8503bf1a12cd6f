package rlwe

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/panelmatch/panelmatch/engine/crypto/membership/internal/protoscan"
)

// Digits is the number of digits of base 2^logBase in a residue.
func (r *Ring) Digits(logBase int) int { return (r.m.width + logBase - 1) / logBase }

// GaloisKey turns ciphertexts under s(x^power) into ciphertexts under s. It is
// public, immutable and safe for concurrent use.
type GaloisKey struct {
	power   int
	logBase uint
	count   int      // digits
	rows    []uint64 // [group][digit][component], scaled
	table   []uint32 // the substitution x -> x^power
}

// Power is the substitution that the key is for.
func (k *GaloisKey) Power() int { return k.power }

// LogBase is the number of bits per digit.
func (k *GaloisKey) LogBase() int { return int(k.logBase) }

// AppendGaloisKey makes the key for a substitution and appends it as a
// SerializedGaloisKey: b_i = t*e_i + 2^(i*logBase)*s(x^power) - a_i*s, with a_i from
// the public seed and e_i from the private generator.
func (c *Cryptor) AppendGaloisKey(b []byte, power, logBase int, seed []byte, private *PRNG) ([]byte, error) {
	public, err := NewPRNG(seed)
	if err != nil {
		return nil, err
	}
	r := c.k.r
	substituted, base, row := r.NewPoly(), r.constant(uint128{1, 0}), r.NewPoly()
	r.e.permute(substituted, c.k.s, r.e.substitution(power))
	step := r.constant(r.m.pow(uint128{2, 0}, uint128{uint64(logBase), 0}.big()))
	count := r.Digits(logBase)
	key := make([]byte, 0, count*(r.PolynomialLen()+8)+SeedSize+32)
	for range count {
		r.Uniform(c.a, public, c.buf)
		c.noise(private)
		r.SetInts(c.m, c.buf.ints)
		r.Forward(c.m)
		r.Mul(row, substituted, base)
		r.Add(c.m, c.m, row)
		r.ScaleUp(c.m, c.m)
		r.Mul(row, c.a, c.k.s)
		r.Sub(row, c.m, row)
		key = r.AppendPolynomialField(key, keyC, row, c.buf)
		r.Mul(base, base, step)
	}
	key = appendVarintField(key, keyLogBase, uint64(logBase))
	key = appendVarintField(key, keyParts, 2)
	key = protowire.AppendTag(key, keySeed, protowire.BytesType)
	key = protowire.AppendBytes(key, seed)
	key = appendVarintField(key, keyFrom, uint64(power))
	key = appendVarintField(key, keyPRNG, prngHKDF)
	b = protowire.AppendTag(b, galoisKey, protowire.BytesType)
	return protowire.AppendBytes(b, key), nil
}

// galoisMessage is a SerializedRelinearizationKey as read, unchecked.
type galoisMessage struct {
	rows                        [][]byte
	logBase, parts, power, prng int32
	seed                        []byte
}

// parseGalois reads the fields and stops at more than max rows.
func (r *Ring) parseGalois(message []byte, max int) (g galoisMessage, err error) {
	var once protoscan.Once
	var key []byte
	err = protoscan.Each(message, func(f protoscan.Field) (err error) {
		if f.Number != galoisKey {
			return nil
		}
		if key, err = f.Bytes(); err != nil {
			return err
		}
		return once.Check(f)
	})
	if err != nil {
		return g, err
	}
	once = 0
	err = protoscan.Each(key, func(f protoscan.Field) (err error) {
		switch f.Number {
		case keyC:
			data, err := f.Bytes()
			if err != nil {
				return err
			}
			if len(g.rows) == max {
				return fmt.Errorf("more than %d digits", max)
			}
			coeffs, err := r.ParsePolynomial(data)
			if err != nil {
				return fmt.Errorf("digit %d: %w", len(g.rows), err)
			}
			g.rows = append(g.rows, coeffs)
			return nil
		case keyLogBase:
			g.logBase, err = f.Int32()
		case keyParts:
			g.parts, err = f.Int32()
		case keySeed:
			g.seed, err = f.Bytes()
		case keyFrom:
			g.power, err = f.Int32()
		case keyPRNG:
			g.prng, err = f.Int32()
		default:
			return nil
		}
		if err != nil {
			return err
		}
		return once.Check(f)
	})
	return g, err
}

// ParseGaloisKey reads a SerializedGaloisKey and expands its seed. The key must be
// for the given substitution and base: both follow from the parameters of the
// exchange, and the noise was computed for them.
func (r *Ring) ParseGaloisKey(message []byte, power, logBase int) (*GaloisKey, error) {
	count := r.Digits(logBase)
	g, err := r.parseGalois(message, count)
	if err != nil {
		return nil, fmt.Errorf("galois key: %w", err)
	}
	switch {
	case int(g.logBase) != logBase:
		return nil, fmt.Errorf("galois key has digits of %d bits, the parameters say %d", g.logBase, logBase)
	case len(g.rows) != count:
		return nil, fmt.Errorf("galois key has %d digits, must have %d", len(g.rows), count)
	case g.parts != 2:
		return nil, fmt.Errorf("galois key is for %d parts, must be for 2", g.parts)
	case int(g.power) != power:
		return nil, fmt.Errorf("galois key is for power %d, must be for %d", g.power, power)
	case g.prng != prngHKDF:
		return nil, fmt.Errorf("galois key has generator type %d, only %d (HKDF) is supported", g.prng, prngHKDF)
	}
	public, err := NewPRNG(g.seed)
	if err != nil {
		return nil, fmt.Errorf("galois key: %w", err)
	}
	gw := r.GroupWords()
	k := &GaloisKey{
		power: power, logBase: uint(logBase), count: count,
		rows:  make([]uint64, r.Groups()*count*2*gw),
		table: r.e.substitution(power),
	}
	p, buf := r.NewPoly(), r.NewBuffer()
	for i, coeffs := range g.rows {
		if err := r.Unpack(p, coeffs, buf); err != nil {
			return nil, fmt.Errorf("galois key, digit %d: %w", i, err)
		}
		r.Scatter(k.rows[2*i*gw:], count*2*gw, p)
		r.Uniform(p, public, buf)
		r.Scatter(k.rows[(2*i+1)*gw:], count*2*gw, p)
	}
	return k, nil
}
