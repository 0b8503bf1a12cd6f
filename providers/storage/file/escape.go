package file

import (
	"errors"
	"fmt"
	"strings"
)

// The reserved directory in the root of a bucket: unfinished writes and the
// lock of conditional ones. No key leads into it.
const workDir = ".panelmatch.tmp"

// maxName is the longest name that common file systems take.
const maxName = 255

var errKey = errors.New("can't be a file name")

// encodeKey returns the path, relative to the root and with slashes, of a key.
//
// A key is its own path, as the reference has it, unless that path would lead
// elsewhere or could not be told from another one. Then single bytes become
// %XX: a slash at either end or after another slash, the dots of the segments
// "." and "..", the first dot of the reserved directory, NUL, what the system
// does not take in names, and a % that two hex digits follow. decodePath
// reverses it; no two keys have one path.
func encodeKey(key string) (string, error) {
	if key == "" {
		return "", fmt.Errorf("the empty key %w", errKey)
	}
	var b strings.Builder
	b.Grow(len(key) + 8)
	segment := 0 // where the segment begins in b
	for i := range len(key) {
		c := key[i]
		if c == '/' && i > 0 && key[i-1] != '/' && i < len(key)-1 {
			if b.Len()-segment > maxName {
				return "", fmt.Errorf("a segment of more than %d bytes %w", maxName, errKey)
			}
			b.WriteByte('/')
			segment = b.Len()
			continue
		}
		if c == '/' || mustEscape(key, i) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	if b.Len()-segment > maxName {
		return "", fmt.Errorf("a segment of more than %d bytes %w", maxName, errKey)
	}
	return b.String(), nil
}

// mustEscape reports whether the byte at i, which is no slash, can't stand for itself.
func mustEscape(key string, i int) bool {
	switch c := key[i]; {
	case c == 0:
		return true
	case c == '%':
		return i+2 < len(key) && isHex(key[i+1]) && isHex(key[i+2])
	case c == '.' || systemEscapes(key, i):
		begin := strings.LastIndexByte(key[:i], '/') + 1
		end := len(key)
		if n := strings.IndexByte(key[i:], '/'); n >= 0 {
			end = i + n
		}
		segment := key[begin:end]
		return segment == "." || segment == ".." || i == 0 && strings.EqualFold(segment, workDir) || systemEscapes(key, i)
	}
	return false
}

// decodePath returns the key of a path.
func decodePath(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	var b strings.Builder
	b.Grow(len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]) {
			b.WriteByte(unhex(path[i+1])<<4 | unhex(path[i+2]))
			i += 2
		} else {
			b.WriteByte(path[i])
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}
