package file

import (
	"context"
	"net/http"
	"testing"

	"cuelang.org/go/cue/cuecontext"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/drivertest"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/providertest/storagetest"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// harness runs gocloud's own suite for drivers.
type harness struct {
	dir    string
	prefix string
}

func (h *harness) MakeDriver(context.Context) (driver.Bucket, error) {
	b, err := openBucket(h.dir)
	if err != nil || h.prefix == "" {
		return b, err
	}
	return driver.NewPrefixedBucket(b, h.prefix), nil
}

// MakeDriverForNonexistentBucket returns nothing: a directory that is not there can't be opened.
func (*harness) MakeDriverForNonexistentBucket(context.Context) (driver.Bucket, error) {
	return nil, nil //nolint:nilnil // the suite's way to say so
}
func (*harness) HTTPClient() *http.Client         { return nil }
func (*harness) SupportsCopy() bool               { return true }
func (*harness) SupportsNonSlashDelimiters() bool { return true }
func (*harness) Close()                           {}

func TestDriverConformance(t *testing.T) {
	for _, prefix := range []string{"", "some/prefix/"} {
		t.Run("prefix="+prefix, func(t *testing.T) {
			dir := t.TempDir()
			drivertest.RunConformanceTests(t, func(context.Context, *testing.T) (drivertest.Harness, error) {
				return &harness{dir: dir, prefix: prefix}, nil
			}, nil)
		})
	}
}

func TestConformance(t *testing.T) {
	dirs := map[string]string{}
	storagetest.Run(t, storagetest.Harness{
		IfVersion: canLock,
		Open: func(t *testing.T) provider.Storage {
			if dirs[t.Name()] == "" {
				dirs[t.Name()] = t.TempDir()
			}
			return openURL(t, "file://"+dirs[t.Name()])
		},
	})
}

// openURL opens a bucket as a manifest does.
func openURL(t *testing.T, url string) provider.Storage {
	t.Helper()
	r, diags := Factory().Resolve(backend(`url: "`+url+`"`), nil)
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	b, err := r.Open(t.Context(), provider.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func backend(text string) manifest.Backend {
	return manifest.Backend{Name: "file", Path: "storage.root", Value: cuecontext.New().CompileString(text)}
}
