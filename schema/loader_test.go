package schema_test

// What panelmatch's own loader makes of the same documents: one mistake is one
// fault, in the file that has it.

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

func TestLoaderTellsEachMistakeOnce(t *testing.T) {
	for _, name := range glob(t, "testdata/broken/schema/*.yaml") {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			src := manifest.Sources{Files: []string{name}}
			blamed := name
			if definition(name) == "#Overrides" {
				dir := t.TempDir()
				blamed = filepath.Join(dir, "rx1.yaml")
				write(t, blamed, read(t, name))
				src = manifest.Sources{Files: []string{"../manifests/quickstart/edp.yaml"}, OverridesDir: dir}
			}
			loaded, list := manifest.Load(t.Context(), src)
			if loaded != nil && loaded.Manifest != nil {
				t.Error("there is a manifest in spite of the mistake")
			}
			if errs, _ := list.Count(); errs != 1 {
				t.Fatalf("want one fault, got:\n%v", list.Err())
			}
			if got := list[0].Pos; got.File != blamed || got.Line == 0 {
				t.Errorf("the fault is at %q, want a line of %s", got, blamed)
			}
			if text := show(t, list); strings.Contains(text, "hunter2") {
				t.Errorf("a secret is shown:\n%s", text)
			}
		})
	}
}

func TestLoaderAcceptsExamples(t *testing.T) {
	for _, dir := range []string{"gcp", "aws", "azure", "vault", "quickstart"} {
		for _, name := range glob(t, "../manifests/"+dir+"/*.yaml") {
			src := manifest.Sources{Files: []string{name}}
			if overrides, _ := filepath.Glob("../manifests/" + dir + "/exchanges.d"); len(overrides) == 1 {
				src.OverridesDir = overrides[0]
			}
			if _, list := manifest.Load(t.Context(), src); len(list) > 0 {
				t.Errorf("%s:\n%s", name, show(t, list))
			}
		}
	}
}

func TestLoaderReadsManifestInCUE(t *testing.T) {
	loaded, list := manifest.Load(t.Context(), manifest.Sources{Files: []string{"testdata/cue/deployment.cue"}})
	if len(list) > 0 {
		t.Fatal(show(t, list))
	}
	if n := len(loaded.Manifest.Exchanges); n != 2 {
		t.Errorf("%d exchanges, want 2", n)
	}
}

func show(t *testing.T, list diag.List) string {
	t.Helper()
	var b strings.Builder
	if err := list.WriteText(&b, diag.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
