package mem

import (
	"context"
	"net/http"
	"testing"

	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/drivertest"
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
