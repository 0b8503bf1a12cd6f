package blob

import (
	"testing"

	"cuelang.org/go/cue/cuecontext"
	gocloud "gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/providertest/secretmaptest"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// scope is a graph with one bucket, which notes what was asked for.
type scope struct {
	provider.Scope
	bucket provider.Storage
	asked  []string
}

func (s *scope) Storage(m manifest.Storage) provider.Ref[provider.Storage] {
	s.asked = append(s.asked, m.URL)
	return ref{s.bucket}
}

type ref struct{ bucket provider.Storage }

func (r ref) Get() provider.Storage { return r.bucket }

func backend(t *testing.T, text string) manifest.Backend {
	t.Helper()
	v := cuecontext.New().CompileString(text)
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	return manifest.Backend{Name: "blob", Path: "secretMaps.rootCertificates.blob", Value: v}
}

func TestConformance(t *testing.T) {
	secretmaptest.Run(t, secretmaptest.Harness{
		Open: func(t *testing.T, entries map[string][]byte) provider.SecretMap {
			bucket := memblob.OpenBucket(nil)
			t.Cleanup(func() { bucket.Close() })
			for key, value := range entries {
				if err := bucket.WriteAll(t.Context(), key, value, &gocloud.WriterOptions{ContentType: "application/octet-stream"}); err != nil {
					t.Fatal(err)
				}
			}
			r, diags := Factory().Resolve(backend(t, `storage: "mem://roots"`), &scope{bucket: bucket})
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

func TestTheStorageIsAskedOfTheGraph(t *testing.T) {
	s := &scope{}
	if _, diags := Factory().Resolve(backend(t, `storage: {url: "mem://roots", prefix: "a"}`), s); diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	if len(s.asked) != 1 || s.asked[0] != "mem://roots" {
		t.Errorf("asked for %q", s.asked)
	}
}

func TestNoStorageIsAFault(t *testing.T) {
	if _, diags := Factory().Resolve(backend(t, `{}`), &scope{}); !diags.HasErrors() {
		t.Error("accepted")
	}
}
