package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/panelmatch/panelmatch/engine/provider"
)

// Format is how records stand in a shard. The zero Format detects it when
// reading, and can't be written.
type Format int

// The formats.
const (
	// Detect finds out which one it is, see NewReader.
	Detect Format = iota
	// Delimited is protobuf's: an unsigned varint with the length, then the message. It is the default of the protocol.
	Delimited
	// RecordIO is Mesos RecordIO: the length in decimal digits, a newline, then the bytes.
	RecordIO
)

// String returns the word that manifests and logs use.
func (f Format) String() string {
	switch f {
	case Delimited:
		return "delimited"
	case RecordIO:
		return "recordIO"
	case Detect:
	}
	return "detect"
}

// ParseFormat reads what String writes for a format that can be written.
func ParseFormat(word string) (Format, error) {
	for _, f := range []Format{Delimited, RecordIO} {
		if word == f.String() {
			return f, nil
		}
	}
	return Detect, fmt.Errorf("%q is not a record format; allowed: delimited, recordIO", clip(word))
}

// ErrMalformed says that the bytes are not a stream of records. It is final for these bytes.
var ErrMalformed = errors.New("malformed records")

// header is the two formats' only difference.
type header interface {
	// parse reads a record's length from the beginning of b. It returns the header's size, or 0 if b
	// is too short to tell.
	parse(b []byte) (length uint64, size int, err error)
	// append adds the header of a record to b.
	append(b []byte, length int) []byte
}

// maxHeader is the most bytes that a header has in either format.
const maxHeader = 20

func headerOf(f Format) (header, error) {
	switch f {
	case Delimited:
		return delimited{}, nil
	case RecordIO:
		return recordIO{}, nil
	case Detect:
	}
	return nil, fmt.Errorf("record format %d can't be used here", int(f))
}

type delimited struct{}

func (delimited) parse(b []byte) (uint64, int, error) {
	v, n := binary.Uvarint(b)
	if n < 0 || n == 0 && len(b) >= binary.MaxVarintLen64 {
		return 0, 0, fmt.Errorf("%w: a length is no varint", ErrMalformed)
	}
	return v, n, nil
}

func (delimited) append(b []byte, length int) []byte {
	return binary.AppendUvarint(b, uint64(length)) //nolint:gosec // a slice's length
}

type recordIO struct{}

func (recordIO) parse(b []byte) (uint64, int, error) {
	var v uint64
	for i, c := range b {
		switch {
		case c == '\n' && i > 0:
			return v, i + 1, nil
		case c < '0' || c > '9' || i >= maxHeader-2:
			return 0, 0, fmt.Errorf("%w: a length is not decimal digits and a newline", ErrMalformed)
		}
		v = v*10 + uint64(c-'0')
	}
	return 0, 0, nil
}

func (recordIO) append(b []byte, length int) []byte {
	return append(strconv.AppendInt(b, int64(length), 10), '\n')
}

// Options bounds what is read. The zero Options are the defaults.
type Options struct {
	// Format is the records' format; Detect finds it out.
	Format Format
	// MaxRecord is the most bytes that a record may have; 0 for DefaultMaxRecord.
	MaxRecord int
	// Buffer is the size of the buffer in bytes; 0 for 256 KiB.
	Buffer int
}

const (
	// DefaultMaxRecord is well above the largest record of the protocol, an encrypted query result.
	DefaultMaxRecord = 64 << 20

	defaultBuffer = 256 << 10
	minBuffer     = 4 << 10
)

// Reader reads the records of one shard. It allocates nothing per record. It
// is for one goroutine at a time.
type Reader struct {
	in     io.Reader
	header header
	format Format
	max    uint64
	buf    []byte
	r, w   int    // what is read and not used yet is buf[r:w]
	large  []byte // for a record that does not fit into buf
	count  int64
	eof    bool
	err    error
}

// NewReader returns a reader of the records in in, from its beginning.
//
// With Detect the format is found out from the first bytes: RecordIO begins
// with digits and a newline. So may a delimited stream whose first record has
// 48 to 57 bytes; then all records in the first buffer are looked at, and the
// format is RecordIO only if they make sense as that and not as messages.
func NewReader(in io.Reader, opts Options) *Reader {
	r := &Reader{in: in, format: opts.Format, max: DefaultMaxRecord}
	if opts.MaxRecord > 0 {
		r.max = uint64(opts.MaxRecord)
	}
	if opts.Buffer <= 0 {
		opts.Buffer = defaultBuffer
	}
	r.buf = make([]byte, max(opts.Buffer, minBuffer))
	return r
}

// Next returns the next record. The slice is valid until the next call, and
// must not be changed. At the end the error is io.EOF; a stream that ends
// within a record, or is none, fails with ErrMalformed, a record above the
// limit with provider.ErrTooLarge; what the underlying reader reports is passed
// on. Errors name the record, never its bytes.
func (r *Reader) Next() ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	record, err := r.next()
	if err != nil {
		if err != io.EOF { //nolint:errorlint // next returns it bare at the end
			err = fmt.Errorf("record %d: %w", r.count, err)
		}
		r.err = err
		return nil, err
	}
	r.count++
	return record, nil
}

// Count returns how many records have been returned.
func (r *Reader) Count() int64 { return r.count }

// Format returns the format, or Detect if nothing has been read yet.
func (r *Reader) Format() Format { return r.format }

func (r *Reader) next() ([]byte, error) {
	if r.header == nil {
		if err := r.detect(); err != nil {
			return nil, err
		}
	}
	length, err := r.length()
	if err != nil {
		return nil, err
	}
	if length > r.max {
		return nil, fmt.Errorf("%w: it has %d bytes, and the limit is %d", provider.ErrTooLarge, length, r.max)
	}
	n := int(length)
	if n > len(r.buf) {
		return r.readLarge(n)
	}
	for r.w-r.r < n {
		if err := r.fill(); err != nil {
			return nil, err
		}
		if r.eof && r.w-r.r < n {
			return nil, r.truncated(n, r.w-r.r)
		}
	}
	record := r.buf[r.r : r.r+n : r.r+n]
	r.r += n
	return record, nil
}

func (r *Reader) truncated(want, have int) error {
	return fmt.Errorf("%w: the data end after %d of %d bytes", ErrMalformed, have, want)
}

// length reads a header.
func (r *Reader) length() (uint64, error) {
	for {
		v, n, err := r.header.parse(r.buf[r.r:r.w])
		if err != nil {
			return 0, err
		}
		if n > 0 {
			r.r += n
			return v, nil
		}
		if r.eof {
			if r.r == r.w {
				return 0, io.EOF
			}
			return 0, fmt.Errorf("%w: the data end within a length", ErrMalformed)
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
}

// fill reads more into buf, or sets eof. What is unused moves to the front if room is short.
func (r *Reader) fill() error {
	if r.r > 0 && (r.r == r.w || len(r.buf)-r.w < len(r.buf)/4) {
		copy(r.buf, r.buf[r.r:r.w])
		r.w -= r.r
		r.r = 0
	}
	if r.w == len(r.buf) {
		copy(r.buf, r.buf[r.r:r.w])
		r.w -= r.r
		r.r = 0
	}
	for range 100 {
		n, err := r.in.Read(r.buf[r.w:])
		r.w += n
		switch {
		case err == io.EOF: //nolint:errorlint // io.Reader's contract is the bare value
			r.eof = true
			return nil
		case err != nil:
			return err
		case n > 0:
			return nil
		}
	}
	return io.ErrNoProgress
}

// readLarge reads a record that does not fit into buf. Memory grows with what
// comes, not with what the header promises.
func (r *Reader) readLarge(n int) ([]byte, error) {
	r.large = append(r.large[:0], r.buf[r.r:r.w]...)
	r.r, r.w = 0, 0
	for len(r.large) < n {
		if len(r.large) == cap(r.large) {
			grown := make([]byte, len(r.large), min(n, max(2*cap(r.large), len(r.buf))))
			copy(grown, r.large)
			r.large = grown
		}
		have := len(r.large)
		m, err := io.ReadFull(r.in, r.large[have:min(n, cap(r.large))])
		r.large = r.large[:have+m]
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF: //nolint:errorlint // io.ReadFull's own
			r.eof = true
			return nil, r.truncated(n, len(r.large))
		case err != nil:
			return nil, err
		}
	}
	return r.large[:n:n], nil
}

// Writer writes the records of one shard. It is for one goroutine at a time.
type Writer struct {
	out    io.Writer
	header header
	buf    []byte
	count  int64
	err    error
}

// NewWriter returns a writer of records to out. Call Flush after the last one.
func NewWriter(out io.Writer, format Format) (*Writer, error) {
	h, err := headerOf(format)
	if err != nil {
		return nil, err
	}
	return &Writer{out: out, header: h, buf: make([]byte, 0, defaultBuffer)}, nil
}

// Write adds a record, which it does not keep. An error is final.
func (w *Writer) Write(record []byte) error {
	if w.err != nil {
		return w.err
	}
	if len(w.buf)+maxHeader+len(record) > cap(w.buf) {
		if err := w.Flush(); err != nil {
			return err
		}
	}
	w.buf = w.header.append(w.buf, len(record))
	if maxHeader+len(record) > cap(w.buf) {
		if err := w.Flush(); err != nil {
			return err
		}
		if _, w.err = w.out.Write(record); w.err != nil {
			return w.err
		}
	} else {
		w.buf = append(w.buf, record...)
	}
	w.count++
	return nil
}

// Count returns how many records have been written.
func (w *Writer) Count() int64 { return w.count }

// Flush writes what is buffered.
func (w *Writer) Flush() error {
	if w.err == nil && len(w.buf) > 0 {
		_, w.err = w.out.Write(w.buf)
		w.buf = w.buf[:0]
	}
	return w.err
}
