package brotli

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"
)

// ErrCorrupt is the error for what is not one whole Brotli stream, or is one that was made with another
// dictionary. (Another dictionary of the same size may also give other data, without an error.)
var ErrCorrupt = errors.New("not a Brotli stream, or one made with another dictionary")

// ErrTooLong is the error for a stream whose data are longer than allowed.
var ErrTooLong = errors.New("the decompressed data are longer than allowed")

var (
	errCorrupt   = ErrCorrupt
	errTruncated = fmt.Errorf("%w: it ends too early", ErrCorrupt)
	errTrailing  = fmt.Errorf("%w: bytes follow it", ErrCorrupt)
)

const (
	// maxDistance is the longest distance that there may be, with large windows.
	maxDistance = 0x7ffffffc
	windowGap   = 16
)

// decoder is the state of one Decode. Its buffers are used again.
type decoder struct {
	bitReader
	dict  []byte
	out   []byte
	start int // of the data in out
	limit int // of the data

	window int
	large  bool
	dist   [4]int // the last distances, the last first

	tables  tables
	lengths []uint8
	mtf     []uint8

	// of the meta-block
	left                                  int // bytes of it still to come
	blocks                                [3]blockState
	postfix                               uint
	direct                                int
	modes                                 []uint8
	literalMap, distanceMap               []uint8
	literalCodes, commandCodes, distCodes []int
}

// The three kinds of symbols that have blocks.
const (
	literals = iota
	commands
	distances
)

// blockState tells which block the symbols of one kind are in.
type blockState struct {
	types        int
	code, length int // tables, if there are two types at least
	current, old int
	left         uint32
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// Decode decompresses one stream that was made with the dictionary given, which may be empty, and
// appends at most limit bytes to dst. It fails with ErrCorrupt or ErrTooLong, and then returns dst with
// its length unchanged. It is safe for concurrent use.
//
// It takes memory in proportion to what it writes, and time in proportion to that and to what it reads.
func Decode(dst, src, dictionary []byte, limit int) ([]byte, error) {
	d := decoders.Get().(*decoder)
	defer func() {
		d.src, d.dict, d.out = nil, nil, nil
		decoders.Put(d)
	}()
	d.bitReader = bitReader{src: src}
	d.dict, d.out, d.start, d.limit = dictionary, dst, len(dst), limit
	d.dist = [4]int{4, 11, 15, 16}
	if err := d.stream(); err != nil {
		if d.overrun() && !errors.Is(err, ErrTooLong) {
			err = errTruncated
		}
		return dst, err
	}
	return d.out, nil
}

// stream reads all of it.
func (d *decoder) stream() error {
	if err := d.header(); err != nil {
		return err
	}
	for last := false; !last; {
		var err error
		if last, err = d.metaBlock(); err != nil {
			return err
		}
		if d.overrun() {
			return errTruncated
		}
	}
	if !d.align() {
		return errCorrupt
	}
	if len(d.rest()) != 0 {
		return errTrailing
	}
	return nil
}

// header reads the size of the window.
func (d *decoder) header() error {
	n := uint32(16)
	d.large = false
	if d.bits(1) == 1 {
		if v := d.bits(3); v != 0 {
			n = 17 + v
		} else if v := d.bits(3); v == 0 {
			n = 17
		} else if v > 1 {
			n = 8 + v
		} else {
			d.large = true
			reserved := d.bits(1)
			if n = d.bits(6); reserved != 0 || n < 10 || n > 30 {
				return errCorrupt
			}
		}
	}
	d.window = 1<<n - windowGap
	return nil
}

// metaBlock reads one meta-block and says whether it is the last.
func (d *decoder) metaBlock() (last bool, err error) {
	last = d.bits(1) == 1
	if last && d.bits(1) == 1 {
		return true, nil
	}
	nibbles := d.bits(2) + 4
	if nibbles == 7 {
		return last, d.metadata()
	}
	length := uint32(0)
	for i := range nibbles {
		v := d.bits(4)
		if v == 0 && i == nibbles-1 && nibbles > 4 {
			return false, errCorrupt
		}
		length |= v << (4 * i)
	}
	d.left = int(length) + 1
	if d.overrun() {
		return false, errTruncated
	}
	if d.left > d.limit-d.written() {
		return false, ErrTooLong
	}
	if !last && d.bits(1) == 1 {
		return false, d.stored()
	}
	if err := d.codes(); err != nil {
		return false, err
	}
	return last, d.commands()
}

// written is how many bytes of data there are.
func (d *decoder) written() int { return len(d.out) - d.start }

// metadata skips what is not for decoders.
func (d *decoder) metadata() error {
	if d.bits(1) != 0 {
		return errCorrupt
	}
	n, length := d.bits(2), 0
	for i := range n {
		v := d.bits(8)
		if v == 0 && i == n-1 && n > 1 {
			return errCorrupt
		}
		length |= int(v) << (8 * i)
	}
	if n > 0 {
		length++
	}
	if !d.align() {
		return errCorrupt
	}
	if d.overrun() || len(d.rest()) < length {
		return errTruncated
	}
	d.pos += length
	return nil
}

// stored copies uncompressed data.
func (d *decoder) stored() error {
	if !d.align() {
		return errCorrupt
	}
	if d.overrun() {
		return errTruncated
	}
	b := d.rest()
	if len(b) < d.left {
		return errTruncated
	}
	d.out = append(d.out, b[:d.left]...)
	d.pos += d.left
	return nil
}

// codes reads all that a meta-block says before its commands.
func (d *decoder) codes() error {
	d.tables = d.tables[:0]
	for i := range d.blocks {
		if err := d.readBlocks(&d.blocks[i]); err != nil {
			return err
		}
	}
	d.postfix = uint(d.bits(2))
	d.direct = int(d.bits(4)) << d.postfix
	d.modes = d.modes[:0]
	for range d.blocks[literals].types {
		d.modes = append(d.modes, uint8(d.bits(2)))
	}
	literalTrees, err := d.readMap(&d.literalMap, 64*d.blocks[literals].types)
	if err != nil {
		return err
	}
	distanceTrees, err := d.readMap(&d.distanceMap, 4*d.blocks[distances].types)
	if err != nil {
		return err
	}
	if err := d.readCodes(&d.literalCodes, literalTrees, 256, 256); err != nil {
		return err
	}
	if err := d.readCodes(&d.commandCodes, d.blocks[commands].types, 704, 704); err != nil {
		return err
	}
	alphabet, limit := d.distanceAlphabet()
	return d.readCodes(&d.distCodes, distanceTrees, alphabet, limit)
}

// readBlocks reads how many types of blocks there are for symbols of one kind, and the first block.
func (d *decoder) readBlocks(b *blockState) error {
	*b = blockState{types: d.small() + 1, old: 1, left: 1 << 24}
	if b.types == 1 {
		return nil
	}
	var err error
	if b.code, err = d.readCode(b.types+2, b.types+2); err != nil {
		return err
	}
	if b.length, err = d.readCode(len(blockLengths), len(blockLengths)); err != nil {
		return err
	}
	b.left = d.blockLength(b)
	return nil
}

// small reads a number from 0 to 255.
func (d *decoder) small() int {
	if d.bits(1) == 0 {
		return 0
	}
	n := uint(d.bits(3))
	return 1<<n + int(d.bits(n))
}

func (d *decoder) blockLength(b *blockState) uint32 {
	e := blockLengths[d.symbol(d.tables, b.length)]
	return e.base + d.bits(uint(e.bits))
}

// next counts one symbol, and changes to the next block if this one has ended. It says whether it has.
func (d *decoder) next(b *blockState) bool {
	if b.left > 0 {
		b.left--
		return false
	}
	if b.types == 1 {
		b.left = 1<<24 - 1
		return false
	}
	t := d.symbol(d.tables, b.code)
	switch t {
	case 0:
		t = b.old
	case 1:
		t = b.current + 1
		if t == b.types {
			t = 0
		}
	default:
		t -= 2
	}
	b.old, b.current = b.current, t
	b.left = d.blockLength(b) - 1
	return true
}

// readMap reads a context map of n entries and returns how many codes it refers to.
func (d *decoder) readMap(m *[]uint8, n int) (trees int, err error) {
	*m = append((*m)[:0], make([]uint8, n)...)
	trees = d.small() + 1
	if trees == 1 {
		return 1, nil
	}
	runs := 0
	if d.bits(1) == 1 {
		runs = int(d.bits(4)) + 1
	}
	mark := len(d.tables)
	code, err := d.readCode(trees+runs, trees+runs)
	if err != nil {
		return 0, err
	}
	for i := 0; i < n; i++ {
		s := d.symbol(d.tables, code)
		switch {
		case s > runs:
			(*m)[i] = uint8(s - runs)
		case s > 0:
			// A run of zeros, of which this is the first.
			i += 1<<s + int(d.bits(uint(s))) - 1
			if i >= n {
				return 0, errCorrupt
			}
		}
	}
	d.tables = d.tables[:mark]
	if d.bits(1) == 1 {
		d.undoMoveToFront(*m)
	}
	return trees, nil
}

func (d *decoder) undoMoveToFront(m []uint8) {
	d.mtf = d.mtf[:0]
	for i := range 256 {
		d.mtf = append(d.mtf, uint8(i))
	}
	for i, at := range m {
		v := d.mtf[at]
		m[i] = v
		copy(d.mtf[1:at+1], d.mtf[:at])
		d.mtf[0] = v
	}
}

func (d *decoder) readCodes(starts *[]int, n, alphabet, limit int) error {
	*starts = (*starts)[:0]
	for range n {
		start, err := d.readCode(alphabet, limit)
		if err != nil {
			return err
		}
		if d.overrun() {
			return errTruncated
		}
		*starts = append(*starts, start)
	}
	return nil
}

// distanceAlphabet returns the number of distance symbols, and of those that can be used: with a large
// window, the last would exceed the longest distance allowed.
func (d *decoder) distanceAlphabet() (alphabet, limit int) {
	fixed := 16 + d.direct
	if !d.large {
		n := fixed + 24<<(d.postfix+1)
		return n, n
	}
	// The first symbol that would exceed it, less one.
	offset := (maxDistance+1-d.direct-1)>>d.postfix + 4
	width := bits.Len(uint(offset/2)) - 1
	group := (width-1)<<1 | offset>>width&1
	return fixed + 62<<(d.postfix+1), fixed + group<<d.postfix
}
