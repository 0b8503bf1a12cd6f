package graph

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Opener opens what a node stands for. What the node needs is open by then. On
// an error nothing of it is left open. The context bounds the opening only.
type Opener func(ctx context.Context, env provider.Env) (io.Closer, error)

// State is where a node is on its way.
type State string

// The states of an Event.
const (
	StateOpening State = "opening"
	StateOpen    State = "open"
	StateFailed  State = "failed"
	StateSkipped State = "skipped" // something that the node needs has failed
	StateClosing State = "closing"
	StateClosed  State = "closed"
)

// Event tells of the progress of Open, of its rollback, and of Close.
type Event struct {
	Node  string
	State State
	// Err is set for StateFailed and StateSkipped, and for StateClosed if closing failed.
	Err error
	// Duration is how long the step took; zero when it begins.
	Duration time.Duration
	// Done of Total nodes are finished, well or not; those that need no opening are not counted.
	Done, Total int
}

// OpenError is one node that could not be opened.
type OpenError struct {
	// Node is its id, Provider its provider's name.
	Node, Provider string
	Err            error
}

// Error names the node and its provider.
func (e *OpenError) Error() string {
	if e.Provider == "" || e.Provider == e.Node {
		return fmt.Sprintf("open %s: %v", e.Node, e.Err)
	}
	return fmt.Sprintf("open %s (%s): %v", e.Node, e.Provider, e.Err)
}

// Unwrap returns the provider's error.
func (e *OpenError) Unwrap() error { return e.Err }

// OpenOption changes how Open works.
type OpenOption func(*openOptions)

type openOptions struct {
	progress  func(Event)
	keepGoing bool
	parallel  int
	timeout   time.Duration
}

// WithProgress has f called for each Event, one at a time and in order. f must not block for long.
func WithProgress(f func(Event)) OpenOption { return func(o *openOptions) { o.progress = f } }

// KeepGoing has Open open everything that can be opened. Nodes that fail, and
// those that need one, are missing from the Opened and told by Opened.Failure;
// Open itself fails only if the graph is not valid or the context ends.
func KeepGoing() OpenOption { return func(o *openOptions) { o.keepGoing = true } }

// Parallel lets up to n independent nodes open at once; the default is 8.
func Parallel(n int) OpenOption { return func(o *openOptions) { o.parallel = max(n, 1) } }

// NodeTimeout bounds how long one node may take to open; the default is as long as the context allows.
func NodeTimeout(d time.Duration) OpenOption { return func(o *openOptions) { o.timeout = d } }

// Opened is an open graph. Its methods are safe for concurrent use; what they
// return must not be closed by the caller, and not be used after Close.
type Opened struct {
	graph   *Graph
	env     provider.Env
	options openOptions
	total   int
	// cancel ends the context that nodes were opened with. It is called by Close only: some clients
	// hold on to the context that made them, although they should not.
	cancel context.CancelFunc

	opened   []*node // in the order in which they came up
	failures map[string]error
	stored   storedStorages

	closeOnce sync.Once
	closeErr  error
}

// Open opens all nodes, each after those that it needs, independent ones at the
// same time. If one fails, or ctx ends, no further node is started, those under
// way are waited for, everything that is open is closed in reverse order, and
// the error names every node that failed (see OpenError).
//
// ctx bounds the opening; the graph stays open when ctx ends later. A graph
// that is open can't be opened again before it is closed.
func (g *Graph) Open(ctx context.Context, env provider.Env, opts ...OpenOption) (*Opened, error) {
	if err := g.Validate().Err(); err != nil {
		return nil, fmt.Errorf("the provider graph can't be opened: %w", err)
	}
	order, _ := g.order()
	if !g.isOpen.CompareAndSwap(false, true) {
		return nil, errors.New("the provider graph is open already; close it first")
	}
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Secret == nil {
		env.Secret = func(_ context.Context, ref manifest.SecretRef) (manifest.Secret, error) {
			return manifest.Secret{}, fmt.Errorf("secret %s can't be resolved: the program that opened the graph gave no way to", ref.Ref())
		}
	}
	o := &Opened{graph: g, env: env, options: openOptions{parallel: 8}, failures: map[string]error{}}
	for _, opt := range opts {
		opt(&o.options)
	}
	for _, n := range order {
		if n.open != nil {
			o.total++
		}
	}
	// Values outlive ctx, so they get a context of their own that ends with ctx only while opening.
	openCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	o.cancel = cancel
	stop := context.AfterFunc(ctx, cancel)
	err := o.run(openCtx, order)
	if !stop() && err == nil {
		err = context.Cause(ctx) // ended at the last moment: openCtx is dead, and so may be what was opened with it
	}
	if ctx.Err() != nil {
		err = cmp.Or(context.Cause(ctx), err)
		if failed := o.failed(order); failed != nil {
			err = fmt.Errorf("%w while opening: %w", err, failed)
		}
	}
	if err == nil {
		return o, nil
	}
	if closeErr := o.Close(); closeErr != nil {
		err = fmt.Errorf("%w; then, while closing what was open: %w", err, closeErr)
	}
	return nil, err
}

// opening is the outcome of one node.
type opening struct {
	node  *node
	value io.Closer
	err   error
	took  time.Duration
}

// run is the scheduler: it alone starts nodes, and takes their outcomes.
func (o *Opened) run(ctx context.Context, order []*node) error {
	waits := make(map[string]int, len(order))
	dependents := make(map[string][]*node, len(order))
	var ready []*node
	for _, n := range order {
		needs := n.neededIDs()
		waits[n.ID] = len(needs)
		for _, id := range needs {
			dependents[id] = append(dependents[id], n)
		}
		if len(needs) == 0 {
			ready = append(ready, n)
		}
	}
	outcomes := make(chan opening)
	running, done, stopped := 0, 0, false
	for len(ready) > 0 || running > 0 {
		for len(ready) > 0 && running < o.options.parallel && !stopped {
			n := ready[0]
			ready = ready[1:]
			o.emit(Event{Node: n.ID, State: StateOpening, Done: done, Total: o.total}, n)
			running++
			go func() {
				start := time.Now()
				v, err := openWithin(ctx, n, o.env, o.options.timeout)
				outcomes <- opening{n, v, err, time.Since(start)}
			}()
		}
		if running == 0 {
			break // stopped, and nothing is under way any more
		}
		r := <-outcomes
		running--
		if r.node.open != nil {
			done++
		}
		if r.err != nil {
			o.failures[r.node.ID] = &OpenError{Node: r.node.ID, Provider: r.node.Provider, Err: r.err}
			o.emit(Event{Node: r.node.ID, State: StateFailed, Err: r.err, Duration: r.took, Done: done, Total: o.total}, r.node)
			if !o.options.keepGoing {
				o.cancel()
			}
		} else {
			o.opened = append(o.opened, r.node)
			o.graph.setValue(r.node.ID, r.value)
			o.emit(Event{Node: r.node.ID, State: StateOpen, Duration: r.took, Done: done, Total: o.total}, r.node)
		}
		stopped = stopped || ctx.Err() != nil || (r.err != nil && !o.options.keepGoing)
		for _, d := range dependents[r.node.ID] {
			if waits[d.ID]--; waits[d.ID] == 0 {
				ready = append(ready, o.unlessSkipped(d, &done, waits, dependents)...)
			}
		}
	}
	if o.options.keepGoing {
		return nil
	}
	return o.failed(order)
}

// unlessSkipped returns n if all that it needs is open. Otherwise n is skipped,
// and with it whatever has been waiting for n alone.
func (o *Opened) unlessSkipped(n *node, done *int, waits map[string]int, dependents map[string][]*node) []*node {
	var missing string
	for _, id := range n.neededIDs() {
		if o.failures[id] != nil {
			missing = id
			break
		}
	}
	if missing == "" {
		return []*node{n}
	}
	err := &SkippedError{Node: n.ID, Needs: missing}
	o.failures[n.ID] = err
	if n.open != nil {
		*done++
	}
	o.emit(Event{Node: n.ID, State: StateSkipped, Err: err, Done: *done, Total: o.total}, n)
	var ready []*node
	for _, d := range dependents[n.ID] {
		if waits[d.ID]--; waits[d.ID] == 0 {
			ready = append(ready, o.unlessSkipped(d, done, waits, dependents)...)
		}
	}
	return ready
}

// SkippedError is a node that was not opened because one that it needs could not be.
type SkippedError struct {
	// Node is what was skipped, Needs what was missing.
	Node, Needs string
}

// Error names both nodes.
func (e *SkippedError) Error() string {
	return fmt.Sprintf("%s was not opened: it needs %s, which could not be opened", e.Node, e.Needs)
}

// openWithin opens n, and ends its context if that takes longer than timeout.
// The context lives on after a success: see Opened.cancel.
func openWithin(ctx context.Context, n *node, env provider.Env, timeout time.Duration) (io.Closer, error) {
	if timeout <= 0 {
		return openNode(ctx, n, env)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	late := fmt.Errorf("it took longer than %s: %w", timeout, context.DeadlineExceeded)
	timer := time.AfterFunc(timeout, func() { cancel(late) })
	v, err := openNode(ctx, n, env)
	if !timer.Stop() && err != nil && errors.Is(err, context.Canceled) {
		err = late
	}
	if err != nil {
		cancel(nil)
	}
	return v, err
}

func openNode(ctx context.Context, n *node, env provider.Env) (io.Closer, error) {
	if n.open == nil {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v, err := n.open(ctx, env)
	if err == nil && v == nil {
		err = errors.New("the provider returned neither a value nor an error")
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// failed joins the failures in the order of the nodes. Nodes that were only
// stopped because another one failed are left out.
func (o *Opened) failed(order []*node) error {
	var causes, stopped []error
	for _, n := range order {
		err := o.failures[n.ID]
		var skipped *SkippedError
		switch {
		case err == nil, errors.As(err, &skipped):
		case errors.Is(err, context.Canceled):
			stopped = append(stopped, err)
		default:
			causes = append(causes, err)
		}
	}
	if len(causes) == 0 {
		causes = stopped
	}
	return errors.Join(causes...)
}

// emit reports an event of a node that has something to open.
func (o *Opened) emit(e Event, n *node) {
	if n.open == nil {
		return
	}
	if e.Err != nil {
		o.env.Log.Debug("provider graph", "node", e.Node, "state", string(e.State), "failed", true)
	} else {
		o.env.Log.Debug("provider graph", "node", e.Node, "state", string(e.State), "duration", e.Duration)
	}
	if o.options.progress != nil {
		o.options.progress(e)
	}
}

// Close closes everything in the reverse of the order in which it came up. It
// goes on after a failure, and returns all failures joined. Closing again does
// nothing and returns the same.
func (o *Opened) Close() error {
	o.closeOnce.Do(func() {
		var errs []error
		if err := o.stored.close(); err != nil {
			errs = append(errs, err)
		}
		for i, n := range slices.Backward(o.opened) {
			v := o.graph.value(n.ID)
			if v == nil {
				continue
			}
			o.emit(Event{Node: n.ID, State: StateClosing, Done: i, Total: o.total}, n)
			start := time.Now()
			err := v.Close()
			if err != nil {
				err = fmt.Errorf("close %s: %w", n.ID, err)
				errs = append(errs, err)
			}
			o.graph.setValue(n.ID, nil)
			o.emit(Event{Node: n.ID, State: StateClosed, Err: err, Duration: time.Since(start), Done: i, Total: o.total}, n)
		}
		o.cancel()
		o.closeErr = errors.Join(errs...)
		o.graph.isOpen.Store(false)
	})
	return o.closeErr
}

// Graph returns the graph that is open.
func (o *Opened) Graph() *Graph { return o.graph }

// Failure returns why the node is not open, or nil if it is; see KeepGoing. It
// is an *OpenError or a *SkippedError.
func (o *Opened) Failure(id string) error { return o.failures[id] }

// Value returns what the node was opened as: a provider.Storage, provider.KMS,
// provider.CertificateAuthority, provider.SecretMap or provider.Coordinator, or
// whatever its Opener returned. Nodes that the engine builds have no value.
func (o *Opened) Value(id string) (io.Closer, bool) {
	v := o.graph.value(id)
	return v, v != nil
}

// opened returns the value of a node as a T, or T's zero value.
func valueOf[T any](g *Graph, id string) T {
	v, _ := g.value(id).(T)
	return v
}

// Root returns root storage; nil if the manifest names none, or if it is not open (see KeepGoing).
func (o *Opened) Root() provider.Storage { return valueOf[provider.Storage](o.graph, IDRoot) }

// KMS returns what wraps private keys; nil if storage protects them.
func (o *Opened) KMS() provider.KMS { return valueOf[provider.KMS](o.graph, IDKMS) }

// UseCase returns the map of a use case as it is stored: private keys are still
// sealed. It is nil only if it is not open (see KeepGoing).
func (o *Opened) UseCase(u manifest.UseCase) provider.SecretMap {
	return valueOf[provider.SecretMap](o.graph, UseCaseID(u))
}

// CertificateAuthority returns the one that issues exchange certificates.
func (o *Opened) CertificateAuthority() provider.CertificateAuthority {
	return firstOf[provider.CertificateAuthority](o.graph, KindCertificateAuthority)
}

// Coordinator returns the connection to the coordinator; nil for the engine's own (checkpoint).
func (o *Opened) Coordinator() provider.Coordinator {
	return firstOf[provider.Coordinator](o.graph, KindCoordinator)
}

func firstOf[T any](g *Graph, kind Kind) T {
	for _, n := range g.nodes {
		if n.Kind == kind {
			return valueOf[T](g, n.ID)
		}
	}
	var none T
	return none
}
