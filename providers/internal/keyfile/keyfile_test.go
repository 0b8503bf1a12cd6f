package keyfile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/panelmatch/panelmatch/providers/internal/keyfile"
)

func TestCreatedFilesAreForTheirOwnerOnly(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new", "directory", "key")
	if err := keyfile.Create(name, []byte("k")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode is %04o, want 0600", got)
	}
	b, err := keyfile.Read(name)
	if err != nil || string(b) != "k" {
		t.Errorf("Read() = %q, %v", b, err)
	}
	entries, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(entries) != 1 {
		t.Errorf("temporary files remain: %v, %v", entries, err)
	}
}

func TestOfManyCreatorsOneWins(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	const n = 16
	var wins sync.Map
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			data := bytes.Repeat([]byte{byte('a' + i)}, 10000)
			switch err := keyfile.Create(name, data); {
			case err == nil:
				wins.Store(i, data)
			case !errors.Is(err, fs.ErrExist):
				t.Errorf("Create: %v", err)
			}
			// Winner or not, what is there now is whole.
			b, err := keyfile.Read(name)
			if err != nil || len(b) != 10000 || bytes.Count(b, b[:1]) != len(b) {
				t.Errorf("Read gave %d bytes, %v", len(b), err)
			}
		})
	}
	wg.Wait()
	count := 0
	wins.Range(func(_, data any) bool {
		count++
		if b, _ := os.ReadFile(name); !bytes.Equal(b, data.([]byte)) {
			t.Error("the file is not the winner's")
		}
		return true
	})
	if count != 1 {
		t.Errorf("%d creators won", count)
	}
}

func TestPermissiveFilesAreRefused(t *testing.T) {
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o660, 0o644} {
		name := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(name, []byte("very secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		_, err := keyfile.Read(name)
		if !errors.Is(err, keyfile.ErrPermissive) || !strings.Contains(err.Error(), "chmod 600 "+name) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

func TestReadIsBoundedAndWantsAFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := keyfile.Read(dir); err == nil {
		t.Error("a directory was read")
	}
	if _, err := keyfile.Read(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keyfile.Read(big); err == nil {
		t.Error("a file above the limit was read")
	}
}
