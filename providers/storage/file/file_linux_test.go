package file

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	gocloud "gocloud.dev/blob"
)

func TestAPipeIsNoBlobAndBlocksNobody(t *testing.T) {
	dir := t.TempDir()
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	_, s := open(t, dir)
	if _, err := s.Get(t.Context(), "pipe"); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("Get: %v", err)
	}
}

func TestEngineBlobsHaveNoExtendedAttribute(t *testing.T) {
	dir := t.TempDir()
	b, s := open(t, dir)
	must(t, s.PutBytes(t.Context(), "plain", nil))
	must(t, b.WriteAll(t.Context(), "typed", nil, &gocloud.WriterOptions{ContentType: "text/plain"}))
	for name, want := range map[string]string{"plain": defaultContentType, "typed": "text/plain"} {
		f, err := os.Open(filepath.Join(dir, name))
		must(t, err)
		if got := readProperties(f).ContentType; got != want {
			t.Errorf("%s has %q", name, got)
		}
		must(t, f.Close())
	}
	if n, err := syscall.Getxattr(filepath.Join(dir, "plain"), "user.panelmatch.properties", make([]byte, 100)); err == nil {
		t.Errorf("%d bytes of properties", n)
	}
}
