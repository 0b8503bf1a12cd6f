package manifest_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

var update = flag.Bool("update", false, "rewrite golden files")

// sourcesOf reads a case: its comment names the sources, one a line, as in
//
//	file edp.yaml
//	overrides exchanges.d
//	env PANELMATCH__RUN__MODE=DAEMON
//	set run.mode=DAEMON
//
// Lines that begin with # say what the case is about.
func sourcesOf(t *testing.T, a *txtar.Archive) manifest.Sources {
	t.Helper()
	files := fstest.MapFS{}
	for _, f := range a.Files {
		files[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
	}
	in := manifest.Sources{
		ReadFile: func(name string) ([]byte, error) { return files.ReadFile(filepath.ToSlash(name)) },
		ReadDir:  func(name string) ([]fs.DirEntry, error) { return files.ReadDir(filepath.ToSlash(name)) },
	}
	for line := range strings.Lines(string(a.Comment)) {
		line = strings.TrimSuffix(line, "\n")
		verb, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case verb == "file":
			in.Files = append(in.Files, rest)
		case verb == "overrides":
			in.OverridesDir = rest
		case verb == "env":
			in.Environ = append(in.Environ, rest)
		case verb == "set":
			in.Set = append(in.Set, rest)
		default:
			t.Fatalf("no such source: %s", line)
		}
	}
	return in
}

const wantFile = "want"

// TestBrokenManifests holds what people see for each mistake. Read the outputs
// as the tired operator that they are for.
func TestBrokenManifests(t *testing.T) {
	for _, dir := range []string{"broken", "cuelayers"} {
		names, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
		if err != nil {
			t.Fatal(err)
		}
		if len(names) == 0 {
			t.Fatalf("no cases in %s", dir)
		}
		for _, name := range names {
			t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { runBroken(t, name) })
		}
	}
}

func runBroken(t *testing.T, name string) {
	t.Parallel()
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	kept := a.Files[:0]
	for _, f := range a.Files {
		if f.Name == wantFile {
			want = f.Data
		} else {
			kept = append(kept, f)
		}
	}
	a.Files = kept
	loaded, diags := manifest.Load(context.Background(), sourcesOf(t, a))
	var got bytes.Buffer
	if err := diags.WriteText(&got, diag.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if diags.HasErrors() == (loaded.Manifest != nil) {
		t.Errorf("has errors: %v, has a manifest: %v", diags.HasErrors(), loaded.Manifest != nil)
	}
	checkDiagnostics(t, diags)
	for _, canary := range []string{"hunter2", "hunter3"} {
		var j bytes.Buffer
		if err := diags.WriteJSON(&j); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(got.String(), canary) || strings.Contains(j.String(), canary) || strings.Contains(fmt.Sprint(diags), canary) {
			t.Errorf("the secret %s is printed", canary)
		}
	}
	if *update {
		a.Files = append(a.Files, txtar.File{Name: wantFile, Data: got.Bytes()})
		if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// checkDiagnostics checks the style of texts.
func checkDiagnostics(t *testing.T, diags diag.List) {
	t.Helper()
	if len(diags) == 0 {
		t.Error("a broken manifest has no fault")
	}
	for _, d := range diags {
		if strings.HasSuffix(d.Message, ".") && !strings.HasSuffix(d.Message, "..") || d.Message == "" {
			t.Errorf("message %q ends in a full stop, or is empty", d.Message)
		}
		if strings.Contains(d.Message, "the schema refuses this") {
			t.Errorf("%s: the loader has no sentence of its own", d.Path)
		}
		if !d.Pos.IsValid() && d.Code != diag.CodeRead {
			t.Errorf("%s: %s has no place", d.Path, d.Message)
		}
		if d.Code == "" {
			t.Errorf("%s: %s has no code", d.Path, d.Message)
		}
	}
}
