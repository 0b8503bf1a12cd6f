package manifest_test

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"
)

var mutations = flag.Int("mutations", 60, "how many damaged manifests to load")

// TestDamagedManifestsAreReported loads the golden cases with random damage.
// It reaches deeper than the fuzz targets in the same time, because a load
// with coverage counters in CUE's evaluator is a hundred times slower.
func TestDamagedManifestsAreReported(t *testing.T) {
	var seeds []txtar.File
	for _, dir := range []string{"broken", "cuelayers", "effective"} {
		names, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range a.Files {
				switch filepath.Ext(f.Name) {
				case ".yaml", ".json", ".cue":
					if len(f.Data) > 0 && len(f.Data) < 4000 {
						seeds = append(seeds, f)
					}
				}
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	tokens := []string{"&a ", "*a", "<<: ", ": ", "- ", "{", "}", "[", "]", "\"", "'", "|\n", "\n", "  ", "null", "~", "!!binary ", "#", "---\n", "\x00", "é", "exchanges", "_|_", "...", "if true {", "for x in y {", "\\(", "?", "!", "1e999", "0x", "@", "`", "$"}
	for i := range *mutations {
		seed := seeds[r.IntN(len(seeds))]
		data := bytes.Clone(seed.Data)
		for range 1 + r.IntN(4) {
			at := r.IntN(len(data))
			switch r.IntN(5) {
			case 0:
				data = append(data[:at:at], append([]byte(tokens[r.IntN(len(tokens))]), data[at:]...)...)
			case 1:
				end := min(at+1+r.IntN(20), len(data))
				data = append(data[:at:at], data[end:]...)
			case 2:
				data[at] = byte(r.IntN(256))
			case 3:
				end := min(at+1+r.IntN(60), len(data))
				data = append(data[:end:end], data[at:]...)
			default:
				from := r.IntN(len(data))
				end := min(from+1+r.IntN(40), len(data))
				data = append(data[:at:at], append([]byte(string(data[from:end])), data[at:]...)...)
			}
			if len(data) == 0 {
				data = []byte("x")
			}
		}
		name := "x" + filepath.Ext(seed.Name)
		fuzzLoad(t, sources(map[string]string{"base.yaml": base, name: string(data)}, "base.yaml", name))
		if t.Failed() {
			file := filepath.Join(os.TempDir(), name)
			_ = os.WriteFile(file, data, 0o600)
			t.Fatalf("mutation %d, written to %s:\n%s", i, file, data)
		}
	}
}
