package file

import "strings"

// systemEscapes reports whether the system refuses the byte at i in a name:
// characters with a meaning, and a dot or space at the end of a segment.
func systemEscapes(key string, i int) bool {
	c := key[i]
	if c < 0x20 || strings.IndexByte(`<>:"|?*\`, c) >= 0 {
		return true
	}
	return (c == '.' || c == ' ') && (i == len(key)-1 || key[i+1] == '/')
}
