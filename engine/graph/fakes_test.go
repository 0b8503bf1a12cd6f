package graph_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"flag"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"gocloud.dev/blob/fileblob"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/providers/storage/mem"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); regenerate with -update\n%s", name, diff)
	}
}

// backend makes a backend of settings in CUE. Its places are called after their paths.
func backend(t testing.TB, name, path, settings string) manifest.Backend {
	t.Helper()
	v := cuecontext.New().CompileString(settings)
	if v.Err() != nil {
		t.Fatal(v.Err())
	}
	return manifest.Backend{
		Name: name, Path: path, Value: v,
		At: func(p ...string) diag.Position {
			return diag.Position{File: "at " + strings.Join(append([]string{path}, p...), ".")}
		},
		Dir: func(...string) string { return "/etc/panelmatch" },
	}
}

// storage makes a storage: a URL, or settings in CUE with a url in them.
func storage(t testing.TB, path, settings string) manifest.Storage {
	t.Helper()
	if !strings.HasPrefix(settings, "{") {
		settings = `{url: "` + settings + `"}`
	}
	b := backend(t, "", path, settings)
	raw, err := b.Value.LookupPath(cuePath("url")).String()
	if err != nil {
		b.Name = "custom"
		return manifest.Storage{Backend: b}
	}
	b.Name, _, _ = strings.Cut(raw, ":")
	return manifest.Storage{Backend: b, URL: raw}
}

// deployment is a small manifest without a Kingdom.
func deployment(t testing.TB) *manifest.Manifest {
	t.Helper()
	return &manifest.Manifest{
		Profile:     manifest.Development,
		Identity:    manifest.Identity{Party: manifest.DataProvider, ID: "edp1"},
		Coordinator: backend(t, "checkpoint", "coordinator.checkpoint", `{lookback: "336h", signature: "SHA256withECDSA"}`),
		Root:        storage(t, "storage.root", "mem://edp1-root"),
		KeyProtection: manifest.KeyProtection{KMS: manifest.KMS{
			Backend: backend(t, "local", "kms", `{uri: "local:///keyset.json"}`), URI: "local:///keyset.json",
		}},
		CertificateAuthority: manifest.CertificateAuthority{
			Backend:  backend(t, "local", "certificateAuthority.local", `{rootCertificate: "root.pem", rootKey: "env:ROOT_KEY"}`),
			Subject:  manifest.Subject{CommonName: "edp1.example", Organization: "Edp1", DNSName: "edp1.example"},
			Validity: manifest.Duration(2160 * time.Hour),
		},
		Exchanges: map[string]manifest.ExchangeStorage{
			"rx1": {Shared: storage(t, "exchanges.rx1.shared", "mem://shared")},
		},
		Run:     manifest.Run{Mode: manifest.Daemon, TaskTimeout: manifest.Duration(23*time.Hour + 30*time.Minute)},
		Compute: backend(t, "local", "compute.local", `{workers: 0, memory: "4GiB", scratch: "/tmp"}`),
		Keys:    manifest.Keys{Algorithm: "EC", Curve: "P-256", Format: "direct"},
		At: func(path ...string) diag.Position {
			return diag.Position{File: "at " + strings.Join(path, ".")}
		},
	}
}

// world is a set of fake products that notes what happens to them.
type world struct {
	mu  sync.Mutex
	mem mem.Buckets
	// buckets are all that were opened, to see whether they were closed.
	buckets []provider.Storage
	opened  []string
	closed  []string
	// failOpen and failClose make what is called so fail.
	failOpen, failClose map[string]error
	// algorithm is what the certificate authority says of its key.
	algorithm string
}

func newWorld() *world {
	return &world{failOpen: map[string]error{}, failClose: map[string]error{}}
}

func (w *world) open(ctx context.Context, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.failOpen[name]; err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w.opened = append(w.opened, name)
	return nil
}

func (w *world) close(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = append(w.closed, name)
	return w.failClose[name]
}

func (w *world) table() provider.Table {
	return provider.Table{
		Storage: []provider.Factory[provider.Storage]{
			{Name: "mem", Package: "storage/mem", Resolve: w.memory},
			{Name: "file", Package: "storage/file", Resolve: w.file},
			{Name: "acme", Package: "storage/acme", Resolve: w.memory},
		},
		KMS: []provider.Factory[provider.KMS]{{Name: "local", Package: "kms/local", Resolve: w.kms}},
		CertificateAuthority: []provider.Factory[provider.CertificateAuthority]{
			{Name: "local", Package: "ca/local", Resolve: w.authority},
			{Name: "pregenerated", Package: "ca/pregenerated", Resolve: w.authority},
		},
		SecretMap: []provider.Factory[provider.SecretMap]{{Name: "csv", Package: "secretmap/csv", Resolve: w.csv}},
	}
}

func (w *world) memory(b manifest.Backend, _ provider.Scope) (provider.Resolved[provider.Storage], diag.List) {
	var s struct {
		URL  string `json:"url"`
		Team string `json:"team"`
	}
	if d := b.Decode(&s); d.HasErrors() {
		return provider.Resolved[provider.Storage]{}, d
	}
	name := s.URL + s.Team
	return provider.Resolved[provider.Storage]{
		Attributes: []provider.Attribute{{Key: "name", Value: name}},
		Open: func(ctx context.Context, _ provider.Env) (provider.Storage, error) {
			if err := w.open(ctx, name); err != nil {
				return nil, err
			}
			return w.note(w.mem.Open(name)), nil
		},
	}, nil
}

func (w *world) file(b manifest.Backend, _ provider.Scope) (provider.Resolved[provider.Storage], diag.List) {
	var s struct {
		URL string `json:"url"`
	}
	if d := b.Decode(&s); d.HasErrors() {
		return provider.Resolved[provider.Storage]{}, d
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return provider.Resolved[provider.Storage]{}, diag.List{b.Fault(diag.CodeValue, "is not a URL", "url")}
	}
	return provider.Resolved[provider.Storage]{
		Open: func(ctx context.Context, _ provider.Env) (provider.Storage, error) {
			if err := w.open(ctx, s.URL); err != nil {
				return nil, err
			}
			b, err := fileblob.OpenBucket(u.Path, &fileblob.Options{CreateDir: u.Query().Has("create_dir"), Metadata: fileblob.MetadataDontWrite})
			if err != nil {
				return nil, err
			}
			return w.note(b), nil
		},
	}, nil
}

type closer struct {
	w    *world
	name string
}

func (c closer) Close() error { return c.w.close(c.name) }

type fakeKMS struct{ closer }

func (fakeKMS) EncryptWithContext(_ context.Context, p, ad []byte) ([]byte, error) {
	return []byte(string(ad) + "|" + string(p)), nil
}

func (fakeKMS) DecryptWithContext(_ context.Context, c, ad []byte) ([]byte, error) {
	p, ok := strings.CutPrefix(string(c), string(ad)+"|")
	if !ok {
		return nil, provider.ErrRejected
	}
	return []byte(p), nil
}

func (w *world) kms(_ manifest.Backend, _ provider.Scope) (provider.Resolved[provider.KMS], diag.List) {
	return provider.Resolved[provider.KMS]{
		Open: func(ctx context.Context, _ provider.Env) (provider.KMS, error) {
			return fakeKMS{closer{w, "kms"}}, w.open(ctx, "kms")
		},
	}, nil
}

type fakeAuthority struct {
	closer
	key *ecdsa.PrivateKey
}

func (a fakeAuthority) Issue(context.Context, provider.IssueRequest) (provider.Issued, error) {
	return provider.Issued{Certificate: &x509.Certificate{}, Key: a.key}, nil
}

func (w *world) authority(_ manifest.Backend, _ provider.Scope) (provider.Resolved[provider.CertificateAuthority], diag.List) {
	r := provider.Resolved[provider.CertificateAuthority]{
		Open: func(ctx context.Context, _ provider.Env) (provider.CertificateAuthority, error) {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				return nil, err
			}
			return fakeAuthority{closer{w, "ca"}, key}, w.open(ctx, "ca")
		},
	}
	if w.algorithm != "" {
		r.Attributes = append(r.Attributes, provider.Attribute{Key: provider.AttributeKeyAlgorithm, Value: w.algorithm})
	}
	return r, nil
}

// csvMap is a map that asks the graph for a storage of its own.
type csvMap struct {
	provider.SecretMap
	closer
}

func (m csvMap) Close() error { return m.closer.Close() }

func (w *world) csv(b manifest.Backend, scope provider.Scope) (provider.Resolved[provider.SecretMap], diag.List) {
	var from provider.Ref[provider.Storage]
	if s, ok := b.Storage("storage"); ok {
		from = scope.Storage(s)
	}
	return provider.Resolved[provider.SecretMap]{
		Open: func(ctx context.Context, _ provider.Env) (provider.SecretMap, error) {
			if from != nil && from.Get() == nil {
				return nil, errors.New("the storage was not open in time")
			}
			return csvMap{closer: closer{w, "csv"}}, w.open(ctx, "csv")
		},
	}, nil
}

func (w *world) note(b provider.Storage) provider.Storage {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buckets = append(w.buckets, b)
	return b
}

// leaked counts the buckets that are still open.
func (w *world) leaked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, b := range w.buckets {
		if err := b.Close(); err == nil { // closing what is closed is an error
			n++
		}
	}
	return n
}

func cuePath(key string) cue.Path { return cue.ParsePath(key) }

func (w *world) coordinator(b manifest.Backend, _ provider.Scope) (provider.Resolved[provider.Coordinator], diag.List) {
	var s struct {
		Target string `json:"target"`
	}
	diags := b.Decode(&s)
	return provider.Resolved[provider.Coordinator]{
		Attributes: []provider.Attribute{{Key: "target", Value: s.Target}},
		Open: func(ctx context.Context, _ provider.Env) (provider.Coordinator, error) {
			return closer{w, "kingdom"}, w.open(ctx, "kingdom")
		},
	}, diags
}
