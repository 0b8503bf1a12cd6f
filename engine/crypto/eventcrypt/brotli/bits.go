package brotli

import "encoding/binary"

// bitReader reads bits, the least significant of each byte first. After the end of its input it reads
// zeros; overrun tells.
type bitReader struct {
	src  []byte
	pos  int
	acc  uint64
	have uint // bits in acc
	pad  uint // bytes of zeros in acc, read after the end
}

// fill makes sure that there are 56 bits.
func (r *bitReader) fill() {
	if r.pos+8 <= len(r.src) {
		r.acc |= binary.LittleEndian.Uint64(r.src[r.pos:]) << r.have
		n := (63 - r.have) >> 3
		r.pos += int(n)
		r.have += n << 3
		return
	}
	for r.have <= 56 {
		if r.pos < len(r.src) {
			r.acc |= uint64(r.src[r.pos]) << r.have
			r.pos++
		} else {
			r.pad++
		}
		r.have += 8
	}
}

// bits reads n bits, at most 32.
func (r *bitReader) bits(n uint) uint32 {
	if r.have < n {
		r.fill()
	}
	v := uint32(r.acc & (1<<n - 1))
	r.acc >>= n
	r.have -= n
	return v
}

// overrun says whether more was read than there is.
func (r *bitReader) overrun() bool { return r.pad<<3 > r.have }

// align skips to the next byte and says whether the bits skipped are zero.
func (r *bitReader) align() bool { return r.bits(r.have&7) == 0 }

// rest gives back the bytes that were taken into acc and not read. It is called when aligned.
func (r *bitReader) rest() []byte {
	back := int(r.have>>3) - int(r.pad)
	r.acc, r.have, r.pad = 0, 0, 0
	if back < 0 {
		return nil
	}
	r.pos -= back
	return r.src[r.pos:]
}
