package exchange

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/panelmatch/panelmatch/engine/coordinator"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// holdoff keeps a failed step from being claimed again at once.
type holdoff struct {
	failures int
	until    time.Time
}

func stepKey(exchange string, index int) string { return exchange + "#" + strconv.Itoa(index) }

// ready is what the coordinator asks before it claims a candidate.
func (l *Loop) ready(ctx context.Context, c coordinator.Candidate) bool {
	l.mu.Lock()
	h := l.holdoffs[stepKey(c.Exchange.Path(), c.Step.Index)]
	l.mu.Unlock()
	if time.Now().Before(h.until) {
		return false
	}
	return l.Runner.Ready(ctx, c)
}

// nextHoldoff returns the time until the first step may be tried again.
func (l *Loop) nextHoldoff() (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	var next time.Duration
	found := false
	for _, h := range l.holdoffs {
		if d := h.until.Sub(now); d > 0 && (!found || d < next) {
			next, found = d, true
		}
	}
	return next, found
}

// backoff is the pause after the n-th failure (from 1): Initial, growing by Multiplier up to Max.
func backoff(r manifest.Retry, n int) time.Duration {
	d := float64(r.Initial) * math.Pow(max(1, r.Multiplier), float64(n-1))
	return min(time.Duration(math.Min(d, math.MaxInt64/2)), max(r.Max.Std(), r.Initial.Std()))
}
