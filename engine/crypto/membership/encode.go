package membership

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// lengthBytes is the length prefix of a bucket.
const lengthBytes = 4

// chunksOf is the number of polynomials that hold a bucket; empty contents need none.
func (s *Scheme) chunksOf(contents []byte) int {
	if len(contents) == 0 {
		return 0
	}
	return (len(contents) + lengthBytes + s.chunk - 1) / s.chunk
}

// checkContents refuses contents whose length the prefix cannot tell.
func checkContents(contents []byte) error {
	if len(contents) > math.MaxInt32-lengthBytes {
		return fmt.Errorf("bucket has %d bytes, must have at most %d", len(contents), math.MaxInt32-lengthBytes)
	}
	return nil
}

// chunkInto writes the bytes of chunk i of a bucket to dst, ChunkBytes long. The
// reference reuses its buffer without clearing it, so behind the end of a bucket
// its last polynomial repeats the previous one. Readers ignore it, but results
// depend on it, bit for bit.
func chunkInto(dst, contents []byte, i int) {
	at := i * len(dst)
	n := sliceInto(dst, contents, at)
	if n == len(dst) {
		return
	}
	if i == 0 {
		clear(dst[n:])
		return
	}
	sliceInto(dst[n:], contents, at-len(dst)+n)
}

// sliceInto copies what begins at position at of the length-prefixed contents and
// returns how much that was.
func sliceInto(dst, contents []byte, at int) int {
	n := 0
	if at < lengthBytes {
		var prefix [lengthBytes]byte
		binary.LittleEndian.PutUint32(prefix[:], uint32(len(contents)))
		n = copy(dst, prefix[at:])
		at = lengthBytes
	}
	if at-lengthBytes >= len(contents) {
		return n
	}
	return n + copy(dst[n:], contents[at-lengthBytes:])
}

// coefficients cuts bytes into groups of logT bits, the lowest first, and clears the
// rest of dst.
func (s *Scheme) coefficients(dst []int64, chunk []byte) {
	if s.logT == 1 {
		for i, b := range chunk {
			d := dst[8*i : 8*i+8]
			for j := range d {
				d[j] = int64(b >> j & 1)
			}
		}
		clear(dst[8*len(chunk):])
		return
	}
	var acc uint64 // at most logT + 7 bits
	bits, at := 0, 0
	for _, b := range chunk {
		acc |= uint64(b) << bits
		for bits += 8; bits >= s.logT; bits -= s.logT {
			dst[at] = int64(acc & (1<<s.logT - 1))
			acc >>= s.logT
			at++
		}
	}
	if bits > 0 {
		dst[at] = int64(acc)
		at++
	}
	clear(dst[at:])
}

// bytesOf is the inverse of coefficients: it appends the bytes that N decrypted
// values hold.
func (s *Scheme) bytesOf(b []byte, values []uint64) []byte {
	var acc uint64
	bits := 0
	for _, v := range values {
		acc |= v & (1<<s.logT - 1) << bits
		for bits += s.logT; bits >= 8; bits -= 8 {
			b = append(b, byte(acc))
			acc >>= 8
		}
	}
	return b
}

// unprefix returns the contents behind a length prefix.
func unprefix(b []byte) ([]byte, error) {
	if len(b) < lengthBytes {
		return nil, errors.New("result is shorter than its length prefix")
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	if b = b[lengthBytes:]; n > uint64(len(b)) {
		return nil, fmt.Errorf("result says it has %d bytes and has room for %d: it was made for other keys or parameters, or the noise is too large", n, len(b))
	}
	return b[:n:n], nil
}
