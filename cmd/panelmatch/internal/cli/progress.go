package cli

import (
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/panelmatch/panelmatch/engine/coordinator"
	"github.com/panelmatch/panelmatch/engine/exchange"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// progress draws the steps of a run: on a terminal a line for each running step, overwritten when it
// ends; elsewhere one plain line for each step that ended. It is safe for concurrent use.
type progress struct {
	out  io.Writer
	live bool

	mu      sync.Mutex
	running []string // lines below the finished ones, in the order of their starts
	drawn   int      // lines of running that are on the screen
}

func newProgress(out io.Writer, live bool) *progress { return &progress{out: out, live: live} }

// of returns an observer for one party.
func (p *progress) of(party manifest.Party) exchange.Observer {
	name := "MP "
	if party == manifest.DataProvider {
		name = "EDP"
	}
	return &partyProgress{p, name}
}

// end takes the lines of running steps off the screen.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	p.running = nil
}

// show prints line for good and redraws what runs; either may be nothing new.
func (p *progress) show(line string) {
	p.erase()
	if line != "" {
		fmt.Fprintln(p.out, line)
	}
	if !p.live {
		return
	}
	for _, r := range p.running {
		fmt.Fprintln(p.out, r)
	}
	p.drawn = len(p.running)
}

func (p *progress) erase() {
	for range p.drawn {
		fmt.Fprint(p.out, "\x1b[1A\x1b[2K") // up one line, and clear it
	}
	p.drawn = 0
}

func (p *progress) start(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = append(p.running, line)
	p.show("")
}

func (p *progress) stop(started, line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range p.running {
		if r == started {
			p.running = append(p.running[:i:i], p.running[i+1:]...)
			break
		}
	}
	p.show(line)
}

type partyProgress struct {
	p    *progress
	name string
}

func (o *partyProgress) line(mark string, a *coordinator.Attempt) string {
	step := strconv.Itoa(a.StepIndex)
	if a.Workflow != nil && a.StepIndex < len(a.Workflow.Steps) {
		step = a.Workflow.Steps[a.StepIndex].ID
	}
	return fmt.Sprintf("  %s %s  %s", mark, o.name, step)
}

func (o *partyProgress) Claimed(a *coordinator.Attempt) { o.p.start(o.line("…", a)) }

func (o *partyProgress) Retrying(a *coordinator.Attempt, try int, after time.Duration, err error) {
	o.p.mu.Lock()
	defer o.p.mu.Unlock()
	o.p.show(fmt.Sprintf("%s: try %d failed, again in %s: %v", o.line("!", a), try, seconds(after), err))
}

func (o *partyProgress) Finished(a *coordinator.Attempt, r coordinator.Report, took time.Duration, err error) {
	started := o.line("…", a)
	if err != nil {
		o.p.stop(started, fmt.Sprintf("%s: %s: %v", o.line("✗", a), r.State, err))
		return
	}
	o.p.stop(started, fmt.Sprintf("%s  %s", o.line("✓", a), seconds(took)))
}

func (o *partyProgress) Idle(int) {}
