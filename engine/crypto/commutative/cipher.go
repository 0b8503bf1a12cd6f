package commutative

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"

	"filippo.io/nistec"

	"github.com/panelmatch/panelmatch/engine/crypto/commutative/internal/lanes"
)

// PointSize is the length of every result: a SEC 1 compressed point.
const PointSize = 33

const uncompressedSize = 65

// ErrPoint is the error for an input of ReEncrypt or Decrypt that does not encode a point of P-256.
var ErrPoint = errors.New("not a P-256 point; it must be a SEC 1 compressed point of 33 bytes or an uncompressed one of 65")

// Op is one of the three operations.
type Op int

// The operations. The zero Op is none.
const (
	// Encrypt takes any byte string, also an empty one, to a point.
	Encrypt Op = iota + 1
	// ReEncrypt encrypts what another key has encrypted.
	ReEncrypt
	// Decrypt takes this key's encryption off a point.
	Decrypt
)

// String returns the name of the operation.
func (o Op) String() string {
	switch o {
	case Encrypt:
		return "encrypt"
	case ReEncrypt:
		return "re-encrypt"
	case Decrypt:
		return "decrypt"
	default:
		return fmt.Sprintf("operation %d", int(o))
	}
}

// Options are what a Cipher can be told. The zero value is good.
type Options struct {
	// Workers is how many goroutines a batch uses at most. 0 means one for each processor that Go uses.
	Workers int
}

// Cipher encrypts and decrypts with one key. It prints as [redacted]. It is safe for concurrent use.
type Cipher struct {
	forward, backward multiplier // the key and its inverse
	workers           int
	lanes             bool // batches do eight points at a time
}

// multiplier is a scalar as the two ways to multiply want it.
type multiplier struct {
	bytes [32]byte // big-endian
	lanes lanes.Scalar
}

func newMultiplier(k *scalar) multiplier {
	return multiplier{bytes: k.bytes(), lanes: lanes.NewScalar((*[4]uint64)(k))}
}

// New returns a cipher for a key.
func New(key *Key, opts Options) *Cipher {
	inverse := key.k.inverse()
	c := &Cipher{
		forward:  newMultiplier(&key.k),
		backward: newMultiplier(&inverse),
		workers:  opts.Workers,
		lanes:    lanes.Available(),
	}
	if c.workers <= 0 {
		c.workers = runtime.GOMAXPROCS(0)
	}
	return c
}

// Append does one operation and appends the PointSize bytes of its result to dst. Encrypt cannot fail;
// the others fail with ErrPoint, and then dst is returned as it was. For more than a few inputs, use
// Batch.
func (c *Cipher) Append(dst []byte, op Op, src []byte) ([]byte, error) {
	by, err := c.multiplier(op)
	if err != nil {
		return dst, err
	}
	var w worker
	var out [PointSize]byte
	if err := w.apply(&out, op, &by.bytes, src); err != nil {
		return dst, err
	}
	return append(dst, out[:]...), nil
}

// multiplier returns what an operation multiplies by.
func (c *Cipher) multiplier(op Op) (*multiplier, error) {
	switch op {
	case Encrypt, ReEncrypt:
		return &c.forward, nil
	case Decrypt:
		return &c.backward, nil
	default:
		return nil, fmt.Errorf("%v is not an operation of the commutative cipher", op)
	}
}

// String returns [redacted].
func (c *Cipher) String() string { return redacted }

// Format prints [redacted].
func (c *Cipher) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue returns [redacted].
func (c *Cipher) LogValue() slog.Value { return slog.StringValue(redacted) }

// worker is what one goroutine reuses from element to element.
type worker struct {
	oracle oracle
	point  nistec.P256Point
	xy     [uncompressedSize]byte
}

// apply does one operation.
func (w *worker) apply(out *[PointSize]byte, op Op, scalar *[32]byte, src []byte) error {
	if op == Encrypt {
		var x, y element
		w.oracle.hash(&x, &y, src)
		w.xy[0] = 4
		x.bytes((*[32]byte)(w.xy[1:33]))
		y.bytes((*[32]byte)(w.xy[33:65]))
		src = w.xy[:]
	} else if len(src) != PointSize && len(src) != uncompressedSize {
		return ErrPoint // most of all the one byte that encodes the point at infinity
	}
	// SetBytes takes the two encodings of these lengths, and no hybrid one.
	if _, err := w.point.SetBytes(src); err != nil {
		return ErrPoint
	}
	if _, err := w.point.ScalarMult(&w.point, scalar[:]); err != nil {
		return fmt.Errorf("multiply a point: %w", err)
	}
	// The order is prime and the scalar is not 0 modulo it: the result is not the point at infinity.
	if copy(out[:], w.point.BytesCompressed()) != PointSize {
		return ErrPoint
	}
	return nil
}
