package schema_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/load"

	"github.com/panelmatch/panelmatch/schema"
)

// cueCommand is the stock cue command, at the version that go.mod names.
var cueCommand string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "panelmatch-cue-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	// `go tool cue` would do as well, and is slow when called a hundred times.
	cueCommand = filepath.Join(dir, "cue")
	if out, err := exec.Command("go", "build", "-o", cueCommand, "cuelang.org/go/cmd/cue").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the cue command: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// stock runs the cue command in dir, without a network, and returns what it
// prints and whether it was content.
func stock(t *testing.T, dir string, args ...string) (string, bool) {
	t.Helper()
	cmd := exec.Command(cueCommand, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CUE_REGISTRY=none", "CUE_CACHE_DIR="+t.TempDir(), "HTTPS_PROXY=http://127.0.0.1:1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), err == nil
}

// compile returns the schema as a CUE value.
func compile(t *testing.T) cue.Value {
	t.Helper()
	instances := load.Instances([]string{"."}, &load.Config{FS: schema.Files(), Dir: "/", ModuleRoot: "/"})
	v := cuecontext.New().BuildInstance(instances[0])
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	return v
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func glob(t *testing.T, patterns ...string) []string {
	t.Helper()
	var all []string
	for _, p := range patterns {
		names, err := filepath.Glob(p)
		if err != nil {
			t.Fatal(err)
		}
		if len(names) == 0 {
			t.Fatalf("no file is like %s", p)
		}
		all = append(all, names...)
	}
	return all
}

// definition returns what a file of that name is.
func definition(name string) string {
	if filepath.Base(filepath.Dir(name)) == "exchanges.d" || strings.HasPrefix(filepath.Base(name), "override-") {
		return "#Overrides"
	}
	return "#Deployment"
}
