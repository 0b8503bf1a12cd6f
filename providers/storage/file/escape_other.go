//go:build !windows

package file

// systemEscapes reports whether the system refuses the byte at i in a name.
func systemEscapes(string, int) bool { return false }
