package manifest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

const customCA = `custom:
    name: acme
    settings:
      endpoint: acme.example:443
      timeout: 30 parsecs
      retries: many
      tokne: x
      pool: {sise: 3}
      key: file:acme.key
      keys: [file:a.key, env:B]
      archive: {url: file:archive, prefix: a}
      wrap: local:wrap.json`

type acmeConfig struct {
	Endpoint string               `json:"endpoint"`
	Timeout  manifest.Duration    `json:"timeout"`
	Retries  int                  `json:"retries"`
	Token    string               `json:"token"`
	Pool     struct{ Size int }   `json:"pool"`
	Key      manifest.SecretRef   `json:"key"`
	Keys     []manifest.SecretRef `json:"keys"`
	Archive  map[string]any       `json:"archive"`
	Wrap     string               `json:"wrap"`
}

func custom(t *testing.T) manifest.Backend {
	t.Helper()
	text := strings.Replace(base, "local: {rootCertificate: ca/root.pem, rootKey: file:ca/root.key}", customCA, 1)
	b := mustLoad(t, sources(map[string]string{"/etc/pm/edp.yaml": text}, "/etc/pm/edp.yaml")).Manifest.CertificateAuthority.Backend
	own, ok := b.Custom()
	if !ok || own.Name != "acme" {
		t.Fatalf("custom backend is %q, %v", own.Name, ok)
	}
	return own
}

func TestFaultsOfAProvidersOwnSettingsAreLocated(t *testing.T) {
	var cfg acmeConfig
	diags := custom(t).DecodeStrict(&cfg)
	var got []string
	for _, d := range diags {
		got = append(got, fmt.Sprintf("%d:%d %s %s %s", d.Pos.Line, d.Pos.Column, d.Code, d.Path, d.DidYouMean))
	}
	want := []string{
		`13:16 bad-value certificateAuthority.custom.settings.timeout `,
		`14:16 bad-value certificateAuthority.custom.settings.retries `,
		`15:14 unknown-setting certificateAuthority.custom.settings.tokne token`,
		`16:20 unknown-setting certificateAuthority.custom.settings.pool.sise Size`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s\n%v", d, diags.Err())
	}
	if want := `does not fit: "30 parsecs" has a number without one of the units`; len(diags) > 0 && !strings.HasPrefix(diags[0].Message, want) {
		t.Errorf("message %q, want %q...", diags[0].Message, want)
	}
}

func TestPathsOfAProvidersOwnSettingsResolve(t *testing.T) {
	b := custom(t)
	var cfg struct {
		Key  manifest.SecretRef   `json:"key"`
		Keys []manifest.SecretRef `json:"keys"`
	}
	if d := b.Decode(&cfg); len(d) > 0 {
		t.Fatal(d.Err())
	}
	if cfg.Key.Ref() != "file:///etc/pm/acme.key" || cfg.Keys[0].Ref() != "file:///etc/pm/a.key" || cfg.Keys[1].Ref() != "env:B" {
		t.Errorf("references %v %v", cfg.Key, cfg.Keys)
	}
	s, ok := b.Storage("archive")
	if !ok || s.URL != "file:///etc/pm/archive" || s.Name != "file" || s.Path != "certificateAuthority.custom.settings.archive" {
		t.Errorf("storage %v %+v", ok, s.URL)
	}
	var spec struct{ URL, Prefix string }
	if d := s.Decode(&spec); len(d) > 0 || spec.URL != s.URL || spec.Prefix != "a" {
		t.Errorf("storage settings %+v %v", spec, d)
	}
	if s.At("prefix").Line != 19 {
		t.Errorf("prefix is at %s", s.At("prefix"))
	}
	k, ok := b.KMS("wrap")
	if !ok || k.URI != "local:///etc/pm/wrap.json" || k.Name != "local" {
		t.Errorf("kms %v %+v", ok, k.URI)
	}
	var kms struct {
		URI string `json:"uri"`
	}
	if d := k.Decode(&kms); len(d) > 0 || kms.URI != k.URI {
		t.Errorf("kms settings %+v %v", kms, d)
	}
	if _, ok := b.Storage("nothing"); ok {
		t.Error("found a storage that is not there")
	}
	if _, ok := b.Sub("pool").Custom(); ok {
		t.Error("a part of a backend is custom")
	}
}

func TestBackendTellsThePlaceOfASettingOrOfWhatIsAboveIt(t *testing.T) {
	m := mustLoad(t, sources(map[string]string{"edp.yaml": base}, "edp.yaml")).Manifest
	b := m.CertificateAuthority.Backend
	for _, c := range []struct {
		path []string
		want string
	}{
		{nil, "edp.yaml:9:3"}, {[]string{"rootKey"}, "edp.yaml:9:50"}, {[]string{"createIfMissing"}, "edp.yaml:9:3"},
	} {
		if got := b.At(c.path...).String(); got != c.want {
			t.Errorf("%v is at %s, want %s", c.path, got, c.want)
		}
	}
	if got := m.Root.At("url").String(); got != "edp.yaml:6:17" {
		t.Errorf("the URL of a short form is at %s", got)
	}
	d := b.Fault(diag.CodeRule, "is too old", "rootCertificate")
	if d.Error() != "edp.yaml:9:28: certificateAuthority.local.rootCertificate: is too old" {
		t.Errorf("fault %q", d.Error())
	}
	if b.Pos() != b.At() || (manifest.Backend{}).Pos().IsValid() {
		t.Error("Pos is not At()")
	}
}

func TestDecodingNothingIsAFault(t *testing.T) {
	var cfg struct{}
	if d := (manifest.Backend{Name: "x"}).Decode(&cfg); !d.HasErrors() {
		t.Error("a backend without settings decodes")
	}
}

func TestSecretsAreReadWhenAskedFor(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "file://" + file
	}
	t.Setenv("PANELMATCH_TEST_SECRET", "hunter2\n")
	t.Setenv("PANELMATCH_TEST_EMPTY", "")
	for _, c := range []struct{ ref, want string }{
		{write("plain", "hunter2"), "hunter2"},
		{write("newline", "hunter2\n"), "hunter2"},
		{write("crlf", "hunter2\r\n"), "hunter2"},
		{write("two", "hunter2\n\n"), "hunter2\n"},
		{write("pem", "-----BEGIN X-----\nAA==\n-----END X-----\n"), "-----BEGIN X-----\nAA==\n-----END X-----"},
		{write("a%20b", "percent"), "percent"},
		{"env:PANELMATCH_TEST_SECRET", "hunter2"},
	} {
		s, err := manifest.ResolveSecret(context.Background(), manifest.NewSecretRef(c.ref))
		if err != nil {
			t.Errorf("%s: %v", c.ref, err)
			continue
		}
		if string(s.Reveal()) != c.want {
			t.Errorf("%s is %q, want %q", c.ref, s.Reveal(), c.want)
		}
		if text := fmt.Sprintf("%v %s %q %#v %x %+v", s, s, s, s, s, struct{ S manifest.Secret }{s}); strings.Contains(text, "hunter") || strings.Contains(text, "68756e") {
			t.Errorf("the secret is printed: %s", text)
		}
	}
	for _, c := range []struct {
		ref, want string
		is        error
	}{
		{"file:///nonexistent/secret", "no such file", fs.ErrNotExist},
		{"env:PANELMATCH_TEST_UNSET", "is not set", fs.ErrNotExist},
		{"env:PANELMATCH_TEST_EMPTY", "is empty", nil},
		{write("empty", ""), "is empty", nil},
		{write("only-newline", "\n"), "is empty", nil},
		{write("large", strings.Repeat("x", 1<<20+1)), "larger than 1048576 bytes", nil},
		{"file:relative", "is not absolute", nil},
		{"file://" + dir, "directory", nil},
		{"hunter2", "is not of the form", nil},
		{"", "is not of the form", nil},
	} {
		_, err := manifest.ResolveSecret(context.Background(), manifest.NewSecretRef(c.ref))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.ref, err, c.want)
			continue
		}
		if c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v is not %v", c.ref, err, c.is)
		}
		if strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "xxxx") {
			t.Errorf("the error holds the secret: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := manifest.ResolveSecret(ctx, manifest.NewSecretRef("env:PANELMATCH_TEST_SECRET")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestDurationsAreReadWhole(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "1m": time.Minute, "23h30m": 23*time.Hour + 30*time.Minute, "14d": 14 * 24 * time.Hour,
		"1d12h": 36 * time.Hour, "500ms": 500 * time.Millisecond, "10ns": 10, "1.5h": 90 * time.Minute, "0s": 0,
		"0.000000001s": 1, "1m1m": 2 * time.Minute, "106751d": 106751 * 24 * time.Hour,
	} {
		got, err := manifest.ParseDuration(text)
		if err != nil || got.Std() != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "0", "30", "s", "1 m", "-1s", "+1s", "1.s", ".5s", "1.5", "1h ", " 1h", "1y", "1H", "1us", "30 seconds",
		"1h30", "106752d", "99999999999999999999s", "9223372036s9223372036s", "1.1234567890s", "1e3s", "١s",
	} {
		if got, err := manifest.ParseDuration(text); err == nil {
			t.Errorf("%q is read as %s", text, got)
		}
	}
}

func TestSizesAreReadWhole(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "512": 512, "512B": 512, "1kB": 1000, "1KB": 1000, "1MB": 1e6, "1GB": 1e9, "1TB": 1e12,
		"1KiB": 1024, "64MiB": 64 << 20, "1GiB": 1 << 30, "1TiB": 1 << 40, "9223372036854775807": 1<<63 - 1,
	} {
		got, err := manifest.ParseByteSize(text)
		if err != nil || got.Bytes() != want {
			t.Errorf("%s is %d, %v; want %d", text, got.Bytes(), err, want)
		}
	}
	for _, text := range []string{"", "MB", "1 MB", "-1", "+1", "1.5MB", "1mb", "1Mb", "1M", "9223372036854775808", "9007199254740992KiB", "1MBs", "0x10", "1_000"} {
		if got, err := manifest.ParseByteSize(text); err == nil {
			t.Errorf("%q is read as %d", text, got.Bytes())
		}
	}
	for text, want := range map[string]manifest.ByteSize{`1024`: 1024, `"64MiB"`: 64 << 20} {
		var got manifest.ByteSize
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("JSON %s is %d, %v", text, got, err)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"90s", "23h30m", "14d", "1.5h", "", "9223372036854775807ns", "1d1h1m1s1ms1ns"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := manifest.ParseDuration(text)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("%q is negative: %s", text, d)
		}
		again, err := d.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back manifest.Duration
		if err := back.UnmarshalText(again); err != nil || back != d {
			t.Fatalf("%q is %d, written %s, read %d, %v", text, d, again, back, err)
		}
	})
}

func FuzzParseByteSize(f *testing.F) {
	for _, s := range []string{"512", "1MB", "64MiB", "", "9223372036854775807", "8388607TiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := manifest.ParseByteSize(text)
		if err != nil {
			return
		}
		back, err := manifest.ParseByteSize(s.String())
		if err != nil || s < 0 || back != s {
			t.Fatalf("%q is %d, written %s, read %d, %v", text, s.Bytes(), s, back.Bytes(), err)
		}
	})
}

func TestFormat(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("testdata", "format", "*.in.*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			in, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got, err := manifest.Format(name, in)
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.Replace(name, ".in.", ".out.", 1)
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			again, err := manifest.Format(name, got)
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("formatting twice is not formatting once: %v\n%s", err, cmp.Diff(string(got), string(again)))
			}
		})
	}
}

func TestFormatRefusesWhatItCanNotKeep(t *testing.T) {
	for name, text := range map[string]string{
		"a.toml": "x = 1\n",
		"a.yaml": "a: [\n",
		"b.yaml": "a: 1\na: 2\n",
		"c.yaml": "a: 1\n---\nb: 2\n",
		"a.json": "{\"a\": }",
		"a.cue":  "a: {",
		"d.yaml": "a: \xff\n",
	} {
		if out, err := manifest.Format(name, []byte(text)); err == nil {
			t.Errorf("%s %q is formatted as %q", name, text, out)
		}
	}
	_, err := manifest.Format("b.yaml", []byte("a: 1\na: 2\n"))
	if diags := diag.FromError(err); len(diags) != 1 || diags[0].Pos.Line != 2 {
		t.Errorf("a duplicate key is reported as %v", err)
	}
}
