package blob_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/provider"
)

func TestASpoolKeepsWhatIsWrittenAroundItsMemory(t *testing.T) {
	const memory = 1000
	for _, size := range []int{0, 1, memory - 1, memory, memory + 1, 5 * memory, 100_000} {
		for _, chunk := range []int{1, 7, memory, 64_000} {
			dir := t.TempDir()
			s := blob.NewSpool(blob.Scratch{Dir: dir, Memory: memory})
			want := make([]byte, size)
			for i := range want {
				want[i] = byte(i * 31)
			}
			if _, err := io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{bytes.NewReader(want)}, make([]byte, chunk)); err != nil {
				t.Fatal(err)
			}
			if s.Size() != int64(size) || s.InMemory() != (size <= memory) {
				t.Errorf("%d bytes: size %d, in memory %v", size, s.Size(), s.InMemory())
			}
			for range 2 {
				if err := iotest.TestReader(s.Reader(), want); err != nil {
					t.Errorf("%d bytes in chunks of %d: %v", size, chunk, err)
				}
			}
			if left, _ := os.ReadDir(dir); runtime.GOOS != "windows" && len(left) != 0 {
				t.Errorf("a named file in scratch: %v", left)
			}
			if err := errors.Join(s.Close(), s.Close()); err != nil {
				t.Error(err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("left over: %v", left)
			}
			if _, err := s.Write([]byte{1}); err == nil {
				t.Error("Write after Close")
			}
			if _, err := s.ReadAt(make([]byte, 1), 0); err == nil {
				t.Error("ReadAt after Close")
			}
		}
	}
}

func TestASpoolsLimitHoldsToTheByte(t *testing.T) {
	s := blob.NewSpool(blob.Scratch{Dir: t.TempDir(), Memory: 10, Limit: 100})
	defer s.Close()
	if _, err := s.Write(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Write([]byte{1}); n != 0 || !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("%d, %v", n, err)
	}
	if s.Size() != 100 {
		t.Errorf("size %d", s.Size())
	}
}

func TestScratchThatIsNotThereIsAnError(t *testing.T) {
	s := blob.NewSpool(blob.Scratch{Dir: "/nonexistent/dir", Memory: 1})
	defer s.Close()
	if _, err := s.Write(make([]byte, 10)); err == nil {
		t.Error("accepted")
	}
}
