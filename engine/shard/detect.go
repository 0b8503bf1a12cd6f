package shard

import "google.golang.org/protobuf/encoding/protowire"

// detect sets header and format, reading ahead if need be. An empty stream is Delimited.
func (r *Reader) detect() error {
	if r.format == Detect {
		// The first byte decides nearly always.
		for r.w == 0 && !r.eof {
			if err := r.fill(); err != nil {
				return err
			}
		}
		r.format = Delimited
		if r.w > 0 && r.buf[0] >= '0' && r.buf[0] <= '9' {
			for r.w < len(r.buf) && !r.eof {
				if err := r.fill(); err != nil {
					return err
				}
			}
			r.format = guess(r.buf[:r.w], r.eof, r.max)
		}
	}
	h, err := headerOf(r.format)
	r.header = h
	return err
}

// guess looks at the beginning of a stream; whole says that it is all of it.
func guess(b []byte, whole bool, limit uint64) Format {
	asRecordIO := plausible(recordIO{}, b, whole, limit, func([]byte) bool { return true })
	if asRecordIO && !plausible(delimited{}, b, whole, limit, isMessage) {
		return RecordIO
	}
	return Delimited
}

// plausible reports whether b is a stream of records with this header as far as it goes.
func plausible(h header, b []byte, whole bool, limit uint64, good func([]byte) bool) bool {
	for len(b) > 0 {
		length, n, err := h.parse(b)
		switch {
		case err != nil || length > limit:
			return false
		case n == 0:
			return !whole // the window ends within a header
		}
		b = b[n:]
		if uint64(len(b)) < length {
			return !whole
		}
		if !good(b[:length]) {
			return false
		}
		b = b[length:]
	}
	return true
}

// isMessage reports whether b could be a protobuf message: a sequence of fields.
func isMessage(b []byte) bool {
	for len(b) > 0 {
		number, kind, m := protowire.ConsumeTag(b)
		if m < 0 {
			return false
		}
		n := protowire.ConsumeFieldValue(number, kind, b[m:])
		if n < 0 {
			return false
		}
		b = b[m+n:]
	}
	return true
}
