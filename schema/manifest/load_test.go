package manifest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// base is a complete manifest, on which tests build.
const base = `apiVersion: panelmatch/v1
kind: Deployment
profile: development
identity: {party: DATA_PROVIDER, id: edp1}
coordinator: {checkpoint: {}}
storage: {root: "gs://edp1-root"}
kms: local:keys/keyset.json
certificateAuthority:
  local: {rootCertificate: ca/root.pem, rootKey: file:ca/root.key}
  subject: {commonName: edp1.example, organization: Edp1, dnsName: edp1.example}
exchangeDefaults: {shared: "gs://shared-bucket"}
`

// sources serves files from memory.
func sources(files map[string]string, names ...string) manifest.Sources {
	m := fstest.MapFS{}
	for name, text := range files {
		m[strings.TrimPrefix(name, "/")] = &fstest.MapFile{Data: []byte(text)}
	}
	in := func(name string) string { return strings.TrimPrefix(filepath.ToSlash(name), "/") }
	return manifest.Sources{
		Files:    names,
		ReadFile: func(name string) ([]byte, error) { return m.ReadFile(in(name)) },
		ReadDir:  func(name string) ([]fs.DirEntry, error) { return m.ReadDir(in(name)) },
	}
}

func mustLoad(t *testing.T, in manifest.Sources) *manifest.Loaded {
	t.Helper()
	l, diags := manifest.Load(context.Background(), in)
	if diags.HasErrors() {
		t.Fatalf("load: %v", diags.Err())
	}
	return l
}

func setting(t *testing.T, l *manifest.Loaded, path string) manifest.Setting {
	t.Helper()
	for _, s := range l.Settings() {
		if s.Path == path {
			return s
		}
	}
	t.Fatalf("no setting %s", path)
	return manifest.Setting{}
}

// TestEffectiveSettings holds what each layer gives, and where it stands.
func TestEffectiveSettings(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("testdata", "effective", "*.txtar"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == wantFile })
			want := ""
			if i >= 0 {
				want = string(a.Files[i].Data)
				a.Files = slices.Delete(a.Files, i, i+1)
			}
			l := mustLoad(t, sourcesOf(t, a))
			var got bytes.Buffer
			for _, s := range l.Settings() {
				if s.Default {
					continue
				}
				fmt.Fprintf(&got, "%s = %s  (%s %s", s.Path, s.Value, s.Layer, s.Pos)
				for _, p := range s.Overridden {
					fmt.Fprintf(&got, ", not %s", p)
				}
				fmt.Fprintln(&got, ")")
			}
			if *update {
				a.Files = append(a.Files, txtar.File{Name: wantFile, Data: got.Bytes()})
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(want, got.String()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestDefaultsAreMarkedAndHaveNoPlace(t *testing.T) {
	l := mustLoad(t, sources(map[string]string{"edp.yaml": base}, "edp.yaml"))
	s := setting(t, l, "run.pollInterval")
	if !s.Default || s.Value != "1m" || s.Layer != "default" || s.Pos.IsValid() {
		t.Errorf("got %+v", s)
	}
	if l.Manifest.Run.PollInterval.Std() != time.Minute || l.Manifest.Limits.SharedBlob != 1<<30 {
		t.Errorf("defaults are not decoded: %+v %+v", l.Manifest.Run, l.Manifest.Limits)
	}
	if l.Manifest.Compute.Name != "local" {
		t.Errorf("compute left out is %q, want local", l.Manifest.Compute.Name)
	}
	var local struct {
		Workers int               `json:"workers"`
		Memory  manifest.ByteSize `json:"memory"`
	}
	if d := l.Manifest.Compute.Decode(&local); len(d) > 0 || local.Memory != 4<<30 {
		t.Errorf("compute: %+v, %v", local, d)
	}
}

func TestOverrideFromOneCloudToAnotherInheritsNothing(t *testing.T) {
	in := sources(map[string]string{
		"edp.yaml": strings.Replace(base, `{root: "gs://edp1-root"}`,
			`{root: {url: "gs://edp1-root", prefix: panel, auth: {google: {credentials: "env:GOOGLE"}}, gs: {chunkSize: 1MiB}}}`, 1),
		"prod.yaml": `storage: {root: {url: "s3://edp1-root?region=eu-west-1"}}` + "\n",
	}, "edp.yaml", "prod.yaml")
	root := mustLoad(t, in).Manifest.Root
	if root.Name != "s3" || root.URL != "s3://edp1-root?region=eu-west-1" {
		t.Errorf("root is %s %s", root.Name, root.URL)
	}
	var cfg struct {
		Prefix string         `json:"prefix"`
		Auth   map[string]any `json:"auth"`
		GS     map[string]any `json:"gs"`
	}
	if d := root.Decode(&cfg); len(d) > 0 {
		t.Fatal(d.Err())
	}
	if cfg.Prefix != "" || cfg.Auth != nil || cfg.GS != nil {
		t.Errorf("the s3:// override inherits from gs://: %+v", cfg)
	}
}

func TestMemberOfAOneOfReplacesWhicheverWasThere(t *testing.T) {
	files := map[string]string{
		"edp.yaml":     base,
		"kingdom.yaml": "coordinator: {kingdom: {target: \"k:8443\", tls: {cert: env:C, key: env:K}}}\n",
		"storage.yaml": "privateKeyProtection: {storage: {reason: the disks are encrypted and sealed}}\n",
		"kms.yaml":     "kms: local:other.json\n",
	}
	m := mustLoad(t, sources(files, "edp.yaml", "kingdom.yaml", "storage.yaml")).Manifest
	if m.Coordinator.Name != "kingdom" {
		t.Errorf("coordinator is %s", m.Coordinator.Name)
	}
	if !m.KeyProtection.KMS.IsZero() || m.KeyProtection.StorageReason == "" {
		t.Errorf("privateKeyProtection did not replace kms: %+v", m.KeyProtection)
	}
	l := mustLoad(t, sources(files, "edp.yaml", "storage.yaml", "kms.yaml"))
	if l.Manifest.KeyProtection.StorageReason != "" || l.Manifest.KeyProtection.KMS.Name != "local" {
		t.Errorf("kms did not replace privateKeyProtection: %+v", l.Manifest.KeyProtection)
	}
	if s := setting(t, l, "kms"); len(s.Overridden) != 2 {
		t.Errorf("kms replaced %v", s.Overridden)
	}
}

func TestSubjectMergesBesideTheBackendItBelongsTo(t *testing.T) {
	in := sources(map[string]string{
		"edp.yaml":  base,
		"prod.yaml": "certificateAuthority: {subject: {organization: Other}, externalSigner: {target: \"ca:1\"}}\n",
	}, "edp.yaml", "prod.yaml")
	ca := mustLoad(t, in).Manifest.CertificateAuthority
	want := manifest.Subject{CommonName: "edp1.example", Organization: "Other", DNSName: "edp1.example"}
	if ca.Subject != want || ca.Backend.Name != "externalSigner" {
		t.Errorf("got %s %+v", ca.Backend.Name, ca.Subject)
	}
}

func TestIdsWithDotsStayWhole(t *testing.T) {
	in := sources(map[string]string{
		"edp.yaml":                base + "exchanges:\n  rx: {shared: \"gs://rx\"}\n  rx.1: {shared: \"gs://rx-1\"}\n  rx.1.b: {shared: \"gs://rx-1-b\"}\n",
		"exchanges.d/rx.1.b.yaml": "exchanges: {rx.1.b: {private: \"gs://private\"}}\n",
	}, "edp.yaml")
	in.OverridesDir = "exchanges.d"
	in.Set = []string{`exchanges."rx.1".shared=gs://set`}
	x := mustLoad(t, in).Manifest.Exchanges
	got := map[string]string{}
	for id, s := range x {
		got[id] = s.Shared.URL + " " + s.Private.URL
	}
	want := map[string]string{"rx": "gs://rx ", "rx.1": "gs://set ", "rx.1.b": "gs://rx-1-b gs://private"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRelativePathsResolveAgainstTheFileThatNamesThem(t *testing.T) {
	in := sources(map[string]string{
		"/etc/panelmatch/edp.yaml": strings.Replace(base, `{root: "gs://edp1-root"}`, `{root: "file:data/root?create_dir=true"}`, 1),
		"/srv/x/rx1.yaml":          "exchanges: {rx1: {shared: \"file://./sh%20ared\", workflow: rx1.binpb, inputs: [{label: a, path: in/a}, {label: b, path: /abs/b}]}}\n",
	}, "/etc/panelmatch/edp.yaml")
	in.OverridesDir = "/srv/x"
	in.Set = []string{`exchanges.rx1.private=file:private`, `exchanges.rx1.inputs[0].path=elsewhere`}
	m := mustLoad(t, in).Manifest
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	x := m.Exchanges["rx1"]
	for _, c := range []struct{ what, got, want string }{
		{"root", m.Root.URL, "file:///etc/panelmatch/data/root?create_dir=true"},
		{"kms", m.KeyProtection.KMS.URI, "local:///etc/panelmatch/keys/keyset.json"},
		{"override", x.Shared.URL, "file:///srv/x/sh%20ared"},
		{"--set", x.Private.URL, "file://" + cwd + "/private"},
		{"workflow", x.Workflow, "/srv/x/rx1.binpb"},
		{"edited element", x.Inputs[0].Path, cwd + "/elsewhere"},
		{"absolute", x.Inputs[1].Path, "/abs/b"},
	} {
		if c.got != c.want {
			t.Errorf("%s is %s, want %s", c.what, c.got, c.want)
		}
	}
	var ca struct {
		RootCertificate string             `json:"rootCertificate"`
		RootKey         manifest.SecretRef `json:"rootKey"`
	}
	b := m.CertificateAuthority.Backend
	if d := b.Decode(&ca); len(d) > 0 {
		t.Fatal(d.Err())
	}
	if got, want := ca.RootKey.Ref(), "file:///etc/panelmatch/ca/root.key"; got != want {
		t.Errorf("secret reference is %s, want %s", got, want)
	}
	if got, want := b.Abs(ca.RootCertificate, "rootCertificate"), "/etc/panelmatch/ca/root.pem"; got != want {
		t.Errorf("path is %s, want %s", got, want)
	}
	var cfg struct {
		URL string `json:"url"`
	}
	if d := m.Root.Decode(&cfg); len(d) > 0 || cfg.URL != m.Root.URL {
		t.Errorf("a provider sees %q, %v", cfg.URL, d)
	}
}

func TestKubernetesMountOfAConfigMapWorks(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "exchanges.d", "..2026_11_24")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(data, 0o755))
	must(os.WriteFile(filepath.Join(data, "rx1.yaml"), []byte("exchanges: {rx1: {shared: \"file:shared\"}}\n"), 0o644))
	must(os.Symlink("..2026_11_24", filepath.Join(dir, "exchanges.d", "..data")))
	must(os.Symlink(filepath.Join("..data", "rx1.yaml"), filepath.Join(dir, "exchanges.d", "rx1.yaml")))
	must(os.WriteFile(filepath.Join(dir, "exchanges.d", ".rx2.yaml.swp"), []byte("x"), 0o644))
	must(os.WriteFile(filepath.Join(dir, "edp.yaml"), []byte(base), 0o644))
	l, diags := manifest.Load(context.Background(), manifest.Sources{
		Files: []string{filepath.Join(dir, "edp.yaml")}, OverridesDir: filepath.Join(dir, "exchanges.d"),
	})
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	// The path is that of the mount, not of the revision that is swapped beneath it.
	if got, want := l.Manifest.Exchanges["rx1"].Shared.URL, "file://"+filepath.Join(dir, "exchanges.d", "shared"); got != want {
		t.Errorf("shared is %s, want %s", got, want)
	}
}

func TestLoadReadsNothingButItsFiles(t *testing.T) {
	files := map[string]string{
		"/m/edp.yaml":             base,
		"/m/over.cue":             "package x\n\nimport \"github.com/panelmatch/panelmatch/schema\"\nimport \"strings\"\n\nschema.#Deployment & {run: mode: strings.ToUpper(\"daemon\")}\n",
		"/m/exchanges.d/rx1.yaml": "exchanges: {rx1: {shared: \"gs://b\"}}\n",
	}
	in := sources(files, "/m/edp.yaml", "/m/over.cue")
	in.OverridesDir = "/m/exchanges.d"
	var read []string
	readFile, readDir := in.ReadFile, in.ReadDir
	in.ReadFile = func(name string) ([]byte, error) { read = append(read, name); return readFile(name) }
	in.ReadDir = func(name string) ([]fs.DirEntry, error) { read = append(read, name); return readDir(name) }
	// Nothing on this machine is reached: a registry that does not exist would fail.
	t.Setenv("CUE_REGISTRY", "127.0.0.1:1")
	t.Setenv("HOME", "/nonexistent")
	mustLoad(t, in)
	want := []string{"/m/edp.yaml", "/m/over.cue", "/m/exchanges.d", "/m/exchanges.d/rx1.yaml"}
	if d := cmp.Diff(want, read); d != "" {
		t.Error(d)
	}
}

func TestDigestIgnoresHowSettingsAreLaidOut(t *testing.T) {
	one := mustLoad(t, sources(map[string]string{"edp.yaml": base + "run: {mode: CRON_JOB}\n"}, "edp.yaml"))
	in := sources(map[string]string{"a.yaml": base, "b.json": `{"run": {"pollInterval": "1m"}}`}, "a.yaml", "b.json")
	in.Environ = []string{"PANELMATCH__RUN__MODE=CRON_JOB", "PANELMATCH_PORT=tcp://10.0.0.1:80"}
	two := mustLoad(t, in)
	if one.Digest() != two.Digest() || len(one.Digest()) != 64 {
		t.Errorf("digests %s and %s", one.Digest(), two.Digest())
	}
	in.Set = []string{"run.mode=DAEMON"}
	if mustLoad(t, in).Digest() == one.Digest() {
		t.Error("another setting has the same digest")
	}
}

func TestInputIsBounded(t *testing.T) {
	files := map[string]string{"edp.yaml": base}
	cases := map[string]func(*manifest.Sources){
		"is larger than 4 MiB": func(in *manifest.Sources) {
			in.ReadFile = func(string) ([]byte, error) { return make([]byte, 5<<20), nil }
		},
		"more than 10000 files": func(in *manifest.Sources) {
			in.OverridesDir = "d"
			in.ReadDir = func(string) ([]fs.DirEntry, error) {
				m := fstest.MapFS{}
				for i := range 10001 {
					m[fmt.Sprintf("rx%d.yaml", i)] = &fstest.MapFile{}
				}
				return m.ReadDir(".")
			}
			in.ReadFile = func(name string) ([]byte, error) { return []byte(files[name]), nil }
		},
		"more than 32 MiB": func(in *manifest.Sources) {
			big := []byte("{}" + strings.Repeat(" ", 4<<20-2))
			in.Files = slices.Repeat([]string{"a.json"}, 50)
			in.ReadFile = func(string) ([]byte, error) { return big, nil }
		},
	}
	for want, change := range cases {
		t.Run(want, func(t *testing.T) {
			in := sources(files, "edp.yaml")
			change(&in)
			_, diags := manifest.Load(context.Background(), in)
			if err := diags.Err(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %.300v", err)
			}
		})
	}
}

func TestDeepNestingIsRefusedInEveryFormat(t *testing.T) {
	deep := strings.Repeat(`{"a": `, 100000) + "1" + strings.Repeat("}", 100000)
	for _, name := range []string{"m.yaml", "m.json", "m.cue"} {
		for _, text := range []string{deep, "a: " + strings.Repeat("[", 200000), "a: " + strings.Repeat("-", 200000) + "1", strings.Repeat("a: ", 200000) + "1"} {
			_, diags := manifest.Load(context.Background(), sources(map[string]string{name: text}, name))
			if !diags.HasErrors() {
				t.Errorf("%s of %d nested levels is accepted", name, 100000)
			}
		}
	}
}

func TestCancelledLoadSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, diags := manifest.Load(ctx, sources(map[string]string{"edp.yaml": base}, "edp.yaml"))
	if err := diags.Err(); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("got %v", err)
	}
}

func TestUnreadableFileSaysWhy(t *testing.T) {
	in := sources(nil, "edp.yaml")
	in.ReadFile = func(name string) ([]byte, error) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	_, diags := manifest.Load(context.Background(), in)
	if err := diags.Err(); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("got %v", err)
	}
	in.ReadFile = func(string) ([]byte, error) { return nil, errors.New("input/output error") }
	_, diags = manifest.Load(context.Background(), in)
	if err := diags.Err(); err == nil || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("got %v", err)
	}
}

func TestSecretsOfCustomSettingsAreNotExplained(t *testing.T) {
	text := strings.Replace(base, "local: {rootCertificate: ca/root.pem, rootKey: file:ca/root.key}",
		`custom: {name: acme, settings: {apiToken: hunter2, nested: {password: [hunter3], user: env:USER}, url: "https://root:hunter4@host/?token=hunter5"}}`, 1)
	l := mustLoad(t, sources(map[string]string{"edp.yaml": text}, "edp.yaml"))
	all := fmt.Sprint(l.Settings())
	for _, canary := range []string{"hunter2", "hunter3", "hunter4", "hunter5"} {
		if strings.Contains(all, canary) {
			t.Errorf("%s is printed", canary)
		}
	}
	if !strings.Contains(all, "env:USER") {
		t.Error("a reference is hidden")
	}
}

func TestDiagnosticsOfOthersGetTheirSourceLine(t *testing.T) {
	text := base + "exchanges: {rx1: {shared: {url: \"s3://u\", auth: {aws: {accessKeyID: env:ID, secretAccessKey: env:KEY}}}}}\n"
	l := mustLoad(t, sources(map[string]string{"edp.yaml": text}, "edp.yaml"))
	pos := l.Manifest.Pos("exchanges", "rx1", "shared")
	if pos.Line != 12 {
		t.Fatalf("place is %s", pos)
	}
	out := l.WithSource(diag.List{{Message: "nobody answers", Pos: pos}, {Message: "elsewhere", Pos: diag.Position{File: "x", Line: 3}}})
	if !strings.HasPrefix(out[0].Source, "exchanges: {rx1") || out[1].Source != "" {
		t.Errorf("got %q, %q", out[0].Source, out[1].Source)
	}
}

func TestIdentityIsCutToTheBareID(t *testing.T) {
	text := strings.Replace(base, "id: edp1", "id: dataProviders/edp1", 1)
	id := mustLoad(t, sources(map[string]string{"edp.yaml": text}, "edp.yaml")).Manifest.Identity
	if id.ID != "edp1" || id.ResourceName() != "dataProviders/edp1" {
		t.Errorf("got %+v", id)
	}
}

func TestSourcesAreListedInOrder(t *testing.T) {
	in := sources(map[string]string{"edp.yaml": base, "d/rx1.yaml": "exchanges: {rx1: {shared: \"gs://b\"}}\n"}, "edp.yaml")
	in.OverridesDir, in.Environ, in.Set = "d", []string{"PANELMATCH__RUN__MODE=DAEMON"}, []string{"run.mode=CRON_JOB"}
	want := []manifest.Source{
		{Name: "edp.yaml", Layer: "file"},
		{Name: "d/rx1.yaml", Layer: "overrides"},
		{Name: "env PANELMATCH__RUN__MODE", Layer: "environment"},
		{Name: "--set #1", Layer: "--set"},
	}
	if d := cmp.Diff(want, mustLoad(t, in).Sources()); d != "" {
		t.Error(d)
	}
}
