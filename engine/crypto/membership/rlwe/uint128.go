package rlwe

import (
	"math/big"
	"math/bits"
)

// uint128 is an unsigned integer of two words. Residues leave an engine only as
// uint128 in [0,q).
type uint128 struct{ lo, hi uint64 }

func (x uint128) isZero() bool { return x.lo|x.hi == 0 }

// less reports x < y.
func (x uint128) less(y uint128) bool {
	_, b := bits.Sub64(x.lo, y.lo, 0)
	_, b = bits.Sub64(x.hi, y.hi, b)
	return b != 0
}

// add returns x + y mod 2^128.
func (x uint128) add(y uint128) uint128 {
	lo, c := bits.Add64(x.lo, y.lo, 0)
	hi, _ := bits.Add64(x.hi, y.hi, c)
	return uint128{lo, hi}
}

// sub returns x - y mod 2^128.
func (x uint128) sub(y uint128) uint128 {
	lo, b := bits.Sub64(x.lo, y.lo, 0)
	hi, _ := bits.Sub64(x.hi, y.hi, b)
	return uint128{lo, hi}
}

// mulLow returns x * y mod 2^128.
func (x uint128) mulLow(y uint128) uint128 {
	hi, lo := bits.Mul64(x.lo, y.lo)
	return uint128{lo, hi + x.lo*y.hi + x.hi*y.lo}
}

// shr returns x >> n; n may be anything.
func (x uint128) shr(n uint) uint128 {
	if n >= 64 {
		return uint128{x.hi >> (n - 64), 0}
	}
	// A shift by 64 gives 0 in Go, so n = 0 needs no case of its own.
	return uint128{x.lo>>n | x.hi<<(64-n), x.hi >> n}
}

// mask128 returns 2^n - 1 for n <= 128.
func mask128(n uint) uint128 {
	if n >= 64 {
		return uint128{^uint64(0), 1<<(n-64) - 1}
	}
	return uint128{1<<n - 1, 0}
}

func (x uint128) and(y uint128) uint128 { return uint128{x.lo & y.lo, x.hi & y.hi} }

func (x uint128) bitLen() int {
	if x.hi != 0 {
		return 64 + bits.Len64(x.hi)
	}
	return bits.Len64(x.lo)
}

// mod returns x mod m for 0 < m < 2^63.
func (x uint128) mod(m uint64) uint64 {
	return bits.Rem64(x.hi%m, x.lo, m)
}

// big returns x as a big integer, for the arithmetic that runs once per ring.
func (x uint128) big() *big.Int {
	z := new(big.Int).SetUint64(x.hi)
	z.Lsh(z, 64)
	return z.Or(z, new(big.Int).SetUint64(x.lo))
}

// fromBig returns x, which must be in [0, 2^128).
func fromBig(x *big.Int) uint128 {
	lo := new(big.Int).And(x, new(big.Int).SetUint64(^uint64(0)))
	return uint128{lo.Uint64(), new(big.Int).Rsh(x, 64).Uint64()}
}
