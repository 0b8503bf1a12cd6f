package step

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/workflow"
)

// Awaits returns the label of the private blob whose arrival is all that a
// step waits for, and whether there is one: the output of an Input step, and that
// of CopyFromPreviousExchange on the first date, when there is nothing to copy.
func Awaits(w *workflow.Workflow, s workflow.Step, key blob.ExchangeKey) (label string, ok bool) {
	switch s.Kind {
	case workflow.Input:
	case workflow.CopyFromPreviousExchange:
		if key.Date != w.FirstExchangeDate {
			return "", false
		}
		label, ok = s.Outputs["output"]
		return label, ok
	default:
		return "", false
	}
	label, err := only("output", s.Outputs, "")
	return label, err == nil
}

// input waits until its one output is there. Whoever provides it writes the data first and this blob last.
func input(ctx context.Context, env *Env) error {
	if len(env.Step.Inputs) > 0 {
		return failure.Permanentf(failure.CodeWorkflow, "step %s takes no inputs, but the workflow gives it %d", env.Step.ID, len(env.Step.Inputs))
	}
	label, err := only("output", env.Step.Outputs, "")
	if err != nil {
		return err
	}
	return await(ctx, env, label)
}

// copyFromPrevious copies a blob of the exchange before. On the first date there is none: then it waits
// until somebody puts the output there, an empty blob if need be.
func copyFromPrevious(ctx context.Context, env *Env) error {
	source, ok := env.Step.Inputs["input"]
	output, ok2 := env.Step.Outputs["output"]
	if !ok || !ok2 {
		return failure.Permanentf(failure.CodeWorkflow, "step %s needs the input \"input\" and the output \"output\"", env.Step.ID)
	}
	for _, label := range []string{source, output} {
		if err := blob.CheckLabel(label); err != nil {
			return failure.New(failure.Permanent, failure.CodeWorkflow, err)
		}
	}
	previous, ok := env.Workflow.PreviousDate(env.Exchange.Date)
	if !ok {
		return await(ctx, env, output)
	}
	key := blob.ExchangeKey{RecurringExchange: env.Exchange.RecurringExchange, Date: previous}
	from, err := env.PrivateOf(ctx, key)
	if err != nil {
		return err
	}
	r, err := from.Get(ctx, source)
	if err != nil {
		if errors.Is(err, provider.ErrNotFound) {
			err = failure.New(failure.Transient, failure.CodeMissingInput,
				fmt.Errorf("the exchange of %s has no blob %s yet: %w", previous, source, err))
		}
		return err
	}
	defer r.Close() //nolint:errcheck // opened for reading only
	if err := env.Private.Put(ctx, output, r); err != nil {
		return fmt.Errorf("write output %s: %w", output, err)
	}
	return nil
}

// await returns when a private blob is there.
func await(ctx context.Context, env *Env, label string) error {
	ticker := time.NewTicker(max(env.InputInterval, 10*time.Millisecond))
	defer ticker.Stop()
	told := false
	for {
		ok, err := env.Private.Exists(ctx, label)
		switch {
		case err != nil:
			return err
		case ok:
			return nil
		case !told:
			env.Log.InfoContext(ctx, "waiting for an input", "blob", label)
			told = true
		}
		select {
		case <-ctx.Done():
			return failure.New(failure.Transient, failure.CodeMissingInput, fmt.Errorf("waiting for input %s: %w", label, context.Cause(ctx)))
		case <-ticker.C:
		}
	}
}
