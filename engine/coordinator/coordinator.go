// Package coordinator says what the engine needs of whoever decides which
// step may run next: a Kingdom that hands out steps, or two checkpoints in
// shared storage.
//
// It has no coordinator in it: checkpoint/ is the one over shared storage;
// the Kingdom's client is a provider.
package coordinator

import (
	"context"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/workflow"
)

// State is how an attempt ended, as the partner sees it.
type State int

// The final states.
const (
	// Succeeded: the step is done.
	Succeeded State = iota + 1
	// Failed: the step may be tried again.
	Failed
	// FailedStep: the step, and with it the whole exchange, has failed for good.
	FailedStep
)

// String returns the wire's word.
func (s State) String() string {
	switch s {
	case Succeeded:
		return "SUCCEEDED"
	case Failed:
		return "FAILED"
	case FailedStep:
		return "FAILED_STEP"
	}
	return "STATE_UNSPECIFIED"
}

// Candidate is a step that could be claimed.
type Candidate struct {
	Exchange blob.ExchangeKey
	Workflow *workflow.Workflow
	Step     workflow.Step
}

// Attempt is one claimed try of one step. It is read-only.
type Attempt struct {
	Exchange blob.ExchangeKey
	// Name is what the coordinator calls the attempt, such as
	// recurringExchanges/a/exchanges/2026-01-31/steps/3/attempts/1.
	Name string
	// StepIndex is the step's place in the workflow, from 0.
	StepIndex int
	// Number counts the attempts of this step, from 1.
	Number int
	// Workflow is what the coordinator says is to be run; nil if it could not be understood, and then
	// Fault says why.
	Workflow *workflow.Workflow
	// Fingerprint is the SHA-256 of the workflow's bytes as the coordinator knows them. It is compared
	// with that of the stored workflow, whose bytes alone are trusted.
	Fingerprint [32]byte
	// Fault is set for an attempt that is claimed but can't be run; it is reported at once.
	Fault error
}

// Report is the end of an attempt.
type Report struct {
	State State
	// Messages are for the partner's eyes: codes and general sentences, nothing of the data.
	Messages []string
}

// Coordinator hands out steps. An implementation must be safe for concurrent use.
type Coordinator interface {
	// Claim takes the next step of this party, or returns nil if there is none now.
	//
	// Where the implementation can look before it takes, it asks ready about each candidate and
	// passes over those that are not; others may ignore ready (nil means always ready). An error
	// means that nothing was claimed, as far as is known.
	Claim(ctx context.Context, ready func(context.Context, Candidate) bool) (*Attempt, error)
	// Finish reports the end of an attempt. It may be called again with the same report if it failed.
	// An attempt that is known to have ended otherwise, such as one that expired and was claimed
	// anew, fails with ErrSuperseded, which is final.
	Finish(ctx context.Context, a *Attempt, r Report) error
}
