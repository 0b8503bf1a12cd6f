package directory

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"cuelang.org/go/cue/cuecontext"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/providertest/secretmaptest"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

func put(t *testing.T, dir, name string, value []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), value, 0o600); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func openT(t *testing.T, opts Options) *Map {
	t.Helper()
	m, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func harness(writable bool) secretmaptest.Harness {
	return secretmaptest.Harness{
		ReadOnly: !writable,
		Open: func(t *testing.T, entries map[string][]byte) provider.SecretMap {
			dir := t.TempDir()
			for key, value := range entries {
				name, err := FileName(key)
				if err != nil {
					t.Fatal(err)
				}
				put(t, dir, name, value)
			}
			text := `path: "` + dir + `"`
			if writable {
				text += "\nwritable: true"
			}
			v := cuecontext.New().CompileString(text)
			r, diags := Factory().Resolve(manifest.Backend{Name: "directory", Value: v}, nil)
			if err := diags.Err(); err != nil {
				t.Fatal(err)
			}
			m, err := r.Open(t.Context(), provider.Env{})
			if err != nil {
				t.Fatal(err)
			}
			return m
		},
	}
}

func TestConformance(t *testing.T) {
	t.Run("read-only", func(t *testing.T) { secretmaptest.Run(t, harness(false)) })
	t.Run("writable", func(t *testing.T) { secretmaptest.Run(t, harness(true)) })
}

// mount lays a directory out as Kubernetes mounts a Secret, and returns a
// function that swaps its content in one step.
func mount(t *testing.T, dir string) (swap func(version string, files map[string]string)) {
	t.Helper()
	return func(version string, files map[string]string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, value := range files {
			put(t, filepath.Join(dir, version), name, []byte(value))
		}
		link(t, version, filepath.Join(dir, "..data_tmp"))
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		for name := range files {
			if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
				link(t, filepath.Join("..data", name), filepath.Join(dir, name))
			}
		}
	}
}

func TestAMountedSecretIsReadThroughItsLinksAndSeenToChange(t *testing.T) {
	dir := t.TempDir()
	swap := mount(t, dir)
	swap("..2024_01", map[string]string{"dataProviders..abc": "old", "x": "1"})
	m := openT(t, Options{Path: dir})
	for _, want := range []string{"old", "new"} {
		if want == "new" {
			swap("..2024_02", map[string]string{"dataProviders..abc": "new", "x": "2"})
		}
		if v, err := m.Get(t.Context(), "dataProviders/abc"); err != nil || string(v) != want {
			t.Errorf("Get = %q, %v; want %q", v, err, want)
		}
		if keys, err := m.List(t.Context()); err != nil || !slices.Equal(keys, []string{"dataProviders/abc", "x"}) {
			t.Errorf("List = %q, %v", keys, err)
		}
	}
}

func TestGetDuringSwapsSeesOldOrNew(t *testing.T) {
	dir := t.TempDir()
	swap := mount(t, dir)
	values := []string{strings.Repeat("a", 50_000), strings.Repeat("b", 60_000)}
	swap("..v0", map[string]string{"x": values[0]})
	m := openT(t, Options{Path: dir})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			v, err := m.Get(t.Context(), "x")
			if err != nil || !slices.Contains(values, string(v)) {
				t.Errorf("Get = %d bytes, %v", len(v), err)
				return
			}
		}
	})
	for i := range 30 {
		swap("..v"+strings.Repeat("1", i+1), map[string]string{"x": values[i%2]})
	}
	close(stop)
	wg.Wait()
}

func TestLinksThatLeadOutAreNotFollowed(t *testing.T) {
	outside := t.TempDir()
	put(t, outside, "secret", []byte("outside"))
	dir := t.TempDir()
	link(t, filepath.Join(outside, "secret"), filepath.Join(dir, "absolute"))
	link(t, filepath.Join("..", filepath.Base(outside), "secret"), filepath.Join(dir, "relative"))
	link(t, outside, filepath.Join(dir, "..data"))
	link(t, "..data/secret", filepath.Join(dir, "through"))
	link(t, "loop", filepath.Join(dir, "loop"))
	m := openT(t, Options{Path: dir})
	for _, key := range []string{"absolute", "relative", "through", "loop"} {
		if v, err := m.Get(t.Context(), key); err == nil {
			t.Errorf("Get(%q) = %q", key, v)
		}
	}
	if keys, err := m.List(t.Context()); err != nil || len(keys) != 0 {
		t.Errorf("List = %q, %v", keys, err)
	}
}

func TestOnlyRegularFilesOfPlainNamesAreEntries(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, ".hidden", nil)
	put(t, dir, "a...b", nil)
	put(t, dir, "ends..", nil)
	put(t, dir, "good", nil)
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	m := openT(t, Options{Path: dir})
	if keys, err := m.List(t.Context()); err != nil || !slices.Equal(keys, []string{"good"}) {
		t.Errorf("List = %q, %v", keys, err)
	}
	if _, err := m.Get(t.Context(), "sub"); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("Get of a directory: %v", err)
	}
}

func TestAValueAtTheLimitPassesAndOneByteMoreDoesNot(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "full", make([]byte, MaxValue))
	put(t, dir, "over", make([]byte, MaxValue+1))
	m := openT(t, Options{Path: dir, Writable: true})
	if v, err := m.Get(t.Context(), "full"); err != nil || len(v) != MaxValue {
		t.Errorf("full: %d bytes, %v", len(v), err)
	}
	if _, err := m.Get(t.Context(), "over"); !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("over: %v", err)
	}
	if err := m.Put(t.Context(), "new", make([]byte, MaxValue+1)); !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("Put: %v", err)
	}
}

func TestPutLeavesNothingButTheFile(t *testing.T) {
	dir := t.TempDir()
	m := openT(t, Options{Path: dir, Writable: true})
	if err := m.Put(t.Context(), "dataProviders/abc", []byte("v")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "dataProviders..abc" {
		t.Fatalf("the directory has %v, %v", entries, err)
	}
	if info, err := entries[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestADirectoryThatIsNotThereIsSaidSo(t *testing.T) {
	if _, err := Open(Options{Path: filepath.Join(t.TempDir(), "no")}); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("missing: %v", err)
	}
}

func FuzzFileName(f *testing.F) {
	f.Add("dataProviders/abc")
	f.Add("a./.b")
	f.Add("..")
	f.Fuzz(func(t *testing.T, key string) {
		name, err := FileName(key)
		if err != nil {
			return
		}
		if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\x00\\") {
			t.Fatalf("%q has the file %q", key, name)
		}
		if back, ok := keyOf(name); !ok || back != key {
			t.Fatalf("%q became %q became %q", key, name, back)
		}
	})
}
