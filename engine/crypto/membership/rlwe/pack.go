package rlwe

import (
	"encoding/binary"
	"fmt"
)

// Residues travel as one stream of bits, the lowest bit of each residue and of
// each byte first, without gaps (TranscribeBits of the reference's library).

// packedLen is the number of bytes that hold n residues of the given width.
func packedLen(n, width int) int { return (n*width + 7) / 8 }

// pack writes the residues to dst, which must be packedLen long.
func pack(dst []byte, src []uint128, width int) {
	clear(dst)
	var acc uint64 // bits not written yet
	fill, at := uint(0), 0
	flush := func(v uint64, n uint) {
		// n <= 64 bits of v follow the fill < 64 bits of acc.
		acc |= v << fill
		if fill+n < 64 {
			fill += n
			return
		}
		if at+8 <= len(dst) {
			binary.LittleEndian.PutUint64(dst[at:], acc)
		} else {
			putTail(dst[at:], acc)
		}
		at += 8
		acc = v >> (64 - fill) // 0 if fill is 0
		fill = fill + n - 64
	}
	for _, v := range src {
		if width > 64 {
			flush(v.lo, 64)
			flush(v.hi, uint(width-64))
		} else {
			flush(v.lo, uint(width))
		}
	}
	if at < len(dst) {
		putTail(dst[at:], acc)
	}
}

// putTail writes the low bytes of v.
func putTail(dst []byte, v uint64) {
	for i := range dst[:min(8, len(dst))] {
		dst[i] = byte(v >> (8 * i))
	}
}

// unpack reads len(dst) residues modulo m. A residue above q, bytes too many or too
// few and bits that are set after the last residue are errors; q itself, which
// the reference's library can write for zero, is read as zero.
func unpack(dst []uint128, src []byte, m *Modulus) error {
	width := m.width
	if want := packedLen(len(dst), width); len(src) != want {
		return fmt.Errorf("polynomial has %d bytes of coefficients, must have %d (%d coefficients of %d bits)", len(src), want, len(dst), width)
	}
	if used := uint(len(dst)*width) % 8; used != 0 && src[len(src)-1]>>used != 0 {
		return fmt.Errorf("polynomial has bits after its last coefficient")
	}
	// A residue and its shift span at most 17 bytes; the last ones are read from a copy
	// that has room after it.
	const span = 24
	mask := mask128(uint(width))
	for i := range dst {
		bit := i * width
		shift := uint(bit) % 8
		in := src[bit/8:]
		if len(in) < span {
			var last [span]byte
			copy(last[:], in)
			in = last[:]
		}
		lo := binary.LittleEndian.Uint64(in)
		mid := binary.LittleEndian.Uint64(in[8:])
		top := binary.LittleEndian.Uint64(in[16:])
		v := uint128{lo>>shift | mid<<(64-shift), mid>>shift | top<<(64-shift)}.and(mask)
		if !v.less(m.q) {
			if v != m.q {
				return fmt.Errorf("coefficient %d is not below the modulus", i)
			}
			v = uint128{}
		}
		dst[i] = v
	}
	return nil
}
