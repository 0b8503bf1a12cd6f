package brotli

import _ "embed"

// words are the words of RFC 7932, appendix A, from 4 to 24 bytes, those of one length together.
//
//go:embed words.bin
var words string

const (
	minWord = 4
	maxWord = 24
)

// wordBits is the number of words of each length, as a power of two.
var wordBits = [maxWord + 1]uint8{0, 0, 0, 0, 10, 10, 11, 11, 10, 10, 10, 10, 10, 9, 9, 8, 7, 7, 8, 7, 7, 6, 6, 5, 5}

// wordStart is where the words of each length begin.
var wordStart = func() (start [maxWord + 1]int) {
	at := 0
	for n := minWord; n <= maxWord; n++ {
		start[n] = at
		at += n << wordBits[n]
	}
	return start
}()

// What a transform does to a word. omitLast and omitFirst have the number of bytes added.
const (
	omitLast   = 0
	keep       = omitLast
	upperFirst = 10
	upperAll   = 11
	omitFirst  = 20
)

type transform struct {
	prefix string
	op     int
	suffix string
}

// transforms are those of RFC 7932, appendix B.
var transforms = [...]transform{
	{"", keep, ""},
	{"", keep, " "},
	{" ", keep, " "},
	{"", omitFirst + 1, ""},
	{"", upperFirst, " "},
	{"", keep, " the "},
	{" ", keep, ""},
	{"s ", keep, " "},
	{"", keep, " of "},
	{"", upperFirst, ""},
	{"", keep, " and "},
	{"", omitFirst + 2, ""},
	{"", omitLast + 1, ""},
	{", ", keep, " "},
	{"", keep, ", "},
	{" ", upperFirst, " "},
	{"", keep, " in "},
	{"", keep, " to "},
	{"e ", keep, " "},
	{"", keep, "\""},
	{"", keep, "."},
	{"", keep, "\">"},
	{"", keep, "\n"},
	{"", omitLast + 3, ""},
	{"", keep, "]"},
	{"", keep, " for "},
	{"", omitFirst + 3, ""},
	{"", omitLast + 2, ""},
	{"", keep, " a "},
	{"", keep, " that "},
	{" ", upperFirst, ""},
	{"", keep, ". "},
	{".", keep, ""},
	{" ", keep, ", "},
	{"", omitFirst + 4, ""},
	{"", keep, " with "},
	{"", keep, "'"},
	{"", keep, " from "},
	{"", keep, " by "},
	{"", omitFirst + 5, ""},
	{"", omitFirst + 6, ""},
	{" the ", keep, ""},
	{"", omitLast + 4, ""},
	{"", keep, ". The "},
	{"", upperAll, ""},
	{"", keep, " on "},
	{"", keep, " as "},
	{"", keep, " is "},
	{"", omitLast + 7, ""},
	{"", omitLast + 1, "ing "},
	{"", keep, "\n\t"},
	{"", keep, ":"},
	{" ", keep, ". "},
	{"", keep, "ed "},
	{"", omitFirst + 9, ""},
	{"", omitFirst + 7, ""},
	{"", omitLast + 6, ""},
	{"", keep, "("},
	{"", upperFirst, ", "},
	{"", omitLast + 8, ""},
	{"", keep, " at "},
	{"", keep, "ly "},
	{" the ", keep, " of "},
	{"", omitLast + 5, ""},
	{"", omitLast + 9, ""},
	{" ", upperFirst, ", "},
	{"", upperFirst, "\""},
	{".", keep, "("},
	{"", upperAll, " "},
	{"", upperFirst, "\">"},
	{"", keep, "=\""},
	{" ", keep, "."},
	{".com/", keep, ""},
	{" the ", keep, " of the "},
	{"", upperFirst, "'"},
	{"", keep, ". This "},
	{"", keep, ","},
	{".", keep, " "},
	{"", upperFirst, "("},
	{"", upperFirst, "."},
	{"", keep, " not "},
	{" ", keep, "=\""},
	{"", keep, "er "},
	{" ", upperAll, " "},
	{"", keep, "al "},
	{" ", upperAll, ""},
	{"", keep, "='"},
	{"", upperAll, "\""},
	{"", upperFirst, ". "},
	{" ", keep, "("},
	{"", keep, "ful "},
	{" ", upperFirst, ". "},
	{"", keep, "ive "},
	{"", keep, "less "},
	{"", upperAll, "'"},
	{"", keep, "est "},
	{" ", upperFirst, "."},
	{"", upperAll, "\">"},
	{" ", keep, "='"},
	{"", upperFirst, ","},
	{"", keep, "ize "},
	{"", upperAll, "."},
	{"\u00a0", keep, ""},
	{" ", keep, ","},
	{"", upperFirst, "=\""},
	{"", upperAll, "=\""},
	{"", keep, "ous "},
	{"", upperAll, ", "},
	{"", upperFirst, "='"},
	{" ", upperFirst, ","},
	{" ", upperAll, "=\""},
	{" ", upperAll, ", "},
	{"", upperAll, ","},
	{"", upperAll, "("},
	{"", upperAll, ". "},
	{" ", upperAll, "."},
	{"", upperAll, "='"},
	{" ", upperAll, ". "},
	{" ", upperFirst, "=\""},
	{" ", upperAll, "='"},
	{" ", upperFirst, "='"},
}

// extra is a code of lengths: the least length, and the number of bits that are added to it.
type extra struct {
	base uint32
	bits uint8
}

// insertLengths are the codes of the number of literals.
var insertLengths = [...]extra{
	{0, 0},
	{1, 0},
	{2, 0},
	{3, 0},
	{4, 0},
	{5, 0},
	{6, 1},
	{8, 1},
	{10, 2},
	{14, 2},
	{18, 3},
	{26, 3},
	{34, 4},
	{50, 4},
	{66, 5},
	{98, 5},
	{130, 6},
	{194, 7},
	{322, 8},
	{578, 9},
	{1090, 10},
	{2114, 12},
	{6210, 14},
	{22594, 24},
}

// copyLengths are the codes of the number of bytes copied.
var copyLengths = [...]extra{
	{2, 0},
	{3, 0},
	{4, 0},
	{5, 0},
	{6, 0},
	{7, 0},
	{8, 0},
	{9, 0},
	{10, 1},
	{12, 1},
	{14, 2},
	{18, 2},
	{22, 3},
	{30, 3},
	{38, 4},
	{54, 4},
	{70, 5},
	{102, 5},
	{134, 6},
	{198, 7},
	{326, 8},
	{582, 9},
	{1094, 10},
	{2118, 24},
}

// blockLengths are the codes of the number of symbols in a block.
var blockLengths = [...]extra{
	{1, 2},
	{5, 2},
	{9, 2},
	{13, 2},
	{17, 3},
	{25, 3},
	{33, 3},
	{41, 3},
	{49, 4},
	{65, 4},
	{81, 4},
	{97, 4},
	{113, 5},
	{145, 5},
	{177, 5},
	{209, 5},
	{241, 6},
	{305, 6},
	{369, 7},
	{497, 8},
	{753, 9},
	{1265, 10},
	{2289, 11},
	{4337, 12},
	{8433, 13},
	{16625, 24},
}

// insertCell and copyCell are the first code of each of the eleven cells of insert-and-copy symbols.
var (
	insertCell = [11]uint8{0, 0, 0, 0, 8, 8, 0, 16, 8, 16, 16}
	copyCell   = [11]uint8{0, 8, 0, 8, 0, 8, 16, 0, 16, 8, 16}
)

// The four modes of literal contexts.
const (
	modeLSB6 = iota
	modeMSB6
	modeUTF8
	modeSigned
)

// contexts gives, for each mode, what the last byte (first 256) and the one before it (second 256) add
// to the context of a literal.
var contexts = func() (t [4][512]uint8) {
	for i := range 256 {
		b := byte(i)
		t[modeLSB6][i] = b & 0x3f
		t[modeMSB6][i] = b >> 2
		t[modeUTF8][i], t[modeUTF8][256+i] = utf8Context(b)
		t[modeSigned][i], t[modeSigned][256+i] = signedContext(b)<<3, signedContext(b)
	}
	return t
}()

// utf8Context classifies a byte of text: as the last byte and as the one before it.
func utf8Context(b byte) (last, before uint8) {
	switch {
	case b >= 0xe0: // first byte of a character of three bytes or more
		return 2 + b&1, 2
	case b >= 0xc0: // of one of two bytes
		return 2 + b&1, 0
	case b >= 0x80: // its other bytes
		return b & 1, 0
	case b == '\t' || b == '\n' || b == '\r':
		return 1 << 2, 0
	case b < ' ' || b == 0x7f:
		return 0, 0
	case b == ' ':
		return 2 << 2, 0
	case b >= '0' && b <= '9':
		return 11 << 2, 2
	case b >= 'A' && b <= 'Z':
		return (13 - vowel(b|0x20)) << 2, 2
	case b >= 'a' && b <= 'z':
		return (15 - vowel(b)) << 2, 3
	default:
		return punctuation(b) << 2, 1
	}
}

func vowel(b byte) uint8 {
	switch b {
	case 'a', 'e', 'i', 'o', 'u':
		return 1
	default:
		return 0
	}
}

func punctuation(b byte) uint8 {
	switch b {
	case '"', '\'':
		return 4
	case '%':
		return 5
	case '(', '<', '[', '{':
		return 6
	case ')', '>', ']', '}':
		return 7
	case ',', ':', ';':
		return 8
	case '.':
		return 9
	case '=':
		return 10
	default:
		return 3
	}
}

// signedContext classifies a byte as a signed number.
func signedContext(b byte) uint8 {
	switch {
	case b == 0:
		return 0
	case b < 0x10:
		return 1
	case b < 0x40:
		return 2
	case b < 0x80:
		return 3
	case b < 0xc0:
		return 4
	case b < 0xf0:
		return 5
	case b < 0xff:
		return 6
	default:
		return 7
	}
}
