package check_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"gocloud.dev/blob/fileblob"
	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/check"
	"github.com/panelmatch/panelmatch/engine/graph"
	"github.com/panelmatch/panelmatch/engine/provider"
	calocal "github.com/panelmatch/panelmatch/providers/ca/local"
	kmslocal "github.com/panelmatch/panelmatch/providers/kms/local"
	"github.com/panelmatch/panelmatch/providers/secretmap/csv"
	"github.com/panelmatch/panelmatch/providers/storage/file"
	"github.com/panelmatch/panelmatch/providers/storage/mem"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/storagepb"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const edp = `
apiVersion: panelmatch/v1
kind: Deployment
profile: development
identity: {party: DATA_PROVIDER, id: edp1}
coordinator:
  checkpoint: {lookback: 14d}
storage:
  root: file:root?create_dir=true
kms: local:keyset.json?create=true
certificateAuthority:
  local: {rootCertificate: root.pem, rootKey: "file:root.key", createIfMissing: true}
  subject: {commonName: edp1.example, organization: Edp1, dnsName: edp1.example}
exchangeDefaults:
  shared: file:shared?create_dir=true
exchanges:
  rx1: {}
compute:
  local: {scratch: .}
`

func table() provider.Table {
	return provider.Table{
		Storage:              []provider.Factory[provider.Storage]{file.Factory(), mem.Factory()},
		KMS:                  []provider.Factory[provider.KMS]{kmslocal.Factory()},
		CertificateAuthority: []provider.Factory[provider.CertificateAuthority]{calocal.Factory()},
		SecretMap:            []provider.Factory[provider.SecretMap]{csv.Factory()},
	}
}

// load writes a manifest into dir, loads it, and resolves it.
func load(t *testing.T, dir, text string, t2 provider.Table, set ...string) *graph.Graph {
	t.Helper()
	name := filepath.Join(dir, "edp.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, diags := manifest.Load(context.Background(), manifest.Sources{Files: []string{name}, Set: set})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	g, diags := graph.Resolve(loaded.Manifest, t2)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return g
}

func run(t *testing.T, g *graph.Graph, o check.Options) *check.Report {
	t.Helper()
	r, err := check.Run(context.Background(), g, provider.Env{Secret: manifest.ResolveSecret}, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func result(t *testing.T, r *check.Report, node string) check.Result {
	t.Helper()
	for _, x := range r.Results {
		if x.Node == node {
			return x
		}
	}
	t.Fatalf("no result for %s in %+v", node, r.Results)
	return check.Result{}
}

// told writes the proofs of a node that are not simply fine.
func told(r check.Result) []string {
	out := []string{}
	for _, p := range r.Proofs {
		if p.Status != check.OK {
			out = append(out, fmt.Sprintf("%s %s: %s; missing: %s; hint: %s", p.Status, p.Name, p.Detail, p.Missing, p.Hint))
		}
	}
	return out
}

func names(r check.Result) string {
	var out []string
	for _, p := range r.Proofs {
		out = append(out, p.Name)
	}
	return strings.Join(out, " ")
}

// files lists what lies below dir.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && path != dir {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAGoodDeploymentPassesAndNothingIsLeftBehind(t *testing.T) {
	dir := t.TempDir()
	var seen []string
	r := run(t, load(t, dir, edp, table()), check.Options{Issue: true, Progress: func(r check.Result) { seen = append(seen, r.Node) }})
	if !r.OK || r.Failed > 0 {
		t.Errorf("report: %+v", r)
	}
	for node, want := range map[string]string{
		graph.IDRoot:                                 "open write read list delete",
		"storage/exchangeDefaults.shared":            "open write read list delete",
		graph.IDKMS:                                  "open wrap unwrap other data",
		"ca/local":                                   "open inspect issue",
		graph.UseCaseID(manifest.PrivateKeys):        "open list get",
		graph.ExchangeID("rx1", graph.Private):       "find",
		graph.ExchangeID("rx1", graph.Shared):        "find",
		"compute/local":                              "scratch",
		graph.IDTrust:                                "own root",
		graph.UseCaseID(manifest.PrivateStorageInfo): "open list get",
	} {
		if got := names(result(t, r, node)); got != want {
			t.Errorf("%s: tried %q; want %q", node, got, want)
		}
	}
	if len(seen) != len(r.Results) {
		t.Errorf("progress told of %d nodes, the report of %d", len(seen), len(r.Results))
	}
	for _, f := range files(t, dir) {
		if strings.HasPrefix(filepath.Base(f), check.CanaryPrefix) {
			t.Errorf("%s is left behind", f)
		}
	}
	// The own root is not stored yet: worth a warning, and no failure.
	wantTold := []string{"warning own root: the own root certificate is not among the root certificates; missing: root certificate edp1; hint: panelmatch apply stores it; this client does without, a reference client on the same storage does not"}
	if diff := cmp.Diff(wantTold, told(result(t, r, graph.IDTrust))); diff != "" {
		t.Error(diff)
	}
}

func TestTheOwnRootIsComparedWithTheAuthority(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	run(t, load(t, dir, edp, table()), check.Options{}) // makes root.pem
	run(t, load(t, other, edp, table()), check.Options{})
	store := filepath.Join(dir, "root", "root-x509-certificates")
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from string
		want check.Status
	}{{dir, check.OK}, {other, check.Failed}} {
		text, err := os.ReadFile(filepath.Join(c.from, "root.pem"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(store, "edp1"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		x := result(t, run(t, load(t, dir, edp, table()), check.Options{}), graph.IDTrust)
		if x.Status != c.want {
			t.Errorf("status %s; want %s: %v", x.Status, c.want, told(x))
		}
	}
}

func TestOneFailureDoesNotHideTheOthers(t *testing.T) {
	dir := t.TempDir()
	r := run(t, load(t, dir, edp, table(), "storage.root=file:nowhere", "kms=local:nokeys.json"), check.Options{})
	if r.OK || r.Failed != 2 {
		t.Errorf("ok %v, failed %d; want 2 failures", r.OK, r.Failed)
	}
	root := result(t, r, graph.IDRoot)
	if root.Status != check.Failed || !strings.Contains(told(root)[0], "nowhere") || !strings.Contains(told(root)[0], "?create_dir=true") {
		t.Errorf("root: %v", told(root))
	}
	keys := result(t, r, graph.UseCaseID(manifest.PrivateKeys))
	if diff := cmp.Diff([]string{"skipped open: it needs storage/root, which could not be opened; missing: ; hint: "}, told(keys)); diff != "" {
		t.Error(diff)
	}
	if x := result(t, r, graph.IDKMS); x.Status != check.Failed || !strings.Contains(told(x)[0], "?create=true") {
		t.Errorf("kms: %v", told(x))
	}
	if x := result(t, r, "storage/exchangeDefaults.shared"); x.Status != check.OK {
		t.Errorf("shared: %v", told(x))
	}
	if x := result(t, r, "ca/local"); x.Status != check.OK {
		t.Errorf("ca: %v", told(x))
	}
}

func TestStoredDetailsAreProvedToo(t *testing.T) {
	dir := t.TempDir()
	partner := filepath.Join(dir, "partner")
	infos := filepath.Join(dir, "root", "shared-storage-info")
	if err := os.MkdirAll(infos, 0o700); err != nil {
		t.Fatal(err)
	}
	good, err := proto.Marshal(&storagepb.StorageDetails{
		Visibility: storagepb.StorageDetails_SHARED,
		Platform:   &storagepb.StorageDetails_File{File: &storagepb.StorageDetails_FileStorage{Path: partner}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]check.Status{string(good): check.OK, "\xff": check.Failed} {
		if err := os.WriteFile(filepath.Join(infos, "rx1"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		x := result(t, run(t, load(t, dir, edp, table()), check.Options{}), graph.ExchangeID("rx1", graph.Shared))
		if x.Status != want {
			t.Errorf("details %q: %s; want %s: %v", content, x.Status, want, told(x))
		}
		if want == check.OK && names(x) != "find write read list delete" {
			t.Errorf("tried %q", names(x))
		}
	}
}

func TestTheReasonForUnsealedKeysIsRepeated(t *testing.T) {
	text := strings.Replace(edp, "kms: local:keyset.json?create=true", `privateKeyProtection: {storage: {reason: "CMEK, and no human has access"}}`, 1)
	x := result(t, run(t, load(t, t.TempDir(), text, table()), check.Options{}), graph.IDKeyProtection)
	want := []string{"warning protection: private keys are stored as they are; the reason given: CMEK, and no human has access; missing: ; hint: make sure that the reason still holds"}
	if diff := cmp.Diff(want, told(x)); diff != "" {
		t.Error(diff)
	}
}

func TestTheFamilyOfTheAuthoritysKeyIsCompared(t *testing.T) {
	dir := t.TempDir()
	run(t, load(t, dir, edp, table()), check.Options{}) // makes an EC root
	x := result(t, run(t, load(t, dir, edp, table(), "keys.algorithm=RSA", "coordinator.checkpoint.signature=SHA256withRSA"), check.Options{Issue: true}), "ca/local")
	if x.Status != check.Failed || !strings.Contains(strings.Join(told(x), "\n"), "RSA") {
		t.Errorf("%s: %v", x.Status, told(x))
	}
}

// faulty is a table whose providers misbehave in the way that its fields say.
type faulty struct {
	kms  func(provider.KMS) provider.KMS
	open func(ctx context.Context, env provider.Env) error
}

func (f faulty) table() provider.Table {
	t := table()
	inner := t.KMS[0].Resolve
	t.KMS[0].Resolve = func(b manifest.Backend, s provider.Scope) (provider.Resolved[provider.KMS], diag.List) {
		r, d := inner(b, s)
		open := r.Open
		r.Open = func(ctx context.Context, env provider.Env) (provider.KMS, error) {
			if f.open != nil {
				if err := f.open(ctx, env); err != nil {
					return nil, err
				}
			}
			k, err := open(ctx, env)
			if err == nil && f.kms != nil {
				k = f.kms(k)
			}
			return k, err
		}
		return r, d
	}
	return t
}

// careless ignores associated data.
type careless struct{ provider.KMS }

func (c careless) EncryptWithContext(ctx context.Context, p, _ []byte) ([]byte, error) {
	return c.KMS.EncryptWithContext(ctx, p, nil)
}

func (c careless) DecryptWithContext(ctx context.Context, p, _ []byte) ([]byte, error) {
	return c.KMS.DecryptWithContext(ctx, p, nil)
}

// forbidden may wrap and not unwrap.
type forbidden struct{ provider.KMS }

func (forbidden) DecryptWithContext(context.Context, []byte, []byte) ([]byte, error) {
	return nil, fmt.Errorf("server says no: %w", provider.ErrPermission)
}

func TestAKeyThatIgnoresAssociatedDataFails(t *testing.T) {
	f := faulty{kms: func(k provider.KMS) provider.KMS { return careless{k} }}
	x := result(t, run(t, load(t, t.TempDir(), edp, f.table()), check.Options{}), graph.IDKMS)
	if got := strings.Join(told(x), "\n"); !strings.Contains(got, "failed other data: the key unwraps with other associated data") {
		t.Errorf("told: %s", got)
	}
}

func TestAMissingPermissionIsNamed(t *testing.T) {
	f := faulty{kms: func(k provider.KMS) provider.KMS { return forbidden{k} }}
	x := result(t, run(t, load(t, t.TempDir(), edp, f.table()), check.Options{}), graph.IDKMS)
	if got := told(x); len(got) == 0 || !strings.Contains(got[0], "failed unwrap: server says no: permission denied; missing: permission to decrypt with the key; hint: ") {
		t.Errorf("told: %v", got)
	}
}

func TestAProviderThatHangsIsGivenUp(t *testing.T) {
	f := faulty{open: func(ctx context.Context, _ provider.Env) error { <-ctx.Done(); return ctx.Err() }}
	r := run(t, load(t, t.TempDir(), edp, f.table()), check.Options{NodeTimeout: 500 * time.Millisecond})
	x := result(t, r, graph.IDKMS)
	if got := told(x); len(got) != 1 || !strings.Contains(got[0], "took longer than 500ms") || !strings.Contains(got[0], "nothing answered in time") {
		t.Errorf("told: %v", got)
	}
	if x := result(t, r, graph.IDRoot); x.Status != check.OK {
		t.Errorf("root: %v", told(x))
	}
}

func TestSecretsOfProvidersStayOutOfTheReport(t *testing.T) {
	secret := "correct horse\nbattery-staple"
	f := faulty{open: func(ctx context.Context, env provider.Env) error {
		s, err := env.Secret(ctx, manifest.NewSecretRef("env:PASS"))
		if err != nil {
			return err
		}
		return fmt.Errorf("login with %s at https://me:hunter2@kms.example/?sig=hunter3 failed: Authorization: Bearer abcdefghijklmnop", s.Reveal())
	}}
	g := load(t, t.TempDir(), edp, f.table())
	env := provider.Env{Secret: func(ctx context.Context, ref manifest.SecretRef) (manifest.Secret, error) {
		if ref.Ref() == "env:PASS" {
			return manifest.NewSecret([]byte(secret)), nil
		}
		return manifest.ResolveSecret(ctx, ref)
	}}
	r, err := check.Run(context.Background(), g, env, check.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := errors.Join(json.NewEncoder(&b).Encode(r), r.WriteText(&b, check.TextOptions{})); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"correct horse", "battery", "hunter", "abcdefghijklmnop"} {
		if strings.Contains(b.String(), s) {
			t.Errorf("%q is in the report:\n%s", s, b.String())
		}
	}
	if !strings.Contains(b.String(), "login with") {
		t.Error("the error itself is not told")
	}
}

// stubborn is a storage whose files can't be deleted, or not be listed.
func stubborn(t *testing.T, dir string, w func(*fileblob.Options)) provider.Factory[provider.Storage] {
	t.Helper()
	f := file.Factory()
	f.Resolve = func(manifest.Backend, provider.Scope) (provider.Resolved[provider.Storage], diag.List) {
		return provider.Resolved[provider.Storage]{Open: func(context.Context, provider.Env) (provider.Storage, error) {
			o := &fileblob.Options{CreateDir: true}
			w(o)
			return fileblob.OpenBucket(dir, o)
		}}, nil
	}
	return f
}

func TestACancelledCheckStillCleansUp(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("interrupted")
	var once sync.Once
	tab := table()
	tab.Storage[0] = stubborn(t, filepath.Join(dir, "data"), func(*fileblob.Options) {})
	g := load(t, dir, strings.Replace(edp, "  shared: file:shared?create_dir=true", "  shared: mem://shared", 1), tab)
	// The check is interrupted as soon as the first canary is there.
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Microsecond):
			}
			if found, _ := filepath.Glob(filepath.Join(dir, "data", check.CanaryPrefix, "*")); len(found) > 0 {
				once.Do(func() { cancel(why) })
				return
			}
		}
	})
	r, err := check.Run(ctx, g, provider.Env{Secret: manifest.ResolveSecret}, check.Options{})
	close(stop)
	watch.Wait()
	if err != nil && !errors.Is(err, why) {
		t.Errorf("Run: %v", err)
	}
	if r == nil {
		t.Fatal("no report")
	}
	for _, f := range files(t, filepath.Join(dir, "data")) {
		if strings.HasPrefix(f, check.CanaryPrefix+string(filepath.Separator)) {
			t.Errorf("%s is left behind", f)
		}
	}
}

func TestTheReportIsReadable(t *testing.T) {
	r := &check.Report{Failed: 1, Warnings: 1, Milliseconds: 321, Results: []check.Result{
		{Node: "storage/root", Kind: graph.KindStorage, Provider: "gs", Status: check.Failed, Milliseconds: 120, Proofs: []check.Proof{
			{Name: "open", Status: check.OK, Milliseconds: 3},
			{Name: "write", Status: check.Failed, Detail: "write \"x\": permission denied", Missing: "permission to write blobs: storage.objects.create", Hint: "grant the role Storage Object User (roles/storage.objectUser) on the bucket", Milliseconds: 117},
		}},
		{Node: "secretmap/privateKeys", Kind: graph.KindSecretMap, Status: check.Skipped, Proofs: []check.Proof{
			{Name: "open", Status: check.Skipped, Detail: "it needs storage/root, which could not be opened"},
		}},
		{Node: "kms/key", Kind: graph.KindKMS, Status: check.OK, Milliseconds: 40, Proofs: []check.Proof{
			{Name: "open", Status: check.OK}, {Name: "wrap", Status: check.OK}, {Name: "unwrap", Status: check.OK}, {Name: "other data", Status: check.OK},
		}},
		{Node: "keys/privateKeys", Kind: graph.KindKeyProtection, Status: check.Warning, Proofs: []check.Proof{
			{Name: "protection", Status: check.Warning, Detail: "evil \x1b[2J text\nin two lines", Hint: "look"},
		}},
	}}
	for _, color := range []bool{false, true} {
		var b bytes.Buffer
		if err := r.WriteText(&b, check.TextOptions{Color: color}); err != nil {
			t.Fatal(err)
		}
		golden(t, fmt.Sprintf("report-color-%v.txt", color), b.String())
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", string(data)+"\n")
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); regenerate with -update\n%s", name, diff)
	}
}

func TestAGraphMadeByHandIsRefused(t *testing.T) {
	if _, err := check.Run(context.Background(), graph.New(), provider.Env{}, check.Options{}); err == nil {
		t.Error("no error")
	}
}

func TestResultsComeInTheOrderOfTheGraph(t *testing.T) {
	g := load(t, t.TempDir(), edp, table())
	r := run(t, g, check.Options{Parallel: 3})
	var want, got []string
	for _, x := range r.Results {
		got = append(got, x.Node)
	}
	for _, n := range g.Nodes() {
		if slices.Contains(got, n.ID) {
			want = append(want, n.ID)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
