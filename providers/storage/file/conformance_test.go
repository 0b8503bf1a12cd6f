package file

import (
	"context"
	"net/http"
	"testing"

	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/drivertest"
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
