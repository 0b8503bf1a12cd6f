package file

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocloud "gocloud.dev/blob"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/provider"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) (*gocloud.Bucket, *blob.Store) {
	t.Helper()
	b, err := Open(Options{Dir: dir})
	must(t, err)
	t.Cleanup(func() { b.Close() })
	s, err := blob.NewStore(b, blob.Options{})
	must(t, err)
	return b, s
}

// files returns the paths of everything below dir that is no directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			found = append(found, filepath.ToSlash(rel))
		}
		return err
	}))
	return found
}

func TestABlobIsTheFileOfItsNameAndThereIsNoOther(t *testing.T) {
	dir := t.TempDir()
	_, s := open(t, dir)
	keys := []string{
		"done-tasks/step", "hkdf-pepper", "hkdf-pepper.signature",
		"recurringExchanges/rx/exchanges/2024-01-31/ünï code%", "x.attrs", "x.tmp",
	}
	for _, key := range keys {
		must(t, s.PutBytes(t.Context(), key, []byte(key)))
	}
	if got := files(t, dir); !slices.Equal(got, keys) {
		t.Errorf("the files are %q; want %q", got, keys)
	}
	// The other way: what the reference wrote is there.
	must(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "a", "b", "theirs"), []byte("v"), 0o644))
	if v, err := s.GetBytes(t.Context(), "a/b/theirs", 10); err != nil || string(v) != "v" {
		t.Errorf("%q, %v", v, err)
	}
}

func TestOddKeysStayInsideAndDoNotReachReservedNames(t *testing.T) {
	outer := t.TempDir()
	dir := filepath.Join(outer, "bucket")
	must(t, os.Mkdir(dir, 0o755))
	b, s := open(t, dir)
	must(t, s.PutBytes(t.Context(), "first", nil)) // makes the reserved directory
	keys := []string{"../x", "a/../../x", "/etc/x", workDir + "/x", strings.ToUpper(workDir) + "/x", "a\x00b", "a//b"}
	for _, key := range keys {
		must(t, b.WriteAll(t.Context(), key, []byte(key), nil))
		if v, err := b.ReadAll(t.Context(), key); err != nil || string(v) != key {
			t.Errorf("%q holds %q, %v", key, v, err)
		}
	}
	if got := files(t, outer); len(got) != len(keys)+1 {
		t.Errorf("the files are %q", got)
	}
	for _, name := range files(t, outer) {
		if !strings.HasPrefix(name, "bucket/") || strings.Contains(name, "/"+workDir+"/") {
			t.Errorf("%q is out of place", name)
		}
	}
}

func TestLinksBelowTheRootAreNotFollowed(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "k"), []byte("secret"), 0o600))
	must(t, os.Symlink(filepath.Join(outside, "k"), filepath.Join(dir, "file")))
	must(t, os.Symlink(outside, filepath.Join(dir, "dir")))
	must(t, os.Mkdir(filepath.Join(dir, "real"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "real", "k"), []byte("inside"), 0o600))
	must(t, os.Symlink("real", filepath.Join(dir, "inner")))
	must(t, os.Symlink("real/k", filepath.Join(dir, "innerfile")))
	b, s := open(t, dir)
	for _, key := range []string{"file", "dir/k", "inner/k", "innerfile"} {
		if v, err := s.GetBytes(t.Context(), key, 100); err == nil || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("Get(%q) = %q, %v", key, v, err)
		}
		if err := s.Delete(t.Context(), key); err == nil {
			t.Errorf("Delete(%q) succeeds", key)
		}
		if err := b.Copy(t.Context(), "copy", key, nil); err == nil {
			t.Errorf("Copy(%q) succeeds", key)
		}
	}
	for _, key := range []string{"dir/new", "inner/new"} {
		if err := s.PutBytes(t.Context(), key, nil); err == nil {
			t.Errorf("Put(%q) succeeds", key)
		}
	}
	// A link in the place of a blob is replaced, as a blob would be, and what it led to stays.
	must(t, s.PutBytes(t.Context(), "file", []byte("mine")))
	if v, err := os.ReadFile(filepath.Join(outside, "k")); err != nil || string(v) != "secret" {
		t.Errorf("outside: %q, %v", v, err)
	}
	var keys []string
	for info, err := range s.List(t.Context(), "") {
		must(t, err)
		keys = append(keys, info.Key)
	}
	if !slices.Equal(keys, []string{"file", "real/k"}) {
		t.Errorf("listed: %q", keys)
	}
}

func TestTheRootMayBeALink(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(dir, name))
	_, s := open(t, name)
	must(t, s.PutBytes(t.Context(), "k", nil))
	if got := files(t, dir); !slices.Equal(got, []string{"k"}) {
		t.Errorf("files %q", got)
	}
}

func TestOnlyOldLeftoversAreRemoved(t *testing.T) {
	dir := t.TempDir()
	work := filepath.Join(dir, workDir)
	must(t, os.Mkdir(work, 0o755))
	for name, age := range map[string]time.Duration{"old.tmp": 25 * time.Hour, "young.tmp": time.Hour, "lock": 99 * time.Hour, "else": 99 * time.Hour} {
		path := filepath.Join(work, name)
		must(t, os.WriteFile(path, []byte("x"), 0o600))
		when := time.Now().Add(-age)
		must(t, os.Chtimes(path, when, when))
	}
	must(t, os.WriteFile(filepath.Join(dir, "blob.tmp"), nil, 0o600))
	must(t, os.Chtimes(filepath.Join(dir, "blob.tmp"), time.Unix(0, 0), time.Unix(0, 0)))
	open(t, dir)
	want := []string{workDir + "/else", workDir + "/lock", workDir + "/young.tmp", "blob.tmp"}
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("files %q; want %q", got, want)
	}
}

func TestFailedWritesLeaveNoFile(t *testing.T) {
	dir := t.TempDir()
	b, s := open(t, dir)
	must(t, s.PutBytes(t.Context(), "a/b", []byte("x")))
	before := files(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	w, err := s.Create(ctx, "k")
	must(t, err)
	_, err = w.Write(make([]byte, 1<<20))
	must(t, err)
	cancel()
	w.Abort()
	if err := s.PutIf(t.Context(), "a/b", strings.NewReader("y"), blob.Condition{IfAbsent: true}); !errors.Is(err, blob.ErrConflict) {
		t.Errorf("PutIf: %v", err)
	}
	for key, want := range map[string]string{"a": "directory with blobs", "a/b/c": "none below it"} {
		if err := s.PutBytes(t.Context(), key, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Put(%q): %v; want %q", key, err, want)
		}
	}
	err = b.WriteAll(t.Context(), "k", nil, &gocloud.WriterOptions{BeforeWrite: func(func(any) bool) error { return errors.ErrUnsupported }})
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("BeforeWrite: %v", err)
	}
	if got := files(t, dir); !slices.Equal(got, before) {
		t.Errorf("files %q; want %q", got, before)
	}
}

func TestDeleteRemovesEmptyDirectoriesOnly(t *testing.T) {
	dir := t.TempDir()
	_, s := open(t, dir)
	must(t, s.PutBytes(t.Context(), "a/b/c/k", nil))
	must(t, s.PutBytes(t.Context(), "a/k", nil))
	must(t, s.Delete(t.Context(), "a/b/c/k"))
	if _, err := os.Stat(filepath.Join(dir, "a", "b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a/b: %v", err)
	}
	must(t, s.Delete(t.Context(), "a/k"))
	if _, err := os.Stat(filepath.Join(dir, "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a: %v", err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the root: %v", err)
	}
}

// Listing in pages of every size must give what sorting all keys gives.
func TestPagesAddUpToTheSortedKeys(t *testing.T) {
	dir := t.TempDir()
	b, _ := open(t, dir)
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{"a", "b", "-", ".", "/", "0", "%2F", "\x00", "~"}
	all := map[string]bool{}
	for len(all) < 80 {
		var key strings.Builder
		for range 1 + random.IntN(6) {
			key.WriteString(alphabet[random.IntN(len(alphabet))])
		}
		if b.WriteAll(t.Context(), key.String(), nil, nil) == nil { // some are a blob and a directory
			all[key.String()] = true
		}
	}
	for _, prefix := range []string{"", "a", "a/", "b-", "/", ".", "a/b"} {
		for _, delimiter := range []string{"", "/", "-", "a/"} {
			want := fold(all, prefix, delimiter)
			for _, size := range []int{1, 2, 3, 7, 200} {
				var got []string
				for token := gocloud.FirstPageToken; len(token) > 0; {
					page, next, err := b.ListPage(t.Context(), token, size, &gocloud.ListOptions{Prefix: prefix, Delimiter: delimiter})
					must(t, err)
					for _, o := range page {
						got = append(got, o.Key)
					}
					token = next
				}
				if !slices.Equal(got, want) {
					t.Fatalf("prefix %q, delimiter %q, pages of %d:\n got %q\nwant %q", prefix, delimiter, size, got, want)
				}
			}
		}
	}
}

func fold(keys map[string]bool, prefix, delimiter string) []string {
	var out []string
	for key := range keys {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			key = prefix + rest[:i+len(delimiter)]
		}
		out = append(out, key)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestURLs(t *testing.T) {
	for raw, want := range map[string]Options{
		"file:///var/lib":                  {Dir: "/var/lib"},
		"file:///var/lib/?create_dir=true": {Dir: "/var/lib", CreateDir: true},
		"file:///var/lib?create_dir=false": {Dir: "/var/lib"},
		"file:rel/dir":                     {Dir: "rel/dir"},
		"file:rel%20dir?create_dir=1":      {Dir: "rel dir", CreateDir: true},
		"file://./rel":                     {Dir: "rel"},
		"file:///with%23hash%25":           {Dir: "/with#hash%"},
		"file:../beside":                   {Dir: "../beside"},
	} {
		if got, err := ParseURL(raw); err != nil || got != want {
			t.Errorf("%q = %+v, %v", raw, got, err)
		}
	}
	for raw, want := range map[string]string{
		"file://host/dir":                     "three slashes",
		"file://user@./dir":                   "three slashes",
		"file:":                               "no directory",
		"file:///a%00b":                       "no directory",
		"file:///d?create_dir=maybe":          "create_dir",
		"file:///d?create_dir=1&create_dir=0": "create_dir",
		"file:///d?metadata=skip":             `unknown parameter "metadata"`,
		"file:///d#f":                         "fragment",
		"gs://bucket":                         "not file",
		"%":                                   "not a URL",
	} {
		_, diags := Factory().Resolve(backend(`url: "`+raw+`"`), nil)
		if err := diags.Err(); err == nil || !strings.Contains(err.Error(), want) || diags[0].Path != "storage.root.url" {
			t.Errorf("%q: %v; want %q", raw, err, want)
		}
	}
}

func TestADirectoryIsMadeOnlyIfAsked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, provider.ErrNotFound) || !strings.Contains(err.Error(), "create_dir") {
		t.Errorf("missing: %v", err)
	}
	for _, text := range []string{`url: "file://` + dir + `1?create_dir=true"`, `{url: "file://` + dir + `2", file: createDir: true}`} {
		r, diags := Factory().Resolve(backend(text), nil)
		must(t, diags.Err())
		if _, err := os.Stat(r.Attributes[0].Value); err == nil {
			t.Error("made before it is opened")
		}
		b, err := r.Open(t.Context(), provider.Env{})
		must(t, err)
		must(t, b.Close())
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := Open(Options{Dir: file}); err == nil {
		t.Error("a file is opened as a bucket")
	}
}

func TestAReaderKeepsTheVersionThatItOpened(t *testing.T) {
	_, s := open(t, t.TempDir())
	old := bytes.Repeat([]byte("old"), 100_000)
	must(t, s.PutBytes(t.Context(), "k", old))
	r, err := s.Get(t.Context(), "k")
	must(t, err)
	defer r.Close()
	must(t, s.PutBytes(t.Context(), "k", []byte("new")))
	var got bytes.Buffer
	if _, err := got.ReadFrom(r); err != nil || !bytes.Equal(got.Bytes(), old) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
}

func FuzzEncodeKey(f *testing.F) {
	for _, key := range []string{"a/b", "../x", "a//b/", "%2e%", ".", workDir + "/x", "%\x00", "/%2F", "%%41"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		path, err := encodeKey(key)
		if err != nil {
			return
		}
		if back := decodePath(path); back != key {
			t.Fatalf("%q became %q became %q", key, path, back)
		}
		if !filepath.IsLocal(path) || filepath.ToSlash(filepath.Clean(path)) != path || strings.Contains(path, "\x00") {
			t.Fatalf("%q has the path %q", key, path)
		}
		if first, _, _ := strings.Cut(path, "/"); strings.EqualFold(first, workDir) {
			t.Fatalf("%q leads to the reserved directory", key)
		}
		if blob.CheckKey(key) == nil && path != key && !strings.Contains(key, "%") && !strings.EqualFold(key[:min(len(key), len(workDir))], workDir) {
			t.Fatalf("the plain key %q is escaped: %q", key, path)
		}
	})
}
