package checkpoint

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/coordinator"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
)

// The names of the wire's states, shorter.
const (
	stateInProgress = internalpb.ExchangeCheckpoint_IN_PROGRESS
	stateSucceeded  = internalpb.ExchangeCheckpoint_SUCCEEDED
	stateFailed     = internalpb.ExchangeCheckpoint_FAILED

	attemptInProgress = internalpb.ExchangeStepAttempt_IN_PROGRESS
	attemptSucceeded  = internalpb.ExchangeStepAttempt_SUCCEEDED
	attemptFailed     = internalpb.ExchangeStepAttempt_FAILED
	attemptFailedStep = internalpb.ExchangeStepAttempt_FAILED_STEP
)

// Bounds on what one checkpoint grows to. The reference never drops anything.
const (
	// maxMessages and maxMessageBytes bound the messages of one attempt.
	maxMessages     = 10
	maxMessageBytes = 500
	// keepFailed is how many FAILED attempts of one step are kept; older ones say nothing new.
	keepFailed = 10
)

// state is one exchange as its two checkpoints tell it.
type state struct {
	key   blob.ExchangeKey
	doc   *workflow.Document
	party manifest.Party

	own     *internalpb.ExchangeCheckpoint
	version string // of the own checkpoint's blob; empty if there is none
	partner *internalpb.ExchangeCheckpoint

	// claimed is the fingerprint of the workflow as the partner knows it, or ours while it has no checkpoint.
	claimed workflow.Fingerprint
}

// terminal reports whether the exchange has ended: both parties succeeded, or one failed.
func (s *state) terminal() bool {
	own, partner := s.own.GetExchangeState(), s.partner.GetExchangeState()
	return own == stateFailed || partner == stateFailed || own == stateSucceeded && partner == stateSucceeded
}

// next finds the first step of ours that may run now and that is ready.
func (s *state) next(ctx context.Context, abandoned func(*internalpb.ExchangeCheckpoint_ProgressEntry) (string, bool),
	ready func(context.Context, coordinator.Candidate) bool,
) (workflow.Step, bool, error) {
	graph, err := workflow.CheckpointGraph(s.doc.Workflow)
	if err != nil {
		return workflow.Step{}, false, failure.New(failure.Configuration, failure.CodeWorkflow, err)
	}
	done, busy, err := s.progress(graph, abandoned)
	if err != nil {
		return workflow.Step{}, false, err
	}
	mismatch := s.claimed != s.doc.Fingerprint
	for _, step := range s.doc.Workflow.Steps {
		i := step.Index
		if step.Party != s.party || done[i] || busy[i] {
			continue
		}
		// With two different workflows nothing will ever be ready. Any step of ours is handed out then:
		// its validation fails, and that ends the exchange for both, with a reason.
		if mismatch {
			return step, true, nil
		}
		if !graph.Complete(i, func(p int) bool { return done[p] }) {
			continue
		}
		if ready == nil || ready(ctx, coordinator.Candidate{Exchange: s.key, Workflow: s.doc.Workflow, Step: step}) {
			return step, true, nil
		}
	}
	return workflow.Step{}, false, nil
}

// progress works out which steps are done and which are being worked on. It refuses a checkpoint that
// claims what can't be: a step of the other party, or one whose prerequisites are not done.
func (s *state) progress(graph *workflow.Graph, abandoned func(*internalpb.ExchangeCheckpoint_ProgressEntry) (string, bool)) (done, busy []bool, err error) {
	n := len(s.doc.Workflow.Steps)
	done, busy = make([]bool, n), make([]bool, n)
	type claim struct {
		entry *internalpb.ExchangeCheckpoint_ProgressEntry
		party manifest.Party
	}
	var claims []claim
	for _, e := range s.own.GetProgressEntries() {
		claims = append(claims, claim{e, s.party})
	}
	// A partner with another workflow makes claims about other steps. They are not looked at: the
	// next step of ours fails its validation, which says what is wrong to both parties.
	if s.claimed == s.doc.Fingerprint {
		for _, e := range s.partner.GetProgressEntries() {
			claims = append(claims, claim{e, s.party.Other()})
		}
	}
	slices.SortStableFunc(claims, func(a, b claim) int {
		return cmp.Compare(a.entry.GetAttempt().GetStepIndex(), b.entry.GetAttempt().GetStepIndex())
	})
	for _, c := range claims {
		a := c.entry.GetAttempt()
		if a.GetState() != attemptSucceeded && a.GetState() != attemptInProgress {
			continue
		}
		step, ok := s.doc.Workflow.Step(a.GetStepId())
		if !ok {
			return nil, nil, refusef("the checkpoint of the %s speaks of step %q, which the workflow does not have", c.party, clip(a.GetStepId()))
		}
		if step.Party != c.party {
			return nil, nil, refusef("the checkpoint of the %s speaks of step %s, which is the other party's", c.party, step.ID)
		}
		i := step.Index
		if !graph.Complete(i, func(p int) bool { return done[p] }) {
			return nil, nil, refusef("the checkpoint of the %s says that step %s is under way or done, but a step that it waits for is not done", c.party, step.ID)
		}
		if a.GetState() == attemptSucceeded {
			done[i] = true
		} else if c.party == s.party {
			if _, dead := abandoned(c.entry); !dead {
				busy[i] = true
			}
		}
	}
	return done, busy, nil
}

// begin appends a new attempt of step to our checkpoint and ends an abandoned one. It returns the attempt's number.
func (s *state) begin(step workflow.Step, abandoned func(*internalpb.ExchangeCheckpoint_ProgressEntry) (string, bool), now time.Time) (int32, error) {
	var number int32
	for _, e := range s.own.GetProgressEntries() {
		a := e.GetAttempt()
		if a.GetStepId() != step.ID {
			continue
		}
		number = max(number, a.GetAttemptNumber())
		if a.GetState() != attemptInProgress {
			continue
		}
		why, dead := abandoned(e)
		if !dead {
			return 0, fmt.Errorf("attempt %d of step %s is still running: %w", a.GetAttemptNumber(), step.ID, blob.ErrConflict)
		}
		a.State = attemptFailed
		a.DebugMessageEntries = append(a.DebugMessageEntries, message(why, now))
		e.EndTime = timestamppb.New(now)
	}
	if number == 1<<31-1 {
		return 0, refusef("step %s has no attempt numbers left", step.ID)
	}
	number++
	s.own.ProgressEntries = append(s.own.ProgressEntries, &internalpb.ExchangeCheckpoint_ProgressEntry{
		Attempt: &internalpb.ExchangeStepAttempt{
			StepId: step.ID, StepIndex: int32(step.Index), AttemptNumber: number, State: attemptInProgress,
		},
		StartTime: timestamppb.New(now),
	})
	s.forget(step.ID)
	s.settle()
	return number, nil
}

// end records how an attempt ended, and reports whether that changed anything.
func (s *state) end(stepID string, number int32, r coordinator.Report, now time.Time) (bool, error) {
	var entry *internalpb.ExchangeCheckpoint_ProgressEntry
	for _, e := range s.own.GetProgressEntries() {
		a := e.GetAttempt()
		if a.GetStepId() != stepID {
			continue
		}
		if a.GetAttemptNumber() > number {
			return false, fmt.Errorf("attempt %d of step %s: attempt %d was claimed since: %w", number, stepID, a.GetAttemptNumber(), coordinator.ErrSuperseded)
		}
		if a.GetAttemptNumber() == number {
			entry = e
		}
	}
	if entry == nil {
		return false, fmt.Errorf("attempt %d of step %s is not in our checkpoint: %w", number, stepID, coordinator.ErrSuperseded)
	}
	want := map[coordinator.State]internalpb.ExchangeStepAttempt_State{
		coordinator.Succeeded: attemptSucceeded, coordinator.Failed: attemptFailed, coordinator.FailedStep: attemptFailedStep,
	}[r.State]
	a := entry.GetAttempt()
	switch {
	case want == 0:
		return false, fmt.Errorf("%v is no final state", r.State)
	case a.GetState() == want:
		return false, nil
	case a.GetState() != attemptInProgress:
		return false, fmt.Errorf("attempt %d of step %s already ended as %s: %w", number, stepID, a.GetState(), coordinator.ErrSuperseded)
	}
	a.State = want
	for _, m := range r.Messages[:min(len(r.Messages), maxMessages)] {
		a.DebugMessageEntries = append(a.DebugMessageEntries, message(m, now))
	}
	entry.EndTime = timestamppb.New(now)
	s.settle()
	return true, nil
}

// forget drops the oldest FAILED attempts of a step beyond keepFailed.
func (s *state) forget(stepID string) {
	failed := func(e *internalpb.ExchangeCheckpoint_ProgressEntry) bool {
		return e.GetAttempt().GetStepId() == stepID && e.GetAttempt().GetState() == attemptFailed
	}
	surplus := -keepFailed
	for _, e := range s.own.GetProgressEntries() {
		if failed(e) {
			surplus++
		}
	}
	s.own.ProgressEntries = slices.DeleteFunc(s.own.ProgressEntries, func(e *internalpb.ExchangeCheckpoint_ProgressEntry) bool {
		if surplus <= 0 || !failed(e) {
			return false
		}
		surplus--
		return true
	})
}

// settle works out our own state from our entries. FAILED is final.
func (s *state) settle() {
	if s.own.GetExchangeState() == stateFailed {
		return
	}
	left := map[string]bool{}
	for _, step := range s.doc.Workflow.StepsOf(s.party) {
		left[step.ID] = true
	}
	for _, e := range s.own.GetProgressEntries() {
		switch a := e.GetAttempt(); a.GetState() {
		case attemptFailedStep:
			s.own.ExchangeState = stateFailed
			return
		case attemptSucceeded:
			delete(left, a.GetStepId())
		default: // says nothing about the step's end
		}
	}
	s.own.ExchangeState = stateInProgress
	if len(left) == 0 {
		s.own.ExchangeState = stateSucceeded
	}
}

func message(text string, now time.Time) *internalpb.ExchangeStepAttempt_DebugMessageEntry {
	if len(text) > maxMessageBytes {
		text = text[:maxMessageBytes]
	}
	return &internalpb.ExchangeStepAttempt_DebugMessageEntry{Message: validUTF8(text), Time: timestamppb.New(now)}
}

// refusef says that a checkpoint can't be accepted. What is wrong with it may be mended by its writer,
// so the error is not permanent.
func refusef(format string, args ...any) error {
	return failure.Transientf(failure.CodeCheckpoint, format, args...)
}
