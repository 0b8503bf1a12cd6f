package shard

import (
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
)

const (
	// MaxCount is the most shards that a name may have. The reference's default is 1000.
	MaxCount = 1 << 20
	// MaxManifest is the most bytes that a manifest may have.
	MaxManifest = 1024
	// maxBase leaves room for the rest of a shard's name in what file systems take.
	maxBase = 200
)

// Name is a sharded name, such as events-*-of-1000. It is comparable.
type Name struct {
	// Base is what comes before the shard's number: letters, digits, '_', '.' and '-'.
	Base string
	// Count is the number of shards; 0 means that there are none, and no records.
	Count int
}

// NewName makes a name with at least one shard.
func NewName(base string, count int) (Name, error) {
	if err := checkBase(base); err != nil {
		return Name{}, err
	}
	if count < 1 || count > MaxCount {
		return Name{}, fmt.Errorf("sharded name %q has %d shards; 1 to %d are allowed", clip(base), count, MaxCount)
	}
	return Name{base, count}, nil
}

// Parse reads a manifest's text: <base>-*-of-<N>, or a ? for each digit of N
// in place of the *. White space around it is dropped, and zeros before N.
func Parse(text string) (Name, error) {
	text = strings.TrimSpace(text)
	if len(text) > MaxManifest {
		return Name{}, fmt.Errorf("a manifest has %d bytes; at most %d are allowed", len(text), MaxManifest)
	}
	bad := func(why string) (Name, error) {
		return Name{}, fmt.Errorf("%q is not a sharded name such as events-*-of-100: %s", clip(text), why)
	}
	// From the right: the base may have "-of-" in it.
	i := strings.LastIndex(text, "-of-")
	if i < 0 {
		return bad("it has no -of-")
	}
	rest, digits := text[:i], text[i+len("-of-"):]
	count, err := parseCount(digits)
	if err != nil {
		return bad(err.Error())
	}
	i = strings.LastIndexByte(rest, '-')
	if i < 0 {
		return bad("it has nothing before the shard's number")
	}
	base, stand := rest[:i], rest[i+1:]
	if stand != "*" && (strings.Trim(stand, "?") != "" || len(stand) != len(digits) && len(stand) != len(strconv.Itoa(count))) {
		return bad("the shard's number is given as neither * nor one ? for each digit of the count")
	}
	if err := checkBase(base); err != nil {
		return bad(err.Error())
	}
	return Name{base, count}, nil
}

// ParseStrict is Parse for a manifest that goes to the partner as it is: only
// <base>-*-of-<N> with N >= 1, and nothing around it. A reference client can't
// read anything else, such as a newline at the end.
func ParseStrict(text string) (Name, error) {
	n, err := Parse(text)
	switch {
	case err != nil:
		return Name{}, err
	case n.String() != text:
		return Name{}, fmt.Errorf("manifest %q can't be exported: the partner reads only %q, with nothing before or after it", clip(text), n.String())
	case n.Count == 0:
		return Name{}, fmt.Errorf("manifest %q can't be exported: it has no shards", clip(text))
	}
	return n, nil
}

func parseCount(digits string) (int, error) {
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, errors.New("the count is not a decimal number")
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || n > MaxCount {
		return 0, fmt.Errorf("more than %d shards", MaxCount)
	}
	return int(n), nil
}

func checkBase(base string) error {
	switch {
	case base == "":
		return errors.New("the base of a sharded name is empty")
	case len(base) > maxBase:
		return fmt.Errorf("the base of a sharded name has %d bytes; at most %d are allowed", len(base), maxBase)
	}
	for i := range len(base) {
		c := base[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-') {
			return fmt.Errorf("the base %q of a sharded name has another character than letters, digits, '_', '.' and '-'", clip(base))
		}
	}
	return nil
}

// String returns the manifest's text in its written form, with a * and no newline.
func (n Name) String() string { return n.Base + "-*-of-" + strconv.Itoa(n.Count) }

// Shard returns the blob key of shard i, from 0: its number has as many digits
// as the count, so that shard 3 of 10 is x-03-of-10.
func (n Name) Shard(i int) string {
	count := strconv.Itoa(n.Count)
	number := strconv.Itoa(i)
	return n.Base + "-" + strings.Repeat("0", max(0, len(count)-len(number))) + number + "-of-" + count
}

// Shards yields the number and the key of each shard in order.
func (n Name) Shards() iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for i := range n.Count {
			if !yield(i, n.Shard(i)) {
				return
			}
		}
	}
}

// clip shortens text from elsewhere for an error.
func clip(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
