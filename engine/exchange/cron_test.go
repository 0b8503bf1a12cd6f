package exchange_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/panelmatch/panelmatch/engine/coordinator"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// chain is a queue whose steps wait for each other, and whose claims take a second after they have
// looked: what ends meanwhile is not seen.
type chain struct{ *queue }

func (c chain) Claim(ctx context.Context, _ func(context.Context, coordinator.Candidate) bool) (*coordinator.Attempt, error) {
	a, err := c.queue.Claim(ctx, func(_ context.Context, cand coordinator.Candidate) bool {
		i := cand.Step.Index
		return i == 0 || c.state[i-1] == "done"
	})
	if a == nil {
		time.Sleep(time.Second)
	}
	return a, err
}

func TestACronJobStaysForWhatAStepMadeReadyWhileItClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(3)
		l := newLoop(q, &work{run: func(context.Context, *coordinator.Attempt) error {
			time.Sleep(500 * time.Millisecond)
			return nil
		}})
		l.Coordinator = chain{q}
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(q.reports) != 3 {
			t.Errorf("reports %v, want three", q.reports)
		}
	})
}

func TestACronJobStaysForAnInputThatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(3)
		l := newLoop(q, &work{
			// All are inputs; that of step 0 is there, and takes a while to be reported.
			waits: func(a *coordinator.Attempt) bool { return a.StepIndex > 0 },
			run: func(ctx context.Context, a *coordinator.Attempt) error {
				if a.StepIndex == 0 {
					time.Sleep(time.Second)
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			},
		})
		l.Coordinator = chain{q}
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"0/1 SUCCEEDED", "1/1 FAILED"}; !slices.Equal(q.reports, want) {
			t.Errorf("reports %v, want %v", q.reports, want)
		}
	})
}

// watcher counts what an observer is told.
type watcher struct {
	mu    sync.Mutex
	calls map[string]int
	idle  int // the highest number of running steps while nothing could be claimed
}

func (w *watcher) add(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calls == nil {
		w.calls = map[string]int{}
	}
	w.calls[what]++
}

func (w *watcher) Claimed(*coordinator.Attempt) { w.add("claimed") }

func (w *watcher) Retrying(_ *coordinator.Attempt, _ int, after time.Duration, err error) {
	w.add("retrying")
	if after <= 0 || err == nil {
		w.add("retrying without pause or reason")
	}
}

func (w *watcher) Finished(_ *coordinator.Attempt, r coordinator.Report, took time.Duration, err error) {
	w.add("finished " + r.State.String())
}

func (w *watcher) Idle(running int) {
	w.add("idle")
	w.mu.Lock()
	w.idle = max(w.idle, running)
	w.mu.Unlock()
}

func TestTheObserverIsToldEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(3)
		failures := 0
		l := newLoop(q, &work{run: func(_ context.Context, a *coordinator.Attempt) error {
			time.Sleep(time.Second)
			if a.StepIndex == 1 && failures < 2 {
				failures++
				return context.DeadlineExceeded
			}
			return nil
		}})
		w := &watcher{}
		l.Observer = w
		l.Config.MaxParallelSteps = 8
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		for what, want := range map[string]int{
			"claimed": 3, "retrying": 2, "finished SUCCEEDED": 3, "retrying without pause or reason": 0,
		} {
			if w.calls[what] != want {
				t.Errorf("%q was told %d times, want %d", what, w.calls[what], want)
			}
		}
		if w.idle != 3 {
			t.Errorf("at most %d steps ran while nothing could be claimed, want 3", w.idle)
		}
	})
}

func TestASecondStopIsNotNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		l := newLoop(q, &work{run: ok})
		l.Config.Mode = manifest.Daemon
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		if err := l.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if time.Since(start) > 0 {
			t.Errorf("a daemon that was stopped before it began ran for %v", time.Since(start))
		}
	})
}
