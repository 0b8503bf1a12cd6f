package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/coordinator"
	"github.com/panelmatch/panelmatch/engine/exchange"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// queue is a coordinator that hands out the steps of one workflow in order, each until it succeeded or
// failed for good.
type queue struct {
	mu       sync.Mutex
	workflow *workflow.Workflow
	state    map[int]string // step → "", "running", "done", "failed"
	attempts map[int]int
	reports  []string
	claims   int

	claimErr  func(n int) error
	finishErr func(n int) error
	finishes  int
	blind     bool // does not ask ready, as a Kingdom
}

func newQueue(steps int) *queue {
	q := &queue{workflow: &workflow.Workflow{}, state: map[int]string{}, attempts: map[int]int{}}
	for i := range steps {
		q.workflow.Steps = append(q.workflow.Steps, workflow.Step{Index: i, ID: fmt.Sprintf("step-%d", i)})
	}
	return q
}

var key = blob.ExchangeKey{RecurringExchange: "rx", Date: workflow.Date{Year: 2024, Month: 1, Day: 31}}

func (q *queue) Claim(ctx context.Context, ready func(context.Context, coordinator.Candidate) bool) (*coordinator.Attempt, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.claims++
	if q.claimErr != nil {
		if err := q.claimErr(q.claims); err != nil {
			return nil, err
		}
	}
	for i, s := range q.workflow.Steps {
		if q.state[i] != "" || !q.blind && !ready(ctx, coordinator.Candidate{Exchange: key, Workflow: q.workflow, Step: s}) {
			continue
		}
		q.state[i] = "running"
		q.attempts[i]++
		return &coordinator.Attempt{Exchange: key, StepIndex: i, Number: q.attempts[i], Workflow: q.workflow}, nil
	}
	return nil, nil
}

func (q *queue) Finish(_ context.Context, a *coordinator.Attempt, r coordinator.Report) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.finishes++
	if q.finishErr != nil {
		if err := q.finishErr(q.finishes); err != nil {
			return err
		}
	}
	q.reports = append(q.reports, fmt.Sprintf("%d/%d %s", a.StepIndex, a.Number, r.State))
	switch r.State {
	case coordinator.Succeeded:
		q.state[a.StepIndex] = "done"
	case coordinator.Failed:
		q.state[a.StepIndex] = ""
	case coordinator.FailedStep:
		q.state[a.StepIndex] = "failed"
	}
	return nil
}

// work is a Runner made of functions.
type work struct {
	run   func(ctx context.Context, a *coordinator.Attempt) error
	waits func(a *coordinator.Attempt) bool

	mu          sync.Mutex
	running, mx int
}

func (w *work) Ready(context.Context, coordinator.Candidate) bool { return true }

func (w *work) Waits(_ context.Context, a *coordinator.Attempt) bool {
	return w.waits != nil && w.waits(a)
}

func (w *work) Run(ctx context.Context, a *coordinator.Attempt) error {
	w.mu.Lock()
	w.running++
	w.mx = max(w.mx, w.running)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.running--
		w.mu.Unlock()
	}()
	return w.run(ctx, a)
}

func config() manifest.Run {
	return manifest.Run{
		Mode:             manifest.CronJob,
		PollInterval:     manifest.Duration(time.Minute),
		TaskTimeout:      manifest.Duration(time.Hour),
		ShutdownGrace:    manifest.Duration(10 * time.Second),
		MaxParallelSteps: 2,
		Retry: manifest.Retry{
			MaxAttempts: 3, Initial: manifest.Duration(time.Second), Max: manifest.Duration(time.Minute), Multiplier: 2,
		},
	}
}

func newLoop(q *queue, w *work) *exchange.Loop {
	return &exchange.Loop{Coordinator: q, Runner: w, Config: config(), Log: slog.New(slog.DiscardHandler)}
}

func ok(context.Context, *coordinator.Attempt) error { return nil }

func TestCronJobRunsEverythingAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(5)
		start := time.Now()
		if err := newLoop(q, &work{run: ok}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(q.reports) != 5 {
			t.Errorf("reports %v, want five", q.reports)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("steps that are ready were claimed only after %v", d)
		}
	})
}

func TestParallelStepsKeepToTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(9)
		w := &work{run: func(ctx context.Context, _ *coordinator.Attempt) error { time.Sleep(time.Second); return nil }}
		// Reports that fail at first must not give back a permit twice.
		q.finishErr = func(n int) error {
			if n%2 == 1 {
				return errors.New("away")
			}
			return nil
		}
		if err := newLoop(q, w).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if w.mx != 2 {
			t.Errorf("%d steps ran at once, want 2", w.mx)
		}
		if len(q.reports) != 9 {
			t.Errorf("reports %v, want nine", q.reports)
		}
	})
}

func TestAWaitingInputHoldsNoPermit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(4)
		q.blind = true
		arrived := make(chan struct{})
		w := &work{
			waits: func(a *coordinator.Attempt) bool { return a.StepIndex < 3 },
			run: func(ctx context.Context, a *coordinator.Attempt) error {
				if a.StepIndex == 3 {
					close(arrived)
					return nil
				}
				select {
				case <-arrived:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			},
		}
		l := newLoop(q, w)
		l.Config.MaxParallelSteps = 1
		l.Config.Mode = manifest.Daemon
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := l.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if len(q.reports) != 4 {
			t.Errorf("reports %v, want four", q.reports)
		}
	})
}

func TestCronJobDoesNotWaitForInputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		q.blind = true
		w := &work{
			waits: func(*coordinator.Attempt) bool { return true },
			run:   func(ctx context.Context, _ *coordinator.Attempt) error { <-ctx.Done(); return ctx.Err() },
		}
		start := time.Now()
		if err := newLoop(q, w).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > 5*time.Minute {
			t.Errorf("waited %v", d)
		}
		if want := []string{"0/1 FAILED"}; !slices.Equal(q.reports, want) {
			t.Errorf("reports %v, want %v", q.reports, want)
		}
	})
}

func TestTransientErrorsAreRetriedInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		tries := 0
		w := &work{run: func(context.Context, *coordinator.Attempt) error {
			tries++
			if tries < 3 {
				return failure.Transientf(failure.CodeStorage, "away")
			}
			return nil
		}}
		if err := newLoop(q, w).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"0/1 SUCCEEDED"}; !slices.Equal(q.reports, want) {
			t.Errorf("reports %v, want %v", q.reports, want)
		}
	})
}

func TestPermanentErrorsEndTheStep(t *testing.T) {
	for _, c := range []struct {
		policy string
		want   string
	}{{"failStep", "0/1 FAILED_STEP"}, {"retry", "0/1 FAILED"}} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(1)
			w := &work{run: func(context.Context, *coordinator.Attempt) error {
				return failure.Permanentf(failure.CodeSignature, "signed by a stranger")
			}}
			l := newLoop(q, w)
			l.Config.Retry.PermanentFailures = c.policy
			if err := l.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(q.reports) == 0 || q.reports[0] != c.want {
				t.Errorf("%s: reports %v, want %s first", c.policy, q.reports, c.want)
			}
		})
	}
}

func TestAFailedStepIsLeftAloneForGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		var at []time.Time
		w := &work{run: func(context.Context, *coordinator.Attempt) error {
			at = append(at, time.Now())
			return failure.Configurationf(failure.CodePermission, "no access")
		}}
		l := newLoop(q, w)
		l.Config.Mode = manifest.Daemon
		l.Config.Retry.Max = manifest.Duration(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if err := l.Run(ctx); err != nil {
			t.Fatal(err)
		}
		for i := 2; i < len(at); i++ {
			if at[i].Sub(at[i-1]) <= at[i-1].Sub(at[i-2]) {
				t.Errorf("pauses do not grow: %v", at)
			}
		}
		if len(at) < 3 {
			t.Errorf("tried %d times only", len(at))
		}
	})
}

func TestStopGivesStepsTheirGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(2)
		w := &work{run: func(ctx context.Context, a *coordinator.Attempt) error {
			if a.StepIndex == 0 { // done within the grace
				time.Sleep(5 * time.Second)
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		l := newLoop(q, w)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := l.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != 11*time.Second {
			t.Errorf("ended after %v, want 1s and the grace of 10s", d)
		}
		if want := []string{"0/1 SUCCEEDED", "1/1 FAILED"}; !slices.Equal(q.reports, want) {
			t.Errorf("reports %v, want %v", q.reports, want)
		}
	})
}

func TestAStepThatRunsTooLongFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		w := &work{run: func(ctx context.Context, _ *coordinator.Attempt) error { <-ctx.Done(); return ctx.Err() }}
		l := newLoop(q, w)
		l.Config.Mode = manifest.Daemon
		ctx, cancel := context.WithTimeout(t.Context(), 61*time.Minute)
		defer cancel()
		if err := l.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if len(q.reports) == 0 || q.reports[0] != "0/1 FAILED" {
			t.Errorf("reports %v, want 0/1 FAILED first", q.reports)
		}
	})
}

func TestAReportIsDeliveredAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		start := time.Now()
		q.finishErr = func(int) error {
			if time.Since(start) < 3*time.Hour {
				return errors.New("away")
			}
			return nil
		}
		if err := newLoop(q, &work{run: ok}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"0/1 SUCCEEDED"}; !slices.Equal(q.reports, want) {
			t.Errorf("reports %v, want %v", q.reports, want)
		}
	})
}

func TestACronJobThatCanNotClaimFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		q.claimErr = func(int) error { return errors.New("no network") }
		if err := newLoop(q, &work{run: ok}).Run(t.Context()); err == nil {
			t.Error("ended without an error")
		}
	})
}

func TestAnAttemptThatCanNotRunIsReportedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &faulty{queue: newQueue(1)}
		l := newLoop(q.queue, &work{run: ok})
		l.Coordinator = q
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"0/1 FAILED_STEP"}; !slices.Equal(q.reports, want) {
			t.Errorf("reports %v, want %v", q.reports, want)
		}
	})
}

// faulty claims attempts whose workflow nobody understands.
type faulty struct{ *queue }

func (f *faulty) Claim(ctx context.Context, ready func(context.Context, coordinator.Candidate) bool) (*coordinator.Attempt, error) {
	a, err := f.queue.Claim(ctx, ready)
	if a != nil {
		a.Workflow, a.Fault = nil, failure.Permanentf(failure.CodeWorkflow, "unknown step type")
	}
	return a, err
}
