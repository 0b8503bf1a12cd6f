package manifest_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// addCases seeds a fuzz target with the files of the golden cases.
func addCases(f *testing.F, ext string) {
	f.Helper()
	for _, pattern := range []string{"broken", "cuelayers", "effective"} {
		names, err := filepath.Glob(filepath.Join("testdata", pattern, "*.txtar"))
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			a, err := txtar.ParseFile(name)
			if err != nil {
				f.Fatal(err)
			}
			for _, x := range a.Files {
				if filepath.Ext(x.Name) == ext && len(x.Data) < 4000 {
					f.Add(x.Data)
				}
			}
		}
	}
}

// fuzzLoad loads hostile bytes as one layer on top of a good manifest: there
// is no panic, every fault has a place, and all can be printed.
func fuzzLoad(t *testing.T, in manifest.Sources) {
	t.Helper()
	loaded, diags := manifest.Load(context.Background(), in)
	if loaded == nil || diags.HasErrors() == (loaded.Manifest != nil) {
		t.Fatalf("manifest and faults don't go together: %v", diags)
	}
	for _, d := range diags {
		if !d.Pos.IsValid() || d.Message == "" || d.Code == "" {
			t.Errorf("fault without place, sentence or code: %+v", d)
		}
	}
	var b bytes.Buffer
	if err := diags.WriteText(&b, diag.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := diags.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	if loaded.Manifest != nil {
		_ = loaded.Settings()
		if loaded.Digest() == "" {
			t.Error("a good manifest has no digest")
		}
	}
}

func FuzzLoadYAML(f *testing.F) {
	addCases(f, ".yaml")
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("? {a: b}\n: c\n"))
	f.Add([]byte("exchanges: {\"\\0\": {}, \"\\x01\": {}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzLoad(t, sources(map[string]string{"base.yaml": base, "x.yaml": string(data)}, "base.yaml", "x.yaml"))
	})
}

func FuzzLoadJSON(f *testing.F) {
	addCases(f, ".json")
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzLoad(t, sources(map[string]string{"base.yaml": base, "x.json": string(data)}, "base.yaml", "x.json"))
	})
}

func FuzzLoadCUE(f *testing.F) {
	addCases(f, ".cue")
	f.Fuzz(func(t *testing.T, data []byte) {
		// CUE is a language: multiplying strings and lists takes the memory that it is told to take.
		// What is fuzzed here is our reading of what comes out.
		if len(data) > 2000 || bytes.ContainsAny(data, "*") || bytes.Contains(data, []byte("import \"")) && !bytes.Contains(data, []byte("panelmatch")) {
			return
		}
		fuzzLoad(t, sources(map[string]string{"base.yaml": base, "x.cue": string(data)}, "base.yaml", "x.cue"))
	})
}

func FuzzSet(f *testing.F) {
	for _, s := range []string{"run.mode=DAEMON", `exchanges."rx.1".shared={url: "gs://b", prefix: x}`, "trust.allow[0]=anyOwner", "storage.root.auth.aws=x", "a[-1]=1", "[0]=1", "=", `"a=b"=c`, "run=*x", "kms.custom.settings.a.b[0].c=1"} {
		f.Add(s, "RUN__MODE", "DAEMON")
	}
	f.Add("run.mode=DAEMON", "TRUST__ALLOW__0", "[")
	f.Fuzz(func(t *testing.T, set, name, value string) {
		in := sources(map[string]string{"base.yaml": base, "exchanges.d/rx1.yaml": "exchanges: {rx1: {shared: gs://b}}"}, "base.yaml")
		in.OverridesDir = "exchanges.d"
		in.Set = []string{set}
		in.Environ = []string{manifest.EnvironmentPrefix + name + "=" + value}
		fuzzLoad(t, in)
	})
}

// FuzzSecretIsNeverPrinted puts a canary below keys that nobody knows, and
// where references belong.
func FuzzSecretIsNeverPrinted(f *testing.F) {
	f.Add("token", "auth")
	f.Add("tokne: x, b", "a: &a b\n  c")
	f.Add("- token", "[")
	f.Add("\"t\\n", "'")
	f.Fuzz(func(t *testing.T, key, outer string) {
		const canary = "xyzzy9canary"
		if strings.Contains(key+outer, "#") {
			return // a comment is no value
		}
		text := "certificateAuthority:\n  vaultPKI:\n    " + outer + ":\n      " + key + ": " + canary + "\n"
		_, diags := manifest.Load(context.Background(), sources(map[string]string{"base.yaml": base, "x.yaml": text}, "base.yaml", "x.yaml"))
		var b bytes.Buffer
		if err := diags.WriteText(&b, diag.TextOptions{}); err != nil {
			t.Fatal(err)
		}
		known := strings.Contains(key+outer, "address") || strings.Contains(key+outer, "mount") || strings.Contains(key+outer, "role") ||
			strings.Contains(key+outer, "issuer") || strings.Contains(key+outer, "namespace") || strings.Contains(key+outer, "serverName")
		if !known && strings.Contains(b.String(), canary) {
			t.Errorf("the canary is printed:\n%s\n%s", text, b.String())
		}
	})
}

func FuzzFormat(f *testing.F) {
	addCases(f, ".yaml")
	for _, name := range []string{"manifest.in.yaml", "comments.in.yaml"} {
		data, err := os.ReadFile(filepath.Join("testdata", "format", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := manifest.Format("x.yaml", data)
		if err != nil {
			return
		}
		again, err := manifest.Format("x.yaml", out)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("not idempotent: %v\n%q\n%q\n%q", err, data, out, again)
		}
	})
}
