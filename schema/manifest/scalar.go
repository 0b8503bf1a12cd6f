package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads a duration as manifests have it: a number and a unit
// (ns, ms, s, m, h, d for 24 hours), any number of times, such as 90s, 23h30m
// or 14d. A number may have a fraction of at most 9 digits, as in 1.5h; what is
// below a nanosecond is cut off. The whole text must be that; a sign and a bare
// number are refused.
func ParseDuration(text string) (Duration, error) {
	if text == "" {
		return 0, errors.New("is empty; a duration is such as 90s, 1m or 23h30m")
	}
	total := uint64(0)
	for rest := text; rest != ""; {
		n, after, err := digits(rest)
		if err != nil {
			return 0, fmt.Errorf("%q is no duration such as 90s, 1m or 23h30m", clip(text))
		}
		part, scale := uint64(0), uint64(1)
		if f, ok := strings.CutPrefix(after, "."); ok {
			if part, after, err = digits(f); err != nil || len(f)-len(after) > 9 {
				return 0, fmt.Errorf("%q is no duration such as 90s, 1m or 23h30m", clip(text))
			}
			for range len(f) - len(after) {
				scale *= 10
			}
		}
		unit, after := durationUnit(after)
		if unit == 0 {
			return 0, fmt.Errorf("%q has a number without one of the units ns, ms, s, m, h, d", clip(text))
		}
		if n > uint64(math.MaxInt64)/unit {
			return 0, fmt.Errorf("%q is longer than 292 years", clip(text))
		}
		// part < scale <= 1e9 and unit < 1e14: the product needs 128 bits.
		high, low := bits.Mul64(part, unit)
		fraction, _ := bits.Div64(high, low, scale)
		if n*unit+fraction > uint64(math.MaxInt64)-total {
			return 0, fmt.Errorf("%q is longer than 292 years", clip(text))
		}
		total += n*unit + fraction
		rest = after
	}
	return Duration(total), nil
}

// durationUnit cuts a unit off s and returns its length in nanoseconds, or 0.
func durationUnit(s string) (uint64, string) {
	for _, u := range []struct {
		name string
		unit time.Duration
	}{
		{"ns", time.Nanosecond},
		{"ms", time.Millisecond},
		{"s", time.Second},
		{"m", time.Minute},
		{"h", time.Hour},
		{"d", 24 * time.Hour},
	} {
		if rest, ok := strings.CutPrefix(s, u.name); ok {
			return uint64(u.unit), rest
		}
	}
	return 0, s
}

// digits cuts a decimal number off s.
func digits(s string) (uint64, string, error) {
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	n, err := strconv.ParseUint(s[:end], 10, 63)
	return n, s[end:], err
}

// UnmarshalText reads what ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	if err == nil {
		*d = v
	}
	return err
}

// MarshalText writes what ParseDuration reads, in days only if it is nothing
// else: 336h is 14d, and 25h stays.
func (d Duration) MarshalText() ([]byte, error) {
	if d < 0 {
		return nil, fmt.Errorf("negative duration %s", d)
	}
	if d == 0 {
		return []byte("0s"), nil
	}
	day := Duration(24 * time.Hour)
	if d%day == 0 {
		return fmt.Appendf(nil, "%dd", d/day), nil
	}
	var b []byte
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}, {"ns", time.Nanosecond}} {
		if n := d / Duration(u.unit); n > 0 {
			b = fmt.Appendf(b, "%d%s", n, u.name)
			d -= n * Duration(u.unit)
		}
	}
	return b, nil
}

// byteUnits are the units of sizes: powers of 1000, and of 1024 with an i.
var byteUnits = map[string]uint64{
	"": 1, "B": 1,
	"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

// ParseByteSize reads a size as manifests have it: digits and a unit, such as
// 512, 1MB (a million) or 64MiB (64 times 1024 times 1024). The whole text
// must be that; a sign, a fraction and a space are refused.
func ParseByteSize(text string) (ByteSize, error) {
	n, unit, err := digits(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no size such as 512, 1MB or 64MiB", clip(text))
	}
	factor, ok := byteUnits[unit]
	if !ok {
		return 0, fmt.Errorf("%q has none of the units B, KB, MB, GB, TB, KiB, MiB, GiB, TiB", clip(text))
	}
	if n > uint64(math.MaxInt64)/factor {
		return 0, fmt.Errorf("%q is more than 64 bits can count", clip(text))
	}
	return ByteSize(n * factor), nil
}

// Bytes returns the number of bytes.
func (s ByteSize) Bytes() int64 { return int64(s) }

// String writes what ParseByteSize reads, with the largest unit that divides it.
func (s ByteSize) String() string {
	for _, u := range []string{"TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "KB"} {
		if f := ByteSize(byteUnits[u]); s > 0 && s%f == 0 {
			return fmt.Sprintf("%d%s", s/f, u)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// UnmarshalJSON reads a text as ParseByteSize does, or a number of bytes.
func (s *ByteSize) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		text = string(b)
	}
	v, err := ParseByteSize(text)
	if err == nil {
		*s = v
	}
	return err
}

// MarshalJSON writes the text of String.
func (s ByteSize) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }
