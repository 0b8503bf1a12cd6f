package manifest

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Bounds on what is read. A manifest beyond them is a mistake or an attack.
const (
	maxFileSize      = 4 << 20  // bytes of one file, environment variable or --set
	maxTotalSize     = 32 << 20 // bytes of all of them
	maxOverrideFiles = 10000
	maxSettings      = 10000 // environment variables and --set, each
	maxDepth         = 100   // maps and lists within each other
	maxNodes         = 2_000_000
)

// Sources says what a manifest is made of. Later layers win: Files in the
// order given, then OverridesDir, Environ and Set.
type Sources struct {
	// Files are the base files: YAML (.yaml, .yml, or no extension), JSON (.json) or CUE (.cue).
	Files []string
	// OverridesDir holds one file per recurring exchange, <id>.yaml; empty for none. A ConfigMap's
	// mount works: names that begin with a dot are skipped, links are followed.
	OverridesDir string
	// Environ is what os.Environ returns. Only variables that begin with PANELMATCH__ are read.
	Environ []string
	// Set holds path=value assignments, as the flag --set has them.
	Set []string
	// ReadFile and ReadDir read files and directories; nil for the operating system's. Nothing else
	// is ever opened.
	ReadFile func(string) ([]byte, error)
	ReadDir  func(string) ([]fs.DirEntry, error)
}

func (s Sources) readFile(name string) ([]byte, error) {
	read := s.ReadFile
	if read == nil {
		read = readBounded
	}
	data, err := read(name)
	if err == nil && len(data) > maxFileSize {
		err = errTooLarge
	}
	return data, err
}

func (s Sources) readDir(name string) ([]fs.DirEntry, error) {
	if s.ReadDir != nil {
		return s.ReadDir(name)
	}
	return os.ReadDir(name)
}

var errTooLarge = fmt.Errorf("is larger than %d MiB; a manifest is a few KiB", maxFileSize>>20)

// readBounded is os.ReadFile which stops soon after the bound, so that a
// device or a pipe without end does no harm.
func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading only
	return io.ReadAll(io.LimitReader(f, maxFileSize+1))
}
