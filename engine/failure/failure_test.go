package failure_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
)

func TestPublicTextHoldsNothingOfTheError(t *testing.T) {
	err := fmt.Errorf("step: %w", failure.Permanentf(failure.CodeBadInput, "join key %q is there twice", "canary"))
	if got, want := failure.Public(err), "bad-input: an input of the step is not what the step takes"; got != want {
		t.Errorf("Public = %q, want %q", got, want)
	}
	if got, want := err.Error(), `step: join key "canary" is there twice`; got != want {
		t.Errorf("Error = %q, want %q", got, want)
	}
}

func TestClassAndCode(t *testing.T) {
	for _, c := range []struct {
		err   error
		class failure.Class
		code  failure.Code
	}{
		{errors.New("anything"), failure.Transient, failure.CodeInternal},
		{fmt.Errorf("get: %w", provider.ErrTransient), failure.Transient, failure.CodeStorage},
		{fmt.Errorf("get: %w", provider.ErrPermission), failure.Configuration, failure.CodePermission},
		{fmt.Errorf("get: %w", provider.ErrTooLarge), failure.Permanent, failure.CodeLimit},
		{fmt.Errorf("run: %w", context.DeadlineExceeded), failure.Transient, failure.CodeTimeout},
		{fmt.Errorf("run: %w", context.Canceled), failure.Transient, failure.CodeShutdown},
		{failure.New(failure.Permanent, failure.CodeSignature, provider.ErrTransient), failure.Permanent, failure.CodeSignature},
	} {
		if class, code := failure.Of(c.err); class != c.class || code != c.code {
			t.Errorf("Of(%v) = %v, %v, want %v, %v", c.err, class, code, c.class, c.code)
		}
	}
	if failure.New(failure.Permanent, failure.CodeInternal, nil) != nil {
		t.Error("a nil error became one")
	}
}
