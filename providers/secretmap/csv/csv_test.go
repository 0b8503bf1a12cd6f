package csv

import (
	"encoding/base64"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue/cuecontext"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/providertest/secretmaptest"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "map.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func backend(t *testing.T, cueText string) manifest.Backend {
	t.Helper()
	v := cuecontext.New().CompileString(cueText)
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	return manifest.Backend{Name: "csv", Path: "secretMaps.rootCertificates.csv", Value: v}
}

func TestConformance(t *testing.T) {
	secretmaptest.Run(t, secretmaptest.Harness{
		ReadOnly: true,
		Open: func(t *testing.T, entries map[string][]byte) provider.SecretMap {
			var text strings.Builder
			for _, key := range slices.Sorted(maps.Keys(entries)) {
				text.WriteString(key + "," + base64.StdEncoding.EncodeToString(entries[key]) + "\n")
			}
			r, diags := Factory().Resolve(backend(t, `path: "`+write(t, text.String())+`"`), nil)
			if err := diags.Err(); err != nil {
				t.Fatal(err)
			}
			m, err := r.Open(t.Context(), provider.Env{})
			if err != nil {
				t.Fatal(err)
			}
			return m
		},
	})
}

func TestLinesAreCutAtTheFirstCommaAndMayEndInEitherWay(t *testing.T) {
	m, err := Parse([]byte("a,QQ==\r\n\nb c,QkI=\n\r\nlast,"))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"a": "A", "b c": "BB", "last": ""} {
		if v, err := m.Get(t.Context(), key); err != nil || string(v) != want {
			t.Errorf("%q = %q, %v; want %q", key, v, err, want)
		}
	}
}

func TestFaultsNameTheLineAndNothingOnIt(t *testing.T) {
	for text, want := range map[string]string{
		"a,QQ==\nSECRET":                "line 2 has no comma",
		"a,QQ==\n\n,QQ==":               "line 3 has nothing before the comma",
		"a,QQ==\na,QkI=":                "line 2 has a key that an earlier line has",
		"a,SECRET!":                     "line 1 has a value that is not base64",
		"a,QQ":                          "line 1 has a value that is not base64",
		"a,QR==":                        "line 1 has a value that is not base64",
		"a,QQ==,QQ==":                   "line 1 has a value that is not base64",
		"\xffSECRET,QQ==":               "line 1 has a key that is not valid UTF-8",
		strings.Repeat("k", 5000) + ",": "line 1 has a key of more than 4096 bytes",
	} {
		_, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%.20q: %v; want %q", text, err, want)
		}
	}
}

func TestOpenSaysWhyAFileCanNotBeRead(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "missing.csv")); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("missing: %v", err)
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("directory: %v", err)
	}
	if _, err := Open(write(t, "a")); err == nil || !strings.Contains(err.Error(), "map.csv: line 1") {
		t.Errorf("malformed: %v", err)
	}
}

func TestARelativePathResolvesAgainstTheManifest(t *testing.T) {
	path := write(t, "a,QQ==")
	b := backend(t, `path: "map.csv"`)
	b.Dir = func(...string) string { return filepath.Dir(path) }
	r, diags := Factory().Resolve(b, nil)
	if err := diags.Err(); err != nil || len(r.Attributes) != 1 || r.Attributes[0].Value != path {
		t.Errorf("attributes %v, %v", r.Attributes, err)
	}
	if _, diags := Factory().Resolve(backend(t, `path: ""`), nil); !diags.HasErrors() {
		t.Error("an empty path is accepted")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a,QQ==\nb,QkI=\r\n"))
	f.Add([]byte(",\n,,"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse(text)
		if err != nil {
			return
		}
		keys, err := m.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// What was read can be written and read again.
		var again strings.Builder
		for _, key := range keys {
			v, err := m.Get(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			again.WriteString(key + "," + base64.StdEncoding.EncodeToString(v) + "\n")
		}
		if _, err := Parse([]byte(again.String())); err != nil && len(keys) > 0 {
			t.Errorf("read once, not twice: %v", err)
		}
	})
}
