package commutative

import (
	"bytes"
	"encoding/binary"

	"github.com/panelmatch/panelmatch/engine/crypto/commutative/internal/lanes"
)

// laneWorker does what worker does, for a chunk of elements and eight points at a time.
type laneWorker struct {
	oracle oracle
	points lanes.Points
	x, y   [chunkSize][4]uint64
	queue  []int // of at most chunkSize elements: those whose x is not known to be that of a point
}

// apply does one operation on a chunk and returns the index of the first bad element, or -1.
func (w *laneWorker) apply(out []byte, op Op, scalar *lanes.Scalar, src [][]byte) (bad int) {
	if op == Encrypt {
		w.hash(src)
	} else if bad := w.decode(src); bad >= 0 {
		return bad
	}
	for from := 0; from < len(src); from += lanes.Width {
		var x, y lanes.Numbers
		for lane := range x {
			i := min(from+lane, len(src)-1) // lanes that are left over do the last element again
			x[lane], y[lane] = w.x[i], w.y[i]
		}
		w.points.Set(&x, &y)
		w.points.Multiply(scalar)
		w.points.Affine(&x, &y)
		for lane := range min(lanes.Width, len(src)-from) {
			encode(out[(from+lane)*PointSize:][:PointSize], &x[lane], &y[lane])
		}
	}
	return -1
}

// hash sets w.x and w.y to the points that the elements hash to, as oracle.hash does. As many
// candidates as there are lanes are tried at once; those rejected queue up again.
func (w *laneWorker) hash(src [][]byte) {
	w.queue = w.queue[:0]
	for i, s := range src {
		w.candidate(i, s)
	}
	for len(w.queue) > 0 {
		n := min(lanes.Width, len(w.queue))
		var try [lanes.Width]int
		var x, y lanes.Numbers
		for lane := range try {
			try[lane] = w.queue[min(lane, n-1)]
			x[lane] = w.x[try[lane]]
		}
		found := lanes.Roots(&y, &x)
		w.queue = append(w.queue[:0], w.queue[n:]...)
		for lane, i := range try[:n] {
			if found>>lane&1 == 1 {
				w.y[i] = y[lane]
				continue
			}
			var b [32]byte
			putNumber(b[:], &w.x[i])
			w.candidate(i, bytes.TrimLeft(b[:], "\x00"))
		}
	}
}

// candidate sets the x of an element to what its bytes, or those of the candidate before, give, and
// puts it into the queue.
func (w *laneWorker) candidate(i int, s []byte) {
	var e element
	w.oracle.candidate(&e, s)
	w.x[i] = e.number()
	w.queue = append(w.queue, i)
}

// decode sets w.x and w.y to the points that are encoded, and returns the index of the first element
// that is none, or -1.
func (w *laneWorker) decode(src [][]byte) (bad int) {
	for from := 0; from < len(src); from += lanes.Width {
		group := src[from:min(from+lanes.Width, len(src))]
		var x, y lanes.Numbers
		var formed uint8 // the lanes in which there is an encoding of some x below p
		for lane, b := range group {
			compressed := len(b) == PointSize && (b[0] == 2 || b[0] == 3)
			if !compressed && !(len(b) == uncompressedSize && b[0] == 4) {
				continue
			}
			e := element(number(b[1:33]))
			if e.belowP() {
				x[lane] = e
				formed |= 1 << lane
			}
		}
		found := lanes.Roots(&y, &x) & formed
		for lane, b := range group {
			if found>>lane&1 == 0 {
				return from + lane
			}
			// Both encodings tell in their last byte or their first which root it is. The uncompressed
			// one tells all of it, and is right only if it is that.
			odd := uint64(b[0]) & 1
			if b[0] == 4 {
				odd = uint64(b[uncompressedSize-1]) & 1
			}
			root := lanes.Opposite(y[lane], odd)
			if b[0] == 4 && root != number(b[33:65]) {
				return from + lane
			}
			w.x[from+lane], w.y[from+lane] = x[lane], root
		}
	}
	return -1
}

// encode writes a compressed point.
func encode(out []byte, x, y *[4]uint64) {
	out[0] = 2 | byte(y[0]&1)
	putNumber(out[1:], x)
}

// number reads 32 big-endian bytes, least significant limb first.
func number(b []byte) (v [4]uint64) {
	for i := range v {
		v[i] = binary.BigEndian.Uint64(b[24-8*i:])
	}
	return v
}

func putNumber(b []byte, v *[4]uint64) {
	for i, limb := range v {
		binary.BigEndian.PutUint64(b[24-8*i:], limb)
	}
}
