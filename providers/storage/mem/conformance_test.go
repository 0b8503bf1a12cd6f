package mem

import (
	"context"
	"net/http"
	"path"
	"strings"
	"testing"

	"cuelang.org/go/cue/cuecontext"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/drivertest"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/providertest/storagetest"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// harness runs gocloud's own suite for drivers.
type harness struct{ space *space }

func (h *harness) MakeDriver(context.Context) (driver.Bucket, error) { return &bucket{h.space}, nil }

// MakeDriverForNonexistentBucket returns nothing: every name has a bucket.
func (*harness) MakeDriverForNonexistentBucket(context.Context) (driver.Bucket, error) {
	return nil, nil //nolint:nilnil // the suite's way to say so
}
func (*harness) HTTPClient() *http.Client         { return nil }
func (*harness) SupportsCopy() bool               { return true }
func (*harness) SupportsNonSlashDelimiters() bool { return true }
func (*harness) Close()                           {}

func TestDriverConformance(t *testing.T) {
	s := newSpace()
	drivertest.RunConformanceTests(t, func(context.Context, *testing.T) (drivertest.Harness, error) {
		return &harness{s}, nil
	}, nil)
}

func TestConformance(t *testing.T) {
	factory := Factory()
	storagetest.Run(t, storagetest.Harness{
		IfVersion: true,
		Open:      func(t *testing.T) provider.Storage { return open(t, factory, "mem://"+path.Base(t.Name())) },
	})
}

// open opens a bucket as a manifest does.
func open(t *testing.T, f provider.Factory[provider.Storage], url string) provider.Storage {
	t.Helper()
	r, diags := f.Resolve(backend(url), nil)
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	b, err := r.Open(t.Context(), provider.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func backend(url string) manifest.Backend {
	return manifest.Backend{Name: "mem", Path: "storage.root", Value: cuecontext.New().CompileString(`url: "` + url + `"`)}
}

func TestBucketsOfOneNameShareTheirBlobsAcrossClosing(t *testing.T) {
	factory := Factory()
	a := open(t, factory, "mem://shared")
	if err := a.WriteAll(t.Context(), "k", []byte("v"), nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if v, err := open(t, factory, "mem://shared").ReadAll(t.Context(), "k"); err != nil || string(v) != "v" {
		t.Errorf("same name: %q, %v", v, err)
	}
	for what, b := range map[string]provider.Storage{
		"other name": open(t, factory, "mem://other"), "other factory": open(t, Factory(), "mem://shared"), "New": New(),
	} {
		if ok, err := b.Exists(t.Context(), "k"); ok || err != nil {
			t.Errorf("%s: %v, %v", what, ok, err)
		}
	}
}

func TestURLsHaveANameAndNothingElse(t *testing.T) {
	for url, want := range map[string]string{
		"mem://":      "has no name",
		"mem:x":       "has no name",
		"mem://x/y":   "has a path",
		"mem://x?a=b": "has parameters",
		"mem://u:p@x": "has more than a name",
		"mem://x#f":   "has a path",
		"file:///x":   "not mem",
		"mem://x:80":  "has more than a name",
		"://":         "is not a URL",
	} {
		_, diags := Factory().Resolve(backend(url), nil)
		if err := diags.Err(); err == nil || !strings.Contains(err.Error(), want) || diags[0].Path != "storage.root.url" {
			t.Errorf("%q: %v; want %q", url, err, want)
		}
	}
}
