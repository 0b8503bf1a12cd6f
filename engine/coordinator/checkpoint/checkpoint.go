// Package checkpoint is the coordinator without a Kingdom: each party keeps a
// signed checkpoint of its progress in the shared storage of an exchange, reads
// the partner's, and works out by itself what it may run next.
//
// The blobs are compatible with the reference's Kingdom-less client. Package
// blob knows where they lie, and package trust signs and verifies.
//
// One daemon per party may run an exchange at a time: what an earlier process
// of this party left IN_PROGRESS is taken over at once.
package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/coordinator"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
)

// Signature is what stands beside a serialized checkpoint.
type Signature struct {
	Bytes []byte
	// AlgorithmOID is dotted, such as 1.2.840.10045.4.3.2.
	AlgorithmOID string
	// CertificateName is <owner>:<uuid>.
	CertificateName string
}

// Signer signs our checkpoints and verifies both parties'.
type Signer interface {
	// Sign signs payload with this party's exchange key, which it makes if there is none yet.
	Sign(ctx context.Context, key blob.ExchangeKey, payload []byte) (Signature, error)
	// Verify checks that payload was signed by the given party. owner is the party's id.
	Verify(ctx context.Context, key blob.ExchangeKey, owner string, payload []byte, s Signature) error
}

// Storage is the shared storage of exchanges, for checkpoints.
type Storage interface {
	// Read returns a blob and a version for Write. An absent blob fails with provider.ErrNotFound.
	Read(ctx context.Context, key blob.ExchangeKey, name string) (data []byte, version string, err error)
	// Write replaces a blob if it still has the version, empty for absent, as far as the storage can
	// tell; otherwise it fails with blob.ErrConflict and writes nothing.
	Write(ctx context.Context, key blob.ExchangeKey, name string, data []byte, version string) error
}

// Config says whose coordinator it is and what it looks at.
type Config struct {
	Party manifest.Party
	// RecurringExchanges are the ids to serve, in the order of their turns.
	RecurringExchanges []string
	// Lookback is how far into the past unfinished exchanges are looked for.
	Lookback time.Duration
	// TaskTimeout is when an attempt of ours counts as dead even though this process runs it.
	TaskTimeout time.Duration
	// EveryDay runs every workflow each day, whatever its schedule says, as the reference does.
	EveryDay bool
}

// Coordinator is a coordinator.Coordinator. It is safe for concurrent use.
type Coordinator struct {
	config    Config
	workflows provider.SecretMap
	storage   Storage
	signer    Signer

	mu sync.Mutex // one read-modify-write of our checkpoints at a time
	// last is the exchange that was looked at last; the next claim begins behind it.
	last blob.ExchangeKey
	// terminal holds exchanges that have ended, which is final; they are not read again.
	terminal map[blob.ExchangeKey]struct{}
	// alive holds the attempts that this process claimed and has not finished.
	alive map[attemptID]struct{}
}

type attemptID struct {
	key    blob.ExchangeKey
	step   string
	number int32
}

// New returns a coordinator. workflows is the map of stored workflows, serialized in the internal schema.
func New(config Config, workflows provider.SecretMap, storage Storage, signer Signer) *Coordinator {
	return &Coordinator{
		config: config, workflows: workflows, storage: storage, signer: signer,
		terminal: map[blob.ExchangeKey]struct{}{}, alive: map[attemptID]struct{}{},
	}
}

var _ coordinator.Coordinator = (*Coordinator)(nil)

// Claim walks once around all exchanges in the look-back window, beginning
// behind the one it looked at last, and claims the first step it finds. An
// exchange that can't be read does not keep the others from being claimed: its
// error is returned only if nothing was claimed.
func (c *Coordinator) Claim(ctx context.Context, ready func(context.Context, coordinator.Candidate) bool) (*coordinator.Attempt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lap, err := c.lap(ctx)
	faults := []error{err}
	for _, p := range lap {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		a, err := c.claimFrom(ctx, p, ready)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", p.key.Path(), err))
			continue
		}
		c.last = p.key
		if a != nil {
			return a, nil
		}
	}
	return nil, errors.Join(faults...)
}

// place is one exchange of a lap with its stored workflow.
type place struct {
	key blob.ExchangeKey
	doc *workflow.Document
}

// lap lists the exchanges to look at, each once: oldest date first, recurring exchanges in the
// configured order, rotated so that it begins behind the last one. It is computed up front, so that
// midnight can't make it endless.
func (c *Coordinator) lap(ctx context.Context) ([]place, error) {
	now := time.Now()
	from, today := workflow.DateOf(now.Add(-c.config.Lookback)), workflow.DateOf(now)
	var faults []error
	byDate := map[workflow.Date][]place{}
	for _, id := range c.config.RecurringExchanges {
		doc, err := c.workflow(ctx, id)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		w := *doc.Workflow
		if c.config.EveryDay {
			w.Schedule = workflow.Daily
		}
		for d := range w.Dates(from, today) {
			key, err := blob.NewExchangeKey(id, d)
			if err != nil {
				faults = append(faults, err)
				break
			}
			if _, done := c.terminal[key]; !done {
				byDate[d] = append(byDate[d], place{key, doc})
			}
		}
	}
	var ahead, behind []place
	passed := c.last == blob.ExchangeKey{}
	for d := from; !d.After(today); d = d.AddDays(1) {
		for _, p := range byDate[d] {
			if passed || d.After(c.last.Date) {
				ahead = append(ahead, p)
			} else {
				behind = append(behind, p)
			}
			passed = passed || p.key == c.last
		}
	}
	return append(ahead, behind...), errors.Join(faults...)
}

// workflow reads and parses the stored workflow of a recurring exchange.
func (c *Coordinator) workflow(ctx context.Context, id string) (*workflow.Document, error) {
	stored, err := c.workflows.Get(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("workflow of recurring exchange %s: %w", id, err)
	}
	doc, diags := workflow.Parse(stored, workflow.ParseOptions{Name: "workflow of " + id, Format: workflow.InternalBinary})
	if err := diags.Err(); err != nil {
		return nil, failure.New(failure.Configuration, failure.CodeWorkflow, err)
	}
	return doc, nil
}

// claimTries bounds how often a claim is worked out anew because somebody else wrote our checkpoint.
const claimTries = 3

func (c *Coordinator) claimFrom(ctx context.Context, p place, ready func(context.Context, coordinator.Candidate) bool) (*coordinator.Attempt, error) {
	for try := 1; ; try++ {
		s, err := c.load(ctx, p)
		if err != nil {
			return nil, err
		}
		if s.terminal() {
			c.terminal[p.key] = struct{}{}
			return nil, nil
		}
		step, ok, err := s.next(ctx, c.abandoned(p.key), ready)
		if err != nil || !ok {
			return nil, err
		}
		a, err := c.take(ctx, s, step)
		if errors.Is(err, blob.ErrConflict) && try < claimTries {
			continue
		}
		return a, err
	}
}

// abandoned tells whether nobody works on an attempt of ours that is IN_PROGRESS: it is too old, or it
// belongs to a process that is gone. The text goes into the checkpoint.
func (c *Coordinator) abandoned(key blob.ExchangeKey) func(*internalpb.ExchangeCheckpoint_ProgressEntry) (string, bool) {
	return func(e *internalpb.ExchangeCheckpoint_ProgressEntry) (string, bool) {
		if time.Since(e.GetStartTime().AsTime()) >= c.config.TaskTimeout {
			return fmt.Sprintf("Attempt timed out after %s", c.config.TaskTimeout), true
		}
		a := e.GetAttempt()
		if _, ours := c.alive[attemptID{key, a.GetStepId(), a.GetAttemptNumber()}]; !ours {
			return "Attempt was abandoned when the daemon ended", true
		}
		return "", false
	}
}

// take writes a new IN_PROGRESS attempt into our checkpoint.
func (c *Coordinator) take(ctx context.Context, s *state, step workflow.Step) (*coordinator.Attempt, error) {
	number, err := s.begin(step, c.abandoned(s.key), time.Now())
	if err != nil {
		return nil, err
	}
	if err := c.write(ctx, s); err != nil {
		return nil, err
	}
	c.alive[attemptID{s.key, step.ID, number}] = struct{}{}
	return &coordinator.Attempt{
		Exchange:    s.key,
		Name:        fmt.Sprintf("%s/steps/%s/attempts/%d", s.key.Path(), step.ID, number),
		StepIndex:   step.Index,
		Number:      int(number),
		Workflow:    s.doc.Workflow,
		Fingerprint: s.claimed,
	}, nil
}

// Finish writes the end of an attempt into our checkpoint. A second call with the same report does nothing.
func (c *Coordinator) Finish(ctx context.Context, a *coordinator.Attempt, r coordinator.Report) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	doc, err := c.workflow(ctx, a.Exchange.RecurringExchange)
	if err != nil {
		return err
	}
	if a.Workflow == nil || a.StepIndex < 0 || a.StepIndex >= len(a.Workflow.Steps) {
		return fmt.Errorf("%s has no step %d", a.Exchange.Path(), a.StepIndex)
	}
	step := a.Workflow.Steps[a.StepIndex].ID
	for try := 1; ; try++ {
		s, err := c.loadOwn(ctx, place{a.Exchange, doc})
		if err != nil {
			return err
		}
		changed, err := s.end(step, int32(a.Number), r, time.Now())
		if err == nil && changed {
			err = c.write(ctx, s)
		}
		if errors.Is(err, blob.ErrConflict) && try < claimTries {
			continue
		}
		if err == nil || errors.Is(err, coordinator.ErrSuperseded) {
			delete(c.alive, attemptID{a.Exchange, step, int32(a.Number)})
		}
		return err
	}
}
