package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/panelmatch/panelmatch/engine/provider"
)

// Scratch is where bytes wait that do not fit into memory. The zero Scratch
// uses the system's directory for temporary files, 1 MiB of memory and no limit.
type Scratch struct {
	// Dir is a directory of the process's own machine; empty for the system's.
	Dir string
	// Memory is how many bytes each spool keeps before it goes to a file.
	Memory int
	// Limit is the most bytes that a spool takes; 0 for no limit.
	Limit int64
}

const defaultSpoolMemory = 1 << 20

// Spool holds bytes until they are known to be good: it is written once, then
// read as often as wanted, then closed. Up to Scratch.Memory bytes stay in
// memory; beyond that they go to a file that only this user can read and that
// no longer has a name (where the system permits), so that not even a killed
// process leaves it behind.
//
// A Spool is for one goroutine at a time while it is written. Readers of a
// written one are independent of each other.
type Spool struct {
	scratch Scratch
	memory  []byte
	file    *os.File
	name    string // of the file, if it must be removed on Close
	size    int64
	closed  bool
}

// NewSpool returns an empty spool. It touches no file yet.
func NewSpool(scratch Scratch) *Spool {
	if scratch.Memory <= 0 {
		scratch.Memory = defaultSpoolMemory
	}
	return &Spool{scratch: scratch}
}

var errSpoolClosed = errors.New("the spool is closed")

// Write adds bytes. It fails with ErrTooLarge, having taken none of p, if the limit would be exceeded.
func (s *Spool) Write(p []byte) (int, error) {
	if s.closed {
		return 0, errSpoolClosed
	}
	if s.scratch.Limit > 0 && s.size+int64(len(p)) > s.scratch.Limit {
		return 0, fmt.Errorf("%w: more than %d bytes", provider.ErrTooLarge, s.scratch.Limit)
	}
	if s.file == nil && len(s.memory)+len(p) <= s.scratch.Memory {
		s.memory = append(s.memory, p...)
		s.size += int64(len(p))
		return len(p), nil
	}
	if s.file == nil {
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	n, err := s.file.Write(p)
	s.size += int64(n)
	return n, err
}

func (s *Spool) spill() error {
	f, err := os.CreateTemp(s.scratch.Dir, "panelmatch-spool-*")
	if err != nil {
		return fmt.Errorf("scratch: %w", err)
	}
	s.file, s.name = f, f.Name()
	if runtime.GOOS != "windows" && os.Remove(s.name) == nil {
		s.name = ""
	}
	if _, err := f.Write(s.memory); err != nil {
		return fmt.Errorf("scratch: %w", err)
	}
	s.memory = nil
	return nil
}

// Size returns how many bytes the spool holds.
func (s *Spool) Size() int64 { return s.size }

// InMemory reports whether no file has been needed.
func (s *Spool) InMemory() bool { return s.file == nil }

// Reader returns a reader of all bytes, from the first. It is valid until Close.
func (s *Spool) Reader() io.ReadSeeker {
	return io.NewSectionReader(s, 0, s.size)
}

// ReadAt reads from any place, as io.ReaderAt does.
func (s *Spool) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case s.closed:
		return 0, errSpoolClosed
	case off < 0:
		return 0, errors.New("negative offset")
	case s.file != nil:
		return s.file.ReadAt(p, off)
	case off >= int64(len(s.memory)):
		return 0, io.EOF
	}
	n := copy(p, s.memory[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Commit writes the bytes as a blob. It may be called again if it failed.
func (s *Spool) Commit(ctx context.Context, store *Store, key string) error {
	if s.closed {
		return errSpoolClosed
	}
	return store.Put(ctx, key, s.Reader())
}

// Close gives memory and file back. It may be called more than once.
func (s *Spool) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	s.memory = nil
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if s.name != "" {
		err = errors.Join(err, os.Remove(s.name))
	}
	return err
}
