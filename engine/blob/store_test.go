package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"
	"gocloud.dev/gcerrors"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/provider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var transient = code{gcerrors.Internal}

// operations are all that can be repeated, each with the driver's operation in it.
var operations = map[string]func(context.Context, *blob.Store) error{
	"attributes": func(ctx context.Context, s *blob.Store) error { _, err := s.Stat(ctx, "k"); return err },
	"read":       func(ctx context.Context, s *blob.Store) error { _, err := s.GetBytes(ctx, "k", 100); return err },
	"commit":     func(ctx context.Context, s *blob.Store) error { return s.PutBytes(ctx, "k", []byte("new")) },
	"delete":     func(ctx context.Context, s *blob.Store) error { return s.Delete(ctx, "k") },
	"list": func(ctx context.Context, s *blob.Store) error {
		for _, err := range s.List(ctx, "") {
			if err != nil {
				return err
			}
		}
		return nil
	},
}

func TestTransientErrorsAreRetriedWithGrowingPauses(t *testing.T) {
	for op, do := range operations {
		f := &faulty{blobs: map[string][]byte{"k": []byte("v")}, fail: failing(op, 4, transient)}
		s, pauses := f.store(t, blob.Options{Retry: blob.Retry{Initial: time.Second, Max: 3 * time.Second}})
		if err := do(t.Context(), s); err != nil {
			t.Errorf("%s: %v", op, err)
		}
		for i, most := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
			if d := (*pauses)[i]; d < most/2 || d > most {
				t.Errorf("%s: pause %d is %v; want %v to %v", op, i, d, most/2, most)
			}
		}
		if f.calls[op] != 5 || len(*pauses) != 4 {
			t.Errorf("%s: %d calls, %d pauses", op, f.calls[op], len(*pauses))
		}
	}
}

func TestRetriesEndWithAttemptsAndBudget(t *testing.T) {
	for op, do := range operations {
		for _, r := range []blob.Retry{{Attempts: 3}, {Attempts: 100, Initial: time.Hour, Max: 2 * time.Hour, Budget: time.Minute}} {
			f := &faulty{blobs: map[string][]byte{"k": []byte("v")}, fail: failing(op, 1000, transient)}
			s, _ := f.store(t, blob.Options{Retry: r})
			if err := do(t.Context(), s); !errors.Is(err, provider.ErrTransient) {
				t.Errorf("%s: %v", op, err)
			}
			want := 3
			if r.Attempts == 100 {
				want = 1 // the first pause is longer than the budget
			}
			if f.calls[op] != want {
				t.Errorf("%s: %d calls; want %d", op, f.calls[op], want)
			}
		}
	}
}

func TestOtherErrorsAreNotRetried(t *testing.T) {
	for op, do := range operations {
		for c, want := range map[gcerrors.ErrorCode]error{
			gcerrors.PermissionDenied: provider.ErrPermission,
			gcerrors.Unimplemented:    blob.ErrUnsupported,
			gcerrors.InvalidArgument:  code{gcerrors.InvalidArgument},
			gcerrors.Unknown:          code{gcerrors.Unknown},
		} {
			f := &faulty{blobs: map[string][]byte{"k": []byte("v")}, fail: failing(op, 1, code{c})}
			s, _ := f.store(t, blob.Options{Name: "private storage"})
			err := do(t.Context(), s)
			if !errors.Is(err, want) || !strings.Contains(err.Error(), "private storage") || f.calls[op] != 1 {
				t.Errorf("%s, %v: %v after %d calls", op, c, err, f.calls[op])
			}
		}
	}
}

func TestTheEndOfTheContextEndsRetries(t *testing.T) {
	for op, do := range operations {
		ctx, cancel := context.WithCancel(t.Context())
		f := &faulty{blobs: map[string][]byte{"k": []byte("v")}, fail: failing(op, 1000, transient)}
		s, _ := f.store(t, blob.Options{Retry: blob.Retry{Sleep: func(context.Context, time.Duration) error {
			cancel()
			return ctx.Err()
		}}})
		if err := do(ctx, s); err == nil || f.calls[op] != 1 {
			t.Errorf("%s: %v after %d calls", op, err, f.calls[op])
		}
	}
}

func TestAPanicOfTheDriverIsAnError(t *testing.T) {
	for op, do := range operations {
		f := &faulty{blobs: map[string][]byte{"k": []byte("v")}, fail: func(o string) error {
			if o == op {
				panic("nil pointer of https://user:hunter2@host/")
			}
			return nil
		}}
		s, _ := f.store(t, blob.Options{})
		if err := do(t.Context(), s); err == nil || !strings.Contains(err.Error(), "panicked") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", op, err)
		}
	}
	f := &faulty{blobs: map[string][]byte{"k": []byte("v")}, body: func(context.Context, io.Reader) io.Reader { return nil }}
	s, _ := f.store(t, blob.Options{})
	r, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Read(make([]byte, 10)); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("Read: %v", err)
	}
}

func TestErrorsAreSorted(t *testing.T) {
	for _, c := range []struct {
		err  error
		want error
	}{
		{code{gcerrors.NotFound}, provider.ErrNotFound},
		{code{gcerrors.FailedPrecondition}, blob.ErrConflict},
		{code{gcerrors.AlreadyExists}, blob.ErrConflict},
		{code{gcerrors.ResourceExhausted}, provider.ErrTransient},
		{code{gcerrors.DeadlineExceeded}, provider.ErrTransient},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, provider.ErrTransient},
		{&net.DNSError{Err: "no such host"}, provider.ErrTransient},
		{io.ErrUnexpectedEOF, provider.ErrTransient},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.ESTALE}, provider.ErrTransient},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, provider.ErrReadOnly},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, provider.ErrPermission},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, provider.ErrNotFound},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOTDIR}, nil},
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, nil},
		{status(404), provider.ErrNotFound},
		{status(403), provider.ErrPermission},
		{status(412), blob.ErrConflict},
		{status(429), provider.ErrTransient},
		{status(503), provider.ErrTransient},
		{status(400), nil},
		{fmt.Errorf("wrapped: %w", provider.ErrReadOnly), provider.ErrReadOnly},
	} {
		f := &faulty{fail: failing("attributes", 1000, c.err)}
		s, _ := f.store(t, blob.Options{Retry: blob.Retry{Attempts: 1}})
		_, err := s.Stat(t.Context(), "k")
		var e *blob.Error
		if !errors.As(err, &e) || e.Class != c.want || !errors.Is(err, c.err) { //nolint:errorlint // classes are bare
			t.Errorf("%v: class %v; want %v", c.err, e.Class, c.want)
		}
	}
}

type status int

func (s status) HTTPStatusCode() int { return int(s) }
func (s status) Error() string       { return fmt.Sprint("status ", int(s)) }

func TestAPutIsRepeatedOnlyIfItsSourceCanBegin(t *testing.T) {
	f := &faulty{fail: failing("commit", 2, transient)}
	s, _ := f.store(t, blob.Options{})
	src := strings.NewReader("skipped and value")
	if _, err := src.Seek(12, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "k", src); err != nil || string(f.blobs["k"]) != "value" || f.calls["commit"] != 3 {
		t.Errorf("%v, %q after %d calls", err, f.blobs["k"], f.calls["commit"])
	}
	f = &faulty{fail: failing("commit", 2, transient)}
	s, _ = f.store(t, blob.Options{})
	err := s.Put(t.Context(), "k", iotest.OneByteReader(strings.NewReader("value")))
	if !errors.Is(err, provider.ErrTransient) || f.calls["commit"] != 1 || f.blobs["k"] != nil {
		t.Errorf("%v, %q after %d calls", err, f.blobs["k"], f.calls["commit"])
	}
	// A condition could be refused for one's own first success.
	f = &faulty{fail: failing("commit", 2, transient)}
	s, _ = f.store(t, blob.Options{})
	err = s.PutIf(t.Context(), "k", strings.NewReader("value"), blob.Condition{IfAbsent: true})
	if !errors.Is(err, provider.ErrTransient) || f.calls["commit"] != 1 {
		t.Errorf("%v after %d calls", err, f.calls["commit"])
	}
}

// seekable is a source that fails with an error that would be retried if the storage had it.
type seekable struct{ io.ReadSeeker }

func (s seekable) Read([]byte) (int, error) { return 0, transient }

func TestAFailingSourceIsNotTheStoragesFault(t *testing.T) {
	f := &faulty{blobs: map[string][]byte{"k": []byte("old")}}
	s, pauses := f.store(t, blob.Options{})
	if err := s.Put(t.Context(), "k", seekable{strings.NewReader("")}); !errors.Is(err, transient) {
		t.Error(err)
	}
	if len(*pauses) != 0 || string(f.blobs["k"]) != "old" {
		t.Errorf("%d retries, blob %q", len(*pauses), f.blobs["k"])
	}
}

func TestABlobThatIsNotAsLongAsToldIsTransient(t *testing.T) {
	for _, lie := range []int64{-1, 1} {
		f := &faulty{blobs: map[string][]byte{"k": []byte("value")}, lie: lie}
		s, _ := f.store(t, blob.Options{Retry: blob.Retry{Attempts: 2}})
		r, err := s.Get(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if !errors.Is(err, provider.ErrTransient) || n > r.Size() {
			t.Errorf("lie %d: %d bytes, %v", lie, n, err)
		}
		r.Close()
		if _, err := s.GetBytes(t.Context(), "k", 100); !errors.Is(err, provider.ErrTransient) {
			t.Errorf("lie %d: GetBytes: %v", lie, err)
		}
		if _, err := s.Fetch(t.Context(), "k", blob.Scratch{}); !errors.Is(err, provider.ErrTransient) || f.calls["read"] != 5 {
			t.Errorf("lie %d: Fetch: %v after %d reads", lie, err, f.calls["read"])
		}
	}
}

func TestALimitHoldsThoughTheSizeLies(t *testing.T) {
	f := &faulty{blobs: map[string][]byte{"k": make([]byte, 100)}, lie: -95}
	s, _ := f.store(t, blob.Options{ReadLimit: 10})
	r, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); n > 10 || !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("again: %v", err)
	}
}

// stall gives a few bytes and then none until the context ends.
type stall struct {
	ctx  context.Context
	left int
}

func (s *stall) Read(p []byte) (int, error) {
	if s.left > 0 {
		n := min(len(p), s.left)
		s.left -= n
		return n, nil
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func TestAStorageThatStallsIsGivenUp(t *testing.T) {
	f := &faulty{
		blobs: map[string][]byte{"k": make([]byte, 100)},
		body:  func(ctx context.Context, _ io.Reader) io.Reader { return &stall{ctx, 10} },
	}
	s, _ := f.store(t, blob.Options{IdleTimeout: 5 * time.Millisecond, Retry: blob.Retry{Attempts: 2}})
	r, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); n != 10 || !errors.Is(err, provider.ErrTransient) || errors.Is(err, context.Canceled) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := s.GetBytes(t.Context(), "k", 100); !errors.Is(err, provider.ErrTransient) || f.calls["read"] != 3 {
		t.Errorf("GetBytes: %v after %d reads", err, f.calls["read"])
	}
}

func TestASlowReaderIsNotTheStoragesFault(t *testing.T) {
	f := &faulty{blobs: map[string][]byte{"k": []byte("value")}}
	s, _ := f.store(t, blob.Options{IdleTimeout: 200 * time.Millisecond})
	r, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	time.Sleep(300 * time.Millisecond)
	if b, err := io.ReadAll(r); err != nil || string(b) != "value" {
		t.Errorf("%q, %v", b, err)
	}
}

type counter struct {
	read, written, retried int
	texts                  []string
}

func (c *counter) BytesRead(n int)    { c.read += n }
func (c *counter) BytesWritten(n int) { c.written += n }
func (c *counter) Retried(op string, err error) {
	c.retried++
	c.texts = append(c.texts, op+": "+err.Error())
}

func TestAnObserverIsToldOfBytesAndRetries(t *testing.T) {
	c := &counter{}
	f := &faulty{fail: failing("commit", 1, transient)}
	s, _ := f.store(t, blob.Options{Observer: c, Name: "shared storage"})
	if err := s.PutBytes(t.Context(), "k", make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GetBytes(t.Context(), "k", 5000); err != nil {
		t.Fatal(err)
	}
	if c.read != 1000 || c.written != 2000 || c.retried != 1 || !strings.HasPrefix(c.texts[0], "write: shared storage") {
		t.Errorf("%+v", c)
	}
}

func TestAWriterTellsOfAFailedCommit(t *testing.T) {
	f := &faulty{fail: failing("write", 1, code{gcerrors.PermissionDenied})}
	s, _ := f.store(t, blob.Options{})
	w, err := s.Create(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for range 100 { // the first writes may be taken before the driver answers
		if _, err = w.Write(make([]byte, 1<<20)); err != nil {
			break
		}
	}
	if !errors.Is(err, provider.ErrPermission) {
		t.Errorf("Write: %v", err)
	}
	if err := w.Close(); !errors.Is(err, provider.ErrPermission) {
		t.Errorf("Close: %v", err)
	}
}

func TestAWriterEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &faulty{}
	s, _ := f.store(t, blob.Options{})
	w, err := s.Create(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := w.Close(); !errors.Is(err, context.Canceled) || len(f.blobs) != 0 {
		t.Errorf("%v, blobs %q", err, f.blobs)
	}
}

func TestAVersionIsNotWrittenInPlaceWhereTheDriverCanNot(t *testing.T) {
	f := &faulty{blobs: map[string][]byte{"k": []byte("v")}}
	s, _ := f.store(t, blob.Options{})
	err := s.PutIf(t.Context(), "k", bytes.NewReader(nil), blob.Condition{IfVersion: `"1"`})
	if !errors.Is(err, blob.ErrUnsupported) || f.calls["write"] != 0 {
		t.Errorf("%v after %d writes", err, f.calls["write"])
	}
	if err := s.PutIf(t.Context(), "k", bytes.NewReader(nil), blob.Condition{IfVersion: "1", IfAbsent: true}); err == nil {
		t.Error("two conditions are accepted")
	}
}

func TestAPrefixMustBeAKey(t *testing.T) {
	f := &faulty{}
	for _, prefix := range []string{"/a", "a/", "a//b", "..", "a/../b"} {
		if _, err := blob.NewStore(nil, blob.Options{Prefix: prefix}); err == nil {
			t.Errorf("%q is accepted", prefix)
		}
	}
	if _, err := blob.NewStore(nil, blob.Options{ReadLimit: -1}); err == nil {
		t.Error("a negative limit is accepted")
	}
	s, _ := f.store(t, blob.Options{Prefix: strings.Repeat("long/", 200) + "x"})
	if err := s.PutBytes(t.Context(), strings.Repeat("k", 100), nil); !errors.Is(err, blob.ErrBadKey) {
		t.Errorf("a key that is too long with its prefix: %v", err)
	}
}

func TestFetchSpoolsAndCommits(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789"), 1000)
	f := &faulty{blobs: map[string][]byte{"k": want}}
	s, _ := f.store(t, blob.Options{})
	dir := t.TempDir()
	for _, memory := range []int{100, 1 << 20} {
		spool, err := s.Fetch(t.Context(), "k", blob.Scratch{Dir: dir, Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		f.fail = failing("commit", 2, transient)
		if err := spool.Commit(t.Context(), s, "copy"); err != nil || !bytes.Equal(f.blobs["copy"], want) {
			t.Errorf("Commit: %v, %d bytes", err, len(f.blobs["copy"]))
		}
		if err := spool.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Fetch(t.Context(), "k", blob.Scratch{Dir: dir, Memory: 100, Limit: 5000}); !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("above the limit: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}
