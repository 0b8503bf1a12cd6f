// Package exchange is the daemon's loop: claim a step, validate it, run it,
// commit its outputs, report how it ended. It retries what a retry may mend,
// keeps to its number of parallel steps, and leaves nothing half done when it
// is stopped.
//
// It knows neither steps nor storage products: packages step and blob do, and
// package coordinator says what may run next.
package exchange

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/panelmatch/panelmatch/engine/coordinator"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Runner runs claimed attempts, one call each. Implementations must be safe
// for concurrent use.
type Runner interface {
	// Ready reports whether a step could make progress now. It is asked before a claim, often, and must be
	// cheap. An input step is ready once its input is there.
	Ready(ctx context.Context, c coordinator.Candidate) bool
	// Waits reports whether all that the attempt would do now is to wait for somebody's input, so that it
	// needs no permit, and no job needs to stay for it.
	Waits(ctx context.Context, a *coordinator.Attempt) bool
	// Run validates and runs the attempt. A nil error means that its outputs and its done marker are
	// written. The error's class (package failure) decides what comes next.
	Run(ctx context.Context, a *coordinator.Attempt) error
}

// Observer is told what happens, for progress and metrics. Calls come from
// several goroutines; they must return at once.
type Observer interface {
	Claimed(a *coordinator.Attempt)
	Retrying(a *coordinator.Attempt, try int, after time.Duration, err error)
	Finished(a *coordinator.Attempt, r coordinator.Report, took time.Duration, err error)
	// Idle says that nothing can be claimed now, with the number of steps that run.
	Idle(running int)
}

// Loop is the daemon. Make one with its fields set, and call Run once.
type Loop struct {
	Coordinator coordinator.Coordinator
	Runner      Runner
	Config      manifest.Run
	Log         *slog.Logger
	// Observer may be nil.
	Observer Observer

	mu       sync.Mutex
	tally    tally
	holdoffs map[string]holdoff // by exchange and step: when a failed step may be tried again
}

// tally counts attempts.
type tally struct {
	running int // are being run, waiting ones included
	parked  int // of those, the ones that only wait
	ended   int // have been reported
}

// reportGrace is how long a report may take after the daemon was told to stop.
const reportGrace = 20 * time.Second

// maxClaimFailures is how often in a row a claim may fail in CRON_JOB mode before the job gives up.
const maxClaimFailures = 5

// Run runs exchanges until ctx is cancelled, or, in CRON_JOB mode, until
// nothing can be claimed and nothing runs. When ctx is cancelled it claims no
// more, gives running steps Config.ShutdownGrace, and reports those that did not
// finish as FAILED. It returns nil after an orderly end.
func (l *Loop) Run(ctx context.Context) error {
	l.holdoffs = map[string]holdoff{}
	permits := make(chan struct{}, max(1, l.Config.MaxParallelSteps))
	wake := make(chan struct{}, 1)
	var steps sync.WaitGroup

	// Steps do not die with ctx, but only when the grace is over.
	stepCtx, cancelSteps := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancelSteps(nil)

	err := l.claimLoop(ctx, permits, wake, func(a *coordinator.Attempt, release func()) {
		steps.Go(func() {
			l.attempt(stepCtx, a, release)
			l.count(tally{running: -1, ended: 1})
			poke(wake)
		})
	})
	l.drain(&steps, cancelSteps)
	return err
}

// drain waits for running steps; what is still there after the grace is cancelled.
func (l *Loop) drain(steps *sync.WaitGroup, cancel context.CancelCauseFunc) {
	done := make(chan struct{})
	go func() {
		steps.Wait()
		close(done)
	}()
	grace := l.Config.ShutdownGrace.Std()
	if now := l.count(tally{}); now.running == now.parked {
		grace = 0 // who only waits loses nothing
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-done:
		return
	case <-timer.C:
	}
	cancel(errShutdown)
	<-done
}

var errShutdown = failure.Transientf(failure.CodeShutdown, "the daemon was stopped")

func (l *Loop) claimLoop(ctx context.Context, permits, wake chan struct{}, start func(*coordinator.Attempt, func())) error {
	failures := 0
	for {
		select {
		case permits <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		release := sync.OnceFunc(func() {
			<-permits
			poke(wake)
		})
		before := l.count(tally{})
		a, err := l.Coordinator.Claim(ctx, l.ready)
		if a != nil {
			failures = 0
			l.count(tally{running: 1})
			if l.Observer != nil {
				l.Observer.Claimed(a)
			}
			l.Log.InfoContext(ctx, "step claimed", attrs(a)...)
			start(a, release)
			continue // claim again at once
		}
		<-permits
		if err != nil && ctx.Err() == nil {
			failures++
			l.Log.WarnContext(ctx, "no step could be claimed", "error", err, "failures", failures)
		} else {
			failures = 0
		}
		done, err := l.idle(ctx, before, failures, err, wake)
		if done {
			return err
		}
	}
}

// idle decides what an empty-handed claim means: the end of a cron job, or a pause. A step that ended
// since before, when the claim began, may have made others ready that the claim did not see.
func (l *Loop) idle(ctx context.Context, before tally, failures int, cause error, wake <-chan struct{}) (done bool, err error) {
	now := l.count(tally{})
	if l.Observer != nil {
		l.Observer.Idle(now.running)
	}
	if l.Config.Mode == manifest.CronJob && now == before && now.running == now.parked {
		switch {
		case failures == 0:
			l.Log.InfoContext(ctx, "nothing to claim and nothing running; done", "waiting", now.parked)
			return true, nil
		case failures >= maxClaimFailures:
			return true, fmt.Errorf("claim a step: failed %d times in a row: %w", failures, cause)
		}
	}
	pause := l.Config.PollInterval.Std()
	if failures > 0 {
		pause = min(pause, backoff(l.Config.Retry, failures))
	}
	if next, ok := l.nextHoldoff(); ok {
		pause = min(pause, max(next, time.Millisecond))
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return true, nil
	case <-wake:
	case <-timer.C:
	}
	return false, nil
}

// count adds to the tally, and returns it.
func (l *Loop) count(add tally) tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally.running += add.running
	l.tally.parked += add.parked
	l.tally.ended += add.ended
	return l.tally
}

// attempt runs one claimed attempt to its end and reports it. It gives back the permit exactly once:
// after the report is delivered or given up, or at once if the attempt only waits.
func (l *Loop) attempt(ctx context.Context, a *coordinator.Attempt, release func()) {
	defer release()
	if a.Fault == nil && l.Runner.Waits(ctx, a) {
		l.count(tally{parked: 1})
		defer l.count(tally{parked: -1})
		release()
	}
	start := time.Now()
	err := l.try(ctx, a)
	report := l.report(a, err)
	took := time.Since(start)
	if err != nil {
		l.Log.ErrorContext(ctx, "step failed", append(attrs(a), "state", report.State.String(), "error", err)...)
	} else {
		l.Log.InfoContext(ctx, "step done", append(attrs(a), "duration", took.Round(time.Millisecond).String())...)
	}
	l.finish(ctx, a, report)
	if l.Observer != nil {
		l.Observer.Finished(a, report, took, err)
	}
}

// try runs the attempt, again and again while its error is one that may pass, within the task timeout
// and the retry budget.
func (l *Loop) try(ctx context.Context, a *coordinator.Attempt) error {
	if a.Fault != nil {
		return a.Fault
	}
	ctx, cancel := context.WithTimeout(ctx, l.Config.TaskTimeout.Std())
	defer cancel()
	for n := 1; ; n++ {
		err := l.Runner.Run(ctx, a)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ended(ctx, err)
		}
		if class, _ := failure.Of(err); class != failure.Transient || n >= l.Config.Retry.MaxAttempts {
			return err
		}
		pause := backoff(l.Config.Retry, n)
		if l.Observer != nil {
			l.Observer.Retrying(a, n, pause, err)
		}
		l.Log.WarnContext(ctx, "step will be tried again", append(attrs(a), "try", n, "after", pause.String(), "error", err)...)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ended(ctx, err)
		}
	}
}

// ended says why a step's context ended, together with what the step was doing.
func ended(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, context.DeadlineExceeded) {
		return failure.New(failure.Transient, failure.CodeTimeout, fmt.Errorf("the step ran into run.taskTimeout: %w", err))
	}
	return failure.New(failure.Transient, failure.CodeShutdown, fmt.Errorf("%w: %w", cause, err))
}

// permanentRetry is the value of run.retry.permanentFailures that keeps an exchange alive although an
// error will come again.
const permanentRetry = "retry"

// report turns an error into what the coordinator is told, and remembers how long to leave the step alone.
func (l *Loop) report(a *coordinator.Attempt, err error) coordinator.Report {
	key := stepKey(a.Exchange.Path(), a.StepIndex)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		delete(l.holdoffs, key)
		return coordinator.Report{State: coordinator.Succeeded}
	}
	class, code := failure.Of(err)
	r := coordinator.Report{State: coordinator.Failed, Messages: []string{failure.Public(err)}}
	if class == failure.Permanent && l.Config.Retry.PermanentFailures != permanentRetry {
		r.State = coordinator.FailedStep
		delete(l.holdoffs, key)
		return r
	}
	if code == failure.CodeShutdown {
		return r
	}
	h := l.holdoffs[key]
	h.failures++
	h.until = time.Now().Add(backoff(l.Config.Retry, h.failures+l.Config.Retry.MaxAttempts))
	l.holdoffs[key] = h
	return r
}

// finish delivers the report, trying until it is taken, superseded, or the daemon stops.
func (l *Loop) finish(ctx context.Context, a *coordinator.Attempt, r coordinator.Report) {
	// After a stop the report still gets a little time: a partner should not wait a day for it.
	bounded, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(reportGrace, cancel)
		context.AfterFunc(bounded, func() { timer.Stop() })
	})
	defer stop()
	for n := 1; ; n++ {
		err := l.Coordinator.Finish(bounded, a, r)
		switch {
		case err == nil:
			return
		case errors.Is(err, coordinator.ErrSuperseded):
			l.Log.WarnContext(ctx, "the attempt was taken over; its report is dropped", attrs(a)...)
			return
		}
		pause := backoff(l.Config.Retry, n)
		l.Log.WarnContext(ctx, "report not delivered", append(attrs(a), "state", r.State.String(), "try", n, "error", err)...)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-bounded.Done():
			timer.Stop()
			l.Log.ErrorContext(ctx, "report given up; the step will be claimed again and found done", attrs(a)...)
			return
		}
	}
}

func attrs(a *coordinator.Attempt) []any {
	id := ""
	if a.Workflow != nil && a.StepIndex >= 0 && a.StepIndex < len(a.Workflow.Steps) {
		id = a.Workflow.Steps[a.StepIndex].ID
	}
	return []any{
		slog.String("exchange", a.Exchange.RecurringExchange), slog.String("date", a.Exchange.Date.String()),
		slog.String("step", id), slog.Int("attempt", a.Number),
	}
}

// poke wakes a sleeper, or the next one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
