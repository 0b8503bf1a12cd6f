package exchange

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/panelmatch/panelmatch/engine/coordinator"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Validator decides whether a claimed step may be run: it must be a step of
// the workflow that this party has stored, byte for byte, on a date on which that
// workflow may run. It is safe for concurrent use.
type Validator struct {
	// Workflows is the map of stored workflows, by recurring exchange id.
	Workflows provider.SecretMap
	// Format is how the stored bytes are encoded: v2alpha with a Kingdom, internal without.
	Format workflow.Format
	Party  manifest.Party
}

// Validate returns the stored workflow's step for a, or why it must not run.
// The checks and their order are the reference's; each error's class says whether it can pass.
func (v *Validator) Validate(ctx context.Context, a *coordinator.Attempt) (*workflow.Workflow, workflow.Step, error) {
	none := workflow.Step{}
	id := a.Exchange.RecurringExchange
	stored, err := v.Workflows.Get(ctx, id)
	if errors.Is(err, provider.ErrNotFound) {
		return nil, none, failure.New(failure.Configuration, failure.CodeWorkflowMissing,
			fmt.Errorf("no workflow is stored for recurring exchange %s; store the bytes that both parties agreed on: %w", id, err))
	}
	if err != nil {
		return nil, none, fmt.Errorf("read the workflow of %s: %w", id, err)
	}
	if sum := sha256.Sum256(stored); subtle.ConstantTimeCompare(sum[:], a.Fingerprint[:]) != 1 {
		return nil, none, failure.Permanentf(failure.CodeWorkflowMismatch,
			"the stored workflow of %s has SHA-256 %x, what was claimed has %x; both parties must store the same bytes", id, sum, a.Fingerprint)
	}
	doc, diags := workflow.Parse(stored, workflow.ParseOptions{Format: v.Format, Name: "workflow of " + id})
	if err := diags.Err(); err != nil {
		return nil, none, failure.New(failure.Permanent, failure.CodeWorkflow, fmt.Errorf("the stored workflow of %s: %w", id, err))
	}
	if err := runnable(doc); err != nil {
		return nil, none, failure.New(failure.Permanent, failure.CodeWorkflow, fmt.Errorf("the stored workflow of %s can't be run: %w", id, err))
	}
	w := doc.Workflow
	if a.StepIndex < 0 || a.StepIndex >= len(w.Steps) {
		return nil, none, failure.Permanentf(failure.CodeWorkflow, "step index %d is not one of the workflow's %d steps", a.StepIndex, len(w.Steps))
	}
	step := w.Steps[a.StepIndex]
	if step.Party != v.Party {
		return nil, none, failure.Permanentf(failure.CodeNotYours, "step %s belongs to the %s", step.ID, step.Party)
	}
	if a.Exchange.Date.Before(w.FirstExchangeDate) {
		return nil, none, failure.Permanentf(failure.CodeDate, "%s is before the first exchange date, %s", a.Exchange.Date, w.FirstExchangeDate)
	}
	if start := a.Exchange.Date.Time(); start.After(time.Now()) {
		return nil, none, failure.Transientf(failure.CodeDate, "the exchange of %s begins only at %s", a.Exchange.Date, start.Format(time.RFC3339))
	}
	return w, step, nil
}

// runnable refuses the two faults of a workflow that running it would not show: steps that wait for each
// other in a circle, and two steps of one id, of which the second would be taken for done when the first
// is. Other faults show where they are.
func runnable(doc *workflow.Document) error {
	seen := map[string]bool{}
	for _, s := range doc.Workflow.Steps {
		if seen[s.ID] {
			return fmt.Errorf("two steps are called %q", s.ID)
		}
		seen[s.ID] = true
	}
	for _, d := range doc.Lint() {
		if d.Code == diag.CodeCycle {
			return errors.New(d.Message)
		}
	}
	return nil
}
