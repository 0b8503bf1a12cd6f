package exchange

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/coordinator"
	"github.com/panelmatch/panelmatch/engine/step"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Stores opens the storage of exchanges. Implementations are safe for concurrent use.
type Stores interface {
	// Private returns the private storage of an exchange.
	Private(ctx context.Context, key blob.ExchangeKey) (*blob.Store, error)
	// Shared returns the signed shared storage of an exchange.
	Shared(ctx context.Context, key blob.ExchangeKey) (step.Shared, error)
}

// Steps is the Runner that runs workflow steps: it validates an attempt,
// passes over a step whose done marker is there, runs it, and writes the marker
// after its outputs.
type Steps struct {
	Validator     *Validator
	Stores        Stores
	Certificates  step.Certificates
	Table         step.Table
	Limits        manifest.Limits
	InputInterval time.Duration
	Log           *slog.Logger
}

var _ Runner = (*Steps)(nil)

// Ready reports false for a step that only waits for a private blob which is not there. If that can't be
// found out the step is called ready: running it will tell what is wrong.
func (s *Steps) Ready(ctx context.Context, c coordinator.Candidate) bool {
	label, ok := step.Awaits(c.Workflow, c.Step, c.Exchange)
	if !ok {
		return true
	}
	private, err := s.Stores.Private(ctx, c.Exchange)
	if err != nil {
		return true
	}
	there, err := private.Exists(ctx, label)
	return there || err != nil
}

// Waits reports whether the attempt's step only waits for a private blob which is not there yet.
func (s *Steps) Waits(ctx context.Context, a *coordinator.Attempt) bool {
	if a.Workflow == nil || a.StepIndex < 0 || a.StepIndex >= len(a.Workflow.Steps) {
		return false
	}
	return !s.Ready(ctx, coordinator.Candidate{Exchange: a.Exchange, Workflow: a.Workflow, Step: a.Workflow.Steps[a.StepIndex]})
}

// Run validates and runs an attempt.
func (s *Steps) Run(ctx context.Context, a *coordinator.Attempt) error {
	w, st, err := s.Validator.Validate(ctx, a)
	if err != nil {
		return err
	}
	private, err := s.Stores.Private(ctx, a.Exchange)
	if err != nil {
		return fmt.Errorf("open private storage: %w", err)
	}
	marker := blob.DoneKey(st.ID)
	done, err := private.Exists(ctx, marker)
	if err != nil {
		return err
	}
	if done {
		s.Log.InfoContext(ctx, "the step was done before; only the report was missing", attrs(a)...)
		return nil
	}
	if err := s.Table.Run(ctx, s.env(a, w, st, private)); err != nil {
		return err
	}
	if err := private.PutBytes(ctx, marker, nil); err != nil {
		return fmt.Errorf("mark the step as done: %w", err)
	}
	return nil
}

func (s *Steps) env(a *coordinator.Attempt, w *workflow.Workflow, st workflow.Step, private *blob.Store) *step.Env {
	return &step.Env{
		Exchange:      a.Exchange,
		Workflow:      w,
		Step:          st,
		Private:       private,
		Shared:        func(ctx context.Context) (step.Shared, error) { return s.Stores.Shared(ctx, a.Exchange) },
		PrivateOf:     s.Stores.Private,
		Certificates:  s.Certificates,
		Limits:        s.Limits,
		InputInterval: s.InputInterval,
		Log:           s.Log.With(attrs(a)...),
	}
}
