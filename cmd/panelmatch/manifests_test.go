package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/panelmatch/panelmatch/cmd/panelmatch/internal/cli"
)

type vetReport struct {
	OK          bool `json:"ok"`
	Diagnostics []struct {
		Severity string `json:"severity"`
		Code     string `json:"code"`
		Message  string `json:"message"`
		Pos      struct {
			File string `json:"file"`
		} `json:"pos"`
	} `json:"diagnostics"`
}

// vet runs `panelmatch vet` on paths, with nothing of this process's environment.
func vet(t *testing.T, paths ...string) (vetReport, int) {
	t.Helper()
	var out, errOut bytes.Buffer
	code := cli.Run(t.Context(), append([]string{"vet", "-o", "json"}, paths...), cli.Env{
		In: strings.NewReader(""), Out: &out, Err: &errOut, Providers: providers(), Version: "test",
	})
	var r vetReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("vet %v: %v\n%s%s", paths, err, out.String(), errOut.String())
	}
	return r, code
}

// A manifest that the stock cue command refuses is refused here too, and so is one that only this
// program can find fault with.
func TestBrokenManifestsAreRefused(t *testing.T) {
	for _, kind := range []string{"schema", "semantic"} {
		dir := top + "/schema/testdata/broken/" + kind
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) == 0 {
			t.Fatalf("%s: %v", dir, err)
		}
		for _, e := range entries {
			if !e.IsDir() && filepath.Ext(e.Name()) != ".yaml" {
				continue
			}
			t.Run(kind+"/"+e.Name(), func(t *testing.T) {
				path := filepath.Join(dir, e.Name())
				text, err := os.ReadFile(path)
				if e.IsDir() {
					text, err = os.ReadFile(filepath.Join(path, "deployment.yaml"))
				}
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(text), "#Overrides") {
					return // vetted as an override by the loader's own tests
				}
				r, code := vet(t, path)
				if code != 1 || r.OK {
					t.Errorf("exit code %d, report %+v", code, r)
				}
				for _, d := range r.Diagnostics {
					if d.Severity == "error" && d.Pos.File == "" {
						t.Errorf("a fault without a place: %s", d.Message)
					}
				}
			})
		}
	}
}

// Every shipped manifest is good. Those for products whose provider is not in this build are good but
// for that.
func TestShippedManifestsAreGood(t *testing.T) {
	var found int
	err := filepath.WalkDir(top+"/manifests", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(top+"/manifests", path)
		if e.IsDir() && (e.Name() == "exchanges.d" || e.Name() == "data" || rel == "workflows" || rel == "kubernetes") {
			return fs.SkipDir
		}
		if e.IsDir() || filepath.Ext(path) != ".yaml" {
			return nil
		}
		found++
		args := []string{path}
		if overrides := filepath.Join(filepath.Dir(path), "exchanges.d"); exists(overrides) {
			args = append(args, "--overrides", overrides)
		}
		r, _ := vet(t, args...)
		for _, d := range r.Diagnostics {
			later := d.Code == "not-in-this-build" && !strings.HasPrefix(rel, "quickstart")
			if d.Severity == "error" && !later {
				t.Errorf("%s: %s: %s", rel, d.Code, d.Message)
			}
		}
		return nil
	})
	if err != nil || found < 6 {
		t.Errorf("%d manifests: %v", found, err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
