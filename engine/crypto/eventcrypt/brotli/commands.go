package brotli

// commands reads the commands of a meta-block: some literals, then a copy, again and again.
func (d *decoder) commands() error {
	context := d.literalContext()
	for {
		if d.overrun() {
			return errTruncated
		}
		d.next(&d.blocks[commands])
		s := d.symbol(d.tables, d.commandCodes[d.blocks[commands].current])
		cell := s >> 6
		insert := insertLengths[int(insertCell[cell])+s>>3&7]
		copies := copyLengths[int(copyCell[cell])+s&7]
		literalCount := int(insert.base + d.bits(uint(insert.bits)))
		length := int(copies.base + d.bits(uint(copies.bits)))

		if literalCount > d.left {
			return errCorrupt
		}
		d.left -= literalCount
		if err := d.literals(literalCount, &context); err != nil {
			return err
		}
		if d.left == 0 {
			return nil
		}
		if err := d.copy(length, s < 128); err != nil {
			return err
		}
		if d.left == 0 {
			return nil
		}
	}
}

// literalContext is what the code of a literal depends on.
type literalContext struct {
	table *[512]uint8
	codes []uint8 // the part of the context map for this type of block
}

func (d *decoder) literalContext() literalContext {
	t := d.blocks[literals].current
	return literalContext{table: &contexts[d.modes[t]], codes: d.literalMap[64*t:][:64]}
}

// literals reads n literals.
func (d *decoder) literals(n int, context *literalContext) error {
	var last, before uint8
	if w := d.written(); w > 0 {
		last = d.out[len(d.out)-1]
		if w > 1 {
			before = d.out[len(d.out)-2]
		}
	}
	for range n {
		if d.next(&d.blocks[literals]) {
			*context = d.literalContext()
		}
		c := context.codes[context.table[last]|context.table[256+int(before)]]
		before, last = last, uint8(d.symbol(d.tables, d.literalCodes[c]))
		d.out = append(d.out, last)
		if d.pad > 0 && d.overrun() {
			return errTruncated
		}
	}
	return nil
}

// copy reads a distance, unless it is the last one again, and copies from there.
func (d *decoder) copy(length int, again bool) error {
	distance, push := d.dist[0], false
	if !again {
		d.next(&d.blocks[distances])
		context := 4*d.blocks[distances].current + min(length, 5) - 2
		s := d.symbol(d.tables, d.distCodes[d.distanceMap[context]])
		var ok bool
		if distance, ok = d.distance(s); !ok {
			return errCorrupt
		}
		push = s != 0
	}
	reach := min(d.written(), d.window)
	if distance > reach+len(d.dict) {
		return d.word(length, distance-reach-len(d.dict)-1)
	}
	if push {
		d.dist = [4]int{distance, d.dist[0], d.dist[1], d.dist[2]}
	}
	if length > d.left {
		return errCorrupt
	}
	d.left -= length
	if distance > reach {
		from := len(d.dict) - (distance - reach)
		if length > len(d.dict)-from {
			return errCorrupt
		}
		d.out = append(d.out, d.dict[from:from+length]...)
		return nil
	}
	for from := len(d.out) - distance; length > 0; {
		// What is copied may overlap what is written: then it repeats.
		n := min(length, len(d.out)-from)
		d.out = append(d.out, d.out[from:from+n]...)
		length -= n
	}
	return nil
}

// distance returns the distance of a symbol, reading the rest of it.
func (d *decoder) distance(s int) (int, bool) {
	switch {
	case s < 4:
		return d.dist[s], true
	case s < 16:
		// From the last or the last but one: -1, +1, -2, +2, -3, +3.
		i := s - 4
		delta := i%6/2 + 1
		if i%2 == 0 {
			delta = -delta
		}
		v := d.dist[i/6] + delta
		return v, v > 0
	case s < 16+d.direct:
		return s - 15, true
	}
	s -= 16 + d.direct
	width := 1 + uint(s)>>(d.postfix+1)
	if width > 30 {
		return 0, false // the alphabet's limit excludes it
	}
	high, low := s>>d.postfix, s&(1<<d.postfix-1)
	offset := (2+high&1)<<width - 4
	return (offset+int(d.bits(width)))<<d.postfix + low + d.direct + 1, true
}

// word writes a word of the built-in list.
func (d *decoder) word(length, number int) error {
	if length < minWord || length > maxWord {
		return errCorrupt
	}
	id := number & (1<<wordBits[length] - 1)
	number >>= wordBits[length]
	if number >= len(transforms) {
		return errCorrupt
	}
	w := words[wordStart[length]+id*length:][:length]
	before := len(d.out)
	d.out = transforms[number].append(d.out, w)
	if d.left -= len(d.out) - before; d.left < 0 {
		return errCorrupt
	}
	return nil
}

// append appends the transformed word to dst.
func (t *transform) append(dst []byte, word string) []byte {
	switch {
	case t.op < upperFirst: // omitLast, or keep
		word = word[:max(len(word)-t.op, 0)]
	case t.op > omitFirst:
		word = word[min(t.op-omitFirst, len(word)):]
	}
	dst = append(dst, t.prefix...)
	start := len(dst)
	dst = append(dst, word...)
	w := dst[start:]
	switch t.op {
	case upperFirst:
		upper(w)
	case upperAll:
		for len(w) > 0 {
			w = w[upper(w):]
		}
	}
	return append(dst, t.suffix...)
}

// upper makes the first character of w upper case, in the coarse way of RFC 7932, and returns its length.
func upper(w []byte) int {
	switch {
	case len(w) == 0:
		return 0
	case w[0] < 0xc0:
		if w[0] >= 'a' && w[0] <= 'z' {
			w[0] ^= 32
		}
		return 1
	case w[0] < 0xe0 && len(w) > 1:
		w[1] ^= 32
		return 2
	case len(w) > 2:
		w[2] ^= 5
		return 3
	default:
		return len(w)
	}
}
