package brotli

import (
	"encoding/binary"
	"math"
	"math/bits"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/andybalholm/brotli/matchfinder"
)

const (
	// window is how far back the streams reach: the entropy coder says 24 bits.
	window = 1<<24 - windowGap
	// blockSize is how much is parsed, and given codes of its own, at a time.
	blockSize = 1 << 16

	minHashed  = 4  // bytes that a hash covers
	minRepeat  = 2  // bytes that a copy from the last distance must have
	maxTries   = 24 // candidates of one hash that are looked at, in the data and in the dictionary each
	goodLength = 96 // a match of this length is taken; nothing in it is looked up
)

// Encoder compresses with one dictionary. It is safe for concurrent use, and prepares the dictionary
// once: make one and keep it.
type Encoder struct {
	dict    []byte
	chains  chains // of the dictionary
	parsers sync.Pool
}

// NewEncoder returns an encoder for a dictionary, which may be empty, and which must not change from
// now on. It takes twelve times the dictionary's size.
func NewEncoder(dictionary []byte) *Encoder {
	e := &Encoder{dict: dictionary}
	e.parsers.New = func() any { return new(parser) }
	e.chains.reset(len(dictionary))
	for i := 0; i+minHashed <= len(dictionary); i++ {
		e.chains.insert(dictionary, i)
	}
	return e
}

// Encode compresses src into one stream and appends it to dst. Decode takes it back, with the same
// dictionary; without one if it is empty. A stream is at most a few bytes longer than src. Equal inputs
// give equal streams, which are not those that other encoders make.
func (e *Encoder) Encode(dst, src []byte) []byte {
	p := e.parsers.Get().(*parser)
	defer func() {
		p.src, p.enc = nil, nil
		e.parsers.Put(p)
	}()
	p.enc, p.src = e, src
	p.data.reset(len(src))

	start := len(dst)
	p.coder.Reset()
	for from := 0; ; from += blockSize {
		to := min(from+blockSize, len(src))
		p.parse(from, to)
		dst = p.coder.Encode(dst, src[from:to], p.matches, to == len(src))
		if to == len(src) {
			break
		}
	}
	if n := storedSize(len(src)); len(dst)-start > n {
		dst = appendStored(dst[:start], src)
	}
	return dst
}

const maxStored = 1 << 24 // bytes of one uncompressed meta-block

// storedSize is the length of the stream that appendStored makes.
func storedSize(n int) int {
	const last = 1
	switch {
	case n == 0:
		return last
	case n <= 1<<16:
		return 3 + n + last
	default:
		return (n+maxStored-1)/maxStored*4 + n + last
	}
}

// appendStored appends a stream that does not compress.
func appendStored(dst, src []byte) []byte {
	header, width := uint32(0), uint(1) // the window, which matters to nobody: 16 bits
	for len(src) > 0 {
		n := min(len(src), maxStored)
		nibbles := uint(4)
		for n-1 >= 1<<(4*nibbles) {
			nibbles++
		}
		// Not the last; the number of nibbles; the length less one; uncompressed.
		header |= uint32(nibbles-4) << (width + 1)
		header |= uint32(n-1) << (width + 3)
		width += 3 + 4*nibbles
		header |= 1 << width
		width++
		for ; width > 8; width -= 8 {
			dst = append(dst, byte(header))
			header >>= 8
		}
		dst = append(append(dst, byte(header)), src[:n]...)
		src = src[n:]
		header, width = 0, 0
	}
	return append(dst, byte(3<<width|header)) // the last, and empty
}

// chains finds the places where four bytes have been before: the last of each hash, and for each place
// the one before it.
type chains struct {
	head, prev []int32 // places plus one
	shift      uint
}

func (c *chains) reset(n int) {
	width := max(bits.Len(uint(n)), 6)
	width = min(width, 16)
	c.shift = 32 - uint(width)
	if size := 1 << width; cap(c.head) < size {
		c.head = make([]int32, size)
	} else {
		c.head = c.head[:size]
		clear(c.head)
	}
	if cap(c.prev) < n {
		c.prev = make([]int32, n)
	}
	c.prev = c.prev[:n]
}

func (c *chains) slot(b []byte, i int) *int32 {
	return &c.head[binary.LittleEndian.Uint32(b[i:])*0x9e3779b1>>c.shift]
}

func (c *chains) insert(b []byte, i int) {
	h := c.slot(b, i)
	c.prev[i] = *h
	*h = int32(i + 1)
}

// parser cuts the data into literals and matches: the cheapest way that it finds, by dynamic
// programming over estimated costs. Its buffers are used again.
type parser struct {
	enc     *Encoder
	src     []byte
	data    chains
	coder   brotli.Encoder
	matches []matchfinder.Match

	steps   []step
	literal [256]float32
	found   []match
}

// step is the cheapest known way to a place of the block.
type step struct {
	cost     float32
	length   int32 // of the match that ends there; 0 if a literal does
	distance int32 // of the match
	last     int32 // distance of the last match on the way
}

// match is a distance, and how many bytes can be copied from there.
type match struct{ length, distance int }

// The estimated costs, in bits.
const (
	costCommand  = 7   // the symbol that starts a match
	costRepeat   = 1   // the distance of the last match
	costDistance = 3.5 // another, without the bits of its size
)

// parse fills p.matches for the block.
func (p *parser) parse(from, to int) {
	p.matches = p.matches[:0]
	if from == to {
		return
	}
	n := to - from
	if cap(p.steps) < n+1 {
		p.steps = make([]step, n+1)
	}
	p.steps = p.steps[:n+1]
	p.price(p.src[from:to])
	for i := range p.steps {
		p.steps[i] = step{cost: math.MaxFloat32}
	}
	p.steps[0] = step{}
	skip := 0
	for i := range n {
		s := p.steps[i]
		if c := s.cost + p.literal[p.src[from+i]]; c < p.steps[i+1].cost {
			p.steps[i+1] = step{cost: c, last: s.last}
		}
		if i >= skip {
			p.find(from+i, to, int(s.last))
			skip = i + p.take(i)
		}
		if from+i+minHashed <= len(p.src) {
			p.data.insert(p.src, from+i)
		}
	}
	p.trace()
}

// price estimates what each literal costs, by how often it is in the block.
func (p *parser) price(b []byte) {
	var count [256]int
	for _, c := range b {
		count[c]++
	}
	total := math.Log2(float64(len(b)) + 16)
	for c, n := range count {
		p.literal[c] = float32(max(total-math.Log2(float64(n)+0.5), 1))
	}
}

// find looks for matches at a place, shorter and nearer ones first. None reaches over to.
func (p *parser) find(at, to, last int) {
	p.found = p.found[:0]
	src, dict := p.src, p.enc.dict
	longest := minRepeat - 1
	if last > 0 {
		if n := p.length(at, to, last); n > longest {
			p.found = append(p.found, match{n, last})
		}
	}
	longest = minHashed - 1
	if at+minHashed > to {
		return
	}
	reach := min(at, window)
	try := maxTries
	for c := *p.data.slot(src, at); c > 0 && try > 0; c, try = p.data.prev[c-1], try-1 {
		distance := at - int(c-1)
		if distance > reach {
			break
		}
		if n := common(src[c-1:], src[at:to]); n > longest {
			longest = n
			p.found = append(p.found, match{n, distance})
		}
	}
	if at > window || len(dict) < minHashed {
		return
	}
	try = maxTries
	for c := *p.enc.chains.slot(src, at); c > 0 && try > 0; c, try = p.enc.chains.prev[c-1], try-1 {
		if n := common(dict[c-1:], src[at:to]); n > longest {
			longest = n
			p.found = append(p.found, match{n, at + len(dict) - int(c-1)})
		}
	}
}

// length returns how many bytes can be copied from a distance. A copy does not run over from the
// dictionary into the data.
func (p *parser) length(at, to, distance int) int {
	if distance <= min(at, window) {
		return common(p.src[at-distance:], p.src[at:to])
	}
	if from := at + len(p.enc.dict) - distance; at <= window && from >= 0 {
		return common(p.enc.dict[from:], p.src[at:to])
	}
	return 0
}

// take improves the steps that the found matches lead to from step i, and returns how many places need
// not be looked at since one match covers them.
func (p *parser) take(i int) (skip int) {
	s := p.steps[i]
	from := minRepeat
	for _, m := range p.found {
		cost := s.cost + costCommand
		if m.distance == int(s.last) {
			cost += costRepeat
		} else {
			cost += costDistance + float32(bits.Len(uint(m.distance)))
		}
		if m.length >= goodLength {
			p.reach(i, m.length, m.distance, cost)
			skip = max(skip, m.length)
			continue
		}
		for n := from; n <= m.length; n++ {
			p.reach(i, n, m.distance, cost)
		}
		if m.distance != int(s.last) {
			from = m.length + 1 // shorter ones are cheaper from where it is nearer
		} else {
			from = minHashed
		}
	}
	return skip
}

func (p *parser) reach(i, length, distance int, cost float32) {
	if length > 9 {
		cost += float32(bits.Len(uint(length))) / 2 // more of its bits are outside the symbol
	}
	if t := &p.steps[i+length]; cost < t.cost {
		*t = step{cost: cost, length: int32(length), distance: int32(distance), last: int32(distance)}
	}
}

// trace walks the cheapest way back and writes it down forwards.
func (p *parser) trace() {
	literals := 0
	for i := len(p.steps) - 1; i > 0; {
		s := p.steps[i]
		if s.length == 0 {
			literals++
			i--
			continue
		}
		p.follow(literals)
		literals = 0
		p.matches = append(p.matches, matchfinder.Match{Length: int(s.length), Distance: int(s.distance)})
		i -= int(s.length)
	}
	p.follow(literals)
	for i, j := 0, len(p.matches)-1; i < j; i, j = i+1, j-1 {
		p.matches[i], p.matches[j] = p.matches[j], p.matches[i]
	}
}

// follow adds literals in front of the match added last, or as the end of the block.
func (p *parser) follow(literals int) {
	if len(p.matches) > 0 {
		p.matches[len(p.matches)-1].Unmatched = literals
	} else if literals > 0 {
		p.matches = append(p.matches, matchfinder.Match{Unmatched: literals})
	}
}

// common returns the length of what a and b both start with.
func common(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)>>3
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}
