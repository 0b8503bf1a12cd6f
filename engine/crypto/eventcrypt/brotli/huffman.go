package brotli

import "math/bits"

const (
	maxCode  = 15 // bits of the longest code
	rootBits = 8  // bits that the first look-up takes

	// maxAlphabet is the size of the largest alphabet: distances, with a large window.
	maxAlphabet = 16 + 15<<3 + 62<<4
)

// tables holds the look-up tables of prefix codes, one after another. A table has an entry for each
// value of the next rootBits bits: a symbol and the length of its code, or, if the code is longer, the
// place of a second table and the bits that both take.
type tables []tableEntry

type tableEntry struct {
	value uint16 // the symbol, or the distance from the start of the table to the second table
	len   uint8
}

// add appends the table of the code whose symbols have the given lengths, 0 for no code, and returns
// where it starts. The code must be complete, or have one symbol of which the length is taken as 0.
func (t *tables) add(lengths []uint8) int {
	var count [maxCode + 2]uint16
	var list [maxAlphabet]uint16 // the symbols that have a code: often few of many
	n := 0
	for s, l := range lengths {
		if l != 0 {
			count[l]++
			list[n] = uint16(s)
			n++
		}
	}
	used := list[:n]
	start := len(*t)
	*t = append(*t, make([]tableEntry, 1<<rootBits)...)
	root := (*t)[start:]
	if n == 1 {
		for i := range root {
			root[i] = tableEntry{value: used[0]}
		}
		return start
	}

	// The first code of each length, then the code of each symbol, its first bit the lowest.
	var next [maxCode + 2]uint16
	for l, code := 1, uint16(0); l <= maxCode; l++ {
		code = (code + count[l-1]) << 1
		next[l] = code
	}
	var deepest [1 << rootBits]uint8 // the longest code with these first bits
	firsts := next
	for _, s := range used {
		l := lengths[s]
		code := bits.Reverse16(firsts[l]) >> (16 - l)
		firsts[l]++
		if l > rootBits {
			p := code & (1<<rootBits - 1)
			deepest[p] = max(deepest[p], l)
		}
	}
	for p, l := range deepest {
		if l != 0 {
			(*t)[start+p] = tableEntry{value: uint16(len(*t) - start), len: l}
			*t = append(*t, make([]tableEntry, 1<<(l-rootBits))...)
		}
	}
	for _, s := range used {
		l := lengths[s]
		code := int(bits.Reverse16(next[l]) >> (16 - l))
		next[l]++
		if l <= rootBits {
			for i := code; i < 1<<rootBits; i += 1 << l {
				(*t)[start+i] = tableEntry{value: s, len: l}
			}
			continue
		}
		link := (*t)[start+code&(1<<rootBits-1)]
		second := start + int(link.value)
		for i := code >> rootBits; i < 1<<(link.len-rootBits); i += 1 << (l - rootBits) {
			(*t)[second+i] = tableEntry{value: s, len: l}
		}
	}
	return start
}

// symbol reads a symbol of the code that starts at start.
func (r *bitReader) symbol(t tables, start int) int {
	if r.have < maxCode {
		r.fill()
	}
	e := t[start+int(r.acc&(1<<rootBits-1))]
	if e.len > rootBits {
		i := r.acc >> rootBits & (1<<(e.len-rootBits) - 1)
		e = t[start+int(e.value)+int(i)]
	}
	r.acc >>= e.len
	r.have -= uint(e.len)
	return int(e.value)
}

// lengthOrder is the order in which the lengths of the codes of lengths are given.
var lengthOrder = [18]uint8{1, 2, 3, 4, 0, 5, 17, 6, 16, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// lengthCode is the fixed code of those: indexed by the next four bits.
var lengthCode = [16]tableEntry{
	{0, 2},
	{4, 2},
	{3, 2},
	{2, 3},
	{0, 2},
	{4, 2},
	{3, 2},
	{1, 4},
	{0, 2},
	{4, 2},
	{3, 2},
	{2, 3},
	{0, 2},
	{4, 2},
	{3, 2},
	{5, 4},
}

// readCode reads the description of a prefix code and returns where its table starts. Symbols are
// below limit; simple codes write them with as many bits as alphabet needs.
func (d *decoder) readCode(alphabet, limit int) (int, error) {
	d.lengths = append(d.lengths[:0], make([]uint8, limit)...)
	skip := d.bits(2)
	var err error
	if skip == 1 {
		err = d.readSimpleLengths(uint(bits.Len(uint(alphabet - 1))))
	} else {
		err = d.readLengths(int(skip))
	}
	if err != nil {
		return 0, err
	}
	return d.tables.add(d.lengths), nil
}

// simpleLengths are the lengths in codes of one to four symbols, of which the last has two.
var simpleLengths = [...][4]uint8{{1}, {1, 1}, {1, 2, 2}, {2, 2, 2, 2}, {1, 2, 3, 3}}

// readSimpleLengths reads a code of one to four symbols.
func (d *decoder) readSimpleLengths(width uint) error {
	n := int(d.bits(2)) + 1
	var symbols [4]int
	for i := range n {
		s := int(d.bits(width))
		if s >= len(d.lengths) {
			return errCorrupt
		}
		for _, before := range symbols[:i] {
			if s == before {
				return errCorrupt
			}
		}
		symbols[i] = s
	}
	shape := n - 1
	if n == 4 {
		shape += int(d.bits(1))
	}
	for i, s := range symbols[:n] {
		d.lengths[s] = simpleLengths[shape][i]
	}
	return nil
}

// readLengths reads the lengths of a code as written with a code of their own.
func (d *decoder) readLengths(skip int) error {
	var lengths [len(lengthOrder)]uint8
	space, codes := 32, 0
	for _, i := range lengthOrder[skip:] {
		if space <= 0 {
			break
		}
		if d.have < 4 {
			d.fill()
		}
		e := lengthCode[d.acc&15]
		d.bits(uint(e.len))
		if e.value != 0 {
			lengths[i] = uint8(e.value)
			space -= 32 >> e.value
			codes++
		}
	}
	if codes != 1 && space != 0 {
		return errCorrupt
	}
	mark := len(d.tables)
	code := d.tables.add(lengths[:])
	defer func() { d.tables = d.tables[:mark] }()

	last, repeated := uint8(8), uint8(0)
	repeat := 0
	room := 1 << maxCode
	for s := 0; s < len(d.lengths) && room > 0; {
		l := uint8(d.symbol(d.tables, code))
		if l < 16 {
			d.lengths[s] = l
			s++
			repeat = 0
			if l != 0 {
				last = l
				room -= 1 << maxCode >> l
			}
			continue
		}
		width, value := uint(2), last // 16: the last length that is not 0, again
		if l == 17 {
			width, value = 3, 0
		}
		if repeated != value {
			repeat, repeated = 0, value
		}
		before := repeat
		if repeat > 0 {
			repeat = (repeat - 2) << width
		}
		repeat += int(d.bits(width)) + 3
		n := repeat - before
		if n > len(d.lengths)-s {
			return errCorrupt
		}
		if value != 0 {
			for i := range n {
				d.lengths[s+i] = value
			}
			room -= n << (maxCode - value)
		}
		s += n
	}
	if room != 0 {
		return errCorrupt
	}
	return nil
}
