package file

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/provider"
)

// crashDir makes the test binary a process that writes until it is killed.
const crashDir = "PANELMATCH_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		fmt.Fprintln(os.Stderr, writeForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// sealed returns bytes that begin with the digest of the rest.
func sealed(i int) []byte {
	body := bytes.Repeat(fmt.Appendf(nil, "body %d ", i), 1+i*i*997%60_000)
	sum := sha256.Sum256(body)
	return append(sum[:], body...)
}

func isWhole(b []byte) bool {
	if len(b) < sha256.Size {
		return false
	}
	sum := sha256.Sum256(b[sha256.Size:])
	return bytes.Equal(sum[:], b[:sha256.Size])
}

func writeForEver(dir string) error {
	bucket, err := Open(Options{Dir: dir})
	if err != nil {
		return err
	}
	s, err := blob.NewStore(bucket, blob.Options{Prefix: "recurringExchanges/rx"})
	if err != nil {
		return err
	}
	ctx := context.Background()
	for i := 0; ; i++ {
		key := fmt.Sprint("dir/", i%3)
		cond := blob.Condition{}
		if i%5 == 4 {
			key, cond.IfAbsent = fmt.Sprint("new/", os.Getpid(), "-", i), true
		}
		w, err := s.CreateIf(ctx, key, cond)
		if err != nil {
			return err
		}
		// In pieces, so that there is a midst to be killed in.
		for piece := range slices.Chunk(sealed(i), 64<<10) {
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
		if err := w.Close(); err != nil {
			return err
		}
		if i%7 == 6 {
			if err := s.Delete(ctx, "dir/1"); err != nil {
				return err
			}
		}
		fmt.Println(i) // tells the parent that work is under way
	}
}

func TestAKilledWriterLeavesNoHalfBlob(t *testing.T) {
	dir := t.TempDir()
	bucket, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	s, err := blob.NewStore(bucket, blob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 12
	for round := range rounds {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), crashDir+"="+dir)
		var stderr strings.Builder
		child.Stderr = &stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		for range 3 + round {
			if _, err := lines.ReadString('\n'); err != nil {
				t.Fatalf("the writer ended by itself: %s", stderr.String())
			}
			checkAll(t, s) // while it writes
		}
		time.Sleep(time.Duration(round) * 700 * time.Microsecond) // to some other place in its work
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, lines) //nolint:errcheck // to its end
		child.Wait()               //nolint:errcheck // it was killed
		if checkAll(t, s) == 0 {
			t.Error("nothing has been written")
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, workDir, "*"+tempSuffix))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d unfinished writes of %d killed writers", len(left), rounds)
}

// checkAll reads every blob there is.
func checkAll(t *testing.T, s *blob.Store) (n int) {
	t.Helper()
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(info.Key, workDir) || !strings.HasPrefix(info.Key, "recurringExchanges/rx/") {
			t.Errorf("%q is listed", info.Key)
		}
		v, err := s.GetBytes(t.Context(), info.Key, 1<<30)
		if errors.Is(err, provider.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil || !isWhole(v) {
			t.Errorf("%q: %d bytes that are not whole, %v", info.Key, len(v), err)
		}
		n++
	}
	return n
}
