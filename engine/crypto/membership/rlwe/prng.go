package rlwe

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/bits"
	"strconv"
)

// SeedSize is the length of a generator's seed in bytes.
const SeedSize = 64

// prngBlock is the longest output of HKDF-SHA256; the stream is made of such blocks.
const prngBlock = 255 * sha256.Size

// PRNG is the seeded generator of the wire format: block c of its stream is
// HKDF-SHA256 of the seed with salt "salt" || decimal(c), empty info and 8160
// bytes. Both parties expand public seeds with it; private randomness uses it
// with a seed of its own that is never written. It is not safe for concurrent
// use.
type PRNG struct {
	seed  [SeedSize]byte
	block int
	at    int
	buf   [prngBlock]byte
}

// NewPRNG starts the stream of a seed of SeedSize bytes.
func NewPRNG(seed []byte) (*PRNG, error) {
	if len(seed) != SeedSize {
		return nil, fmt.Errorf("generator seed has %d bytes, must have %d", len(seed), SeedSize)
	}
	p := &PRNG{at: prngBlock}
	copy(p.seed[:], seed)
	return p, nil
}

// NewSeed returns a fresh seed from the operating system.
func NewSeed() []byte {
	seed := make([]byte, SeedSize)
	rand.Read(seed) // never fails: the program stops if the system has no randomness
	return seed
}

// NewPrivatePRNG starts the stream of a fresh seed, which nobody else gets to see.
func NewPrivatePRNG() *PRNG {
	p := &PRNG{at: prngBlock}
	rand.Read(p.seed[:]) // never fails, as above
	return p
}

// refill makes the next block.
func (p *PRNG) refill() {
	extract := hmac.New(sha256.New, strconv.AppendInt([]byte("salt"), int64(p.block), 10))
	extract.Write(p.seed[:])
	expand := hmac.New(sha256.New, extract.Sum(nil))
	p.expand(expand)
	p.block++
	p.at = 0
}

// expand is the second half of HKDF with empty info.
func (p *PRNG) expand(mac hash.Hash) {
	var previous []byte
	counter := []byte{0}
	for at := 0; at < prngBlock; at += sha256.Size {
		counter[0]++
		mac.Reset()
		mac.Write(previous)
		mac.Write(counter)
		previous = mac.Sum(p.buf[at:at])
	}
}

// rand8 returns the next byte.
func (p *PRNG) rand8() uint64 {
	if p.at == prngBlock {
		p.refill()
	}
	v := p.buf[p.at]
	p.at++
	return uint64(v)
}

// rand64 returns the next eight bytes, little endian; they may straddle blocks.
func (p *PRNG) rand64() uint64 {
	if p.at+8 <= prngBlock {
		v := binary.LittleEndian.Uint64(p.buf[p.at:])
		p.at += 8
		return v
	}
	var v uint64
	for i := range 8 {
		v |= p.rand8() << (8 * i)
	}
	return v
}

// uniform fills dst with uniform residues. They are, as drawn, scaled values of a
// transform in wire order.
func (p *PRNG) uniform(dst []uint128, m *Modulus) {
	for i := range dst {
		for {
			if v := p.draw(uint(m.width)); v.less(m.q) {
				dst[i] = v
				break
			}
		}
	}
}

// draw returns width bits: whole words first, then a rest of up to eight bits from
// a byte, a longer one from a word.
func (p *PRNG) draw(width uint) uint128 {
	var v uint128
	for width > 0 {
		n := min(width, 64)
		var bits uint64
		if width <= 8 {
			bits = p.rand8()
		} else {
			bits = p.rand64()
		}
		v = uint128{v.lo<<n | bits&mask128(n).lo, v.hi<<n | v.lo>>(64-n)}
		width -= n
	}
	return v
}

// binomial fills dst with samples of the centred binomial distribution of the
// given variance. The order of draws is the reference's, so that recorded seeds
// give recorded keys.
func (p *PRNG) binomial(dst []int64, variance int) {
	for i := range dst {
		v := 0
		for k := 2 * variance; k > 0; {
			var x, y uint64
			n := 64
			if k >= 64 {
				x, y = p.rand64(), p.rand64()
			} else {
				n = min(k, 8)
				m := uint64(1)<<n - 1
				x = p.rand8() & m
				y = p.rand8() & m
			}
			v += bits.OnesCount64(x) - bits.OnesCount64(y)
			k -= n
		}
		dst[i] = int64(v)
	}
}
