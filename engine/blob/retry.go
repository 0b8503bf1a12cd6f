package blob

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"

	"github.com/panelmatch/panelmatch/engine/provider"
)

// Retry is how an operation is repeated that failed with ErrTransient and can
// be repeated. Pauses grow by Multiplier from Initial to Max, and each is cut
// by up to half at random so that many clients don't come back at once.
type Retry struct {
	// Attempts is how often an operation is tried at most, the first time included; 1 for no retry.
	Attempts int
	// Initial and Max are the first and the longest pause.
	Initial, Max time.Duration
	Multiplier   float64
	// Budget is how long an operation may go on being repeated: no attempt begins after it.
	Budget time.Duration
	// Sleep waits, or returns the context's error; nil for a timer. Tests set it.
	Sleep func(ctx context.Context, d time.Duration) error
}

// The defaults, for each field of a Retry that is zero.
const (
	defaultAttempts   = 5
	defaultInitial    = 250 * time.Millisecond
	defaultMax        = 15 * time.Second
	defaultMultiplier = 2
	defaultBudget     = 2 * time.Minute
)

func (r Retry) withDefaults() Retry {
	if r.Attempts <= 0 {
		r.Attempts = defaultAttempts
	}
	if r.Initial <= 0 {
		r.Initial = defaultInitial
	}
	if r.Max <= 0 {
		r.Max = defaultMax
	}
	if r.Multiplier < 1 {
		r.Multiplier = defaultMultiplier
	}
	if r.Budget <= 0 {
		r.Budget = defaultBudget
	}
	if r.Sleep == nil {
		r.Sleep = sleep
	}
	return r
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// retry runs f, again as long as it fails with ErrTransient and the budget
// lasts. The error is wrapped.
func (s *Store) retry(ctx context.Context, op, key string, f func(context.Context) error) error {
	r := s.opts.Retry
	begin := time.Now()
	pause := r.Initial
	for attempt := 1; ; attempt++ {
		if ctx.Err() != nil {
			return s.wrap(ctx, op, key, context.Cause(ctx))
		}
		err := s.wrap(ctx, op, key, guard(ctx, f))
		if err == nil || !errors.Is(err, provider.ErrTransient) || ctx.Err() != nil {
			return err
		}
		wait := jitter(min(pause, r.Max))
		if attempt >= r.Attempts || time.Since(begin)+wait > r.Budget {
			return err
		}
		if s.opts.Observer != nil {
			s.opts.Observer.Retried(op, err)
		}
		if r.Sleep(ctx, wait) != nil {
			return err
		}
		pause = time.Duration(float64(min(pause, r.Max)) * r.Multiplier)
	}
}

// guard turns a panic of a driver into an error. One is known: in release
// 0.47 of gocloud.dev the Azure driver panics when a streamed write fails.
func guard(ctx context.Context, f func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError{p}
		}
	}()
	return f(ctx)
}

// panicError is a panic of a driver.
type panicError struct{ value any }

func (p panicError) Error() string {
	if err, ok := p.value.(error); ok {
		return "the storage driver panicked: " + err.Error()
	}
	if text, ok := p.value.(string); ok {
		return "the storage driver panicked: " + text
	}
	return "the storage driver panicked"
}

// jitter returns between half of d and d.
func jitter(d time.Duration) time.Duration {
	var b [8]byte
	rand.Read(b[:]) //nolint:errcheck // never fails
	return d/2 + time.Duration(float64(d/2)*(float64(binary.LittleEndian.Uint64(b[:])>>11)/(1<<53)))
}
