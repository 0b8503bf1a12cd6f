// Package check proves an open provider graph: it does once, with throwaway
// data, what exchanges will do every day, and says which permission or setting
// is missing. It is what `panelmatch check` runs.
//
// It changes nothing that lasts: canary blobs are deleted, whatever happens,
// and a certificate is issued only if that is asked for. It does not run steps
// and does not look at workflows or inputs. No secret gets into a report.
package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/panelmatch/panelmatch/engine/graph"
	"github.com/panelmatch/panelmatch/engine/provider"
)

// Status is the outcome of a proof, or the worst outcome of a node's proofs.
type Status string

// The statuses, from good to bad.
const (
	OK      Status = "ok"
	Skipped Status = "skipped" // something that it needs has failed
	Warning Status = "warning" // it works; someone should look at it
	Failed  Status = "failed"
)

// worst orders statuses.
func (s Status) worst() int {
	return slices.Index([]Status{OK, Skipped, Warning, Failed}, s)
}

// Proof is one thing that was tried.
type Proof struct {
	// Name is what was tried: open, write, read, list, delete, wrap, unwrap, inspect, issue ...
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Detail is what was found: a fact if all is well, else what is wrong.
	Detail string `json:"detail,omitempty"`
	// Missing names the permission or setting that is missing, if that is known.
	Missing string `json:"missing,omitempty"`
	// Hint says what to do.
	Hint string `json:"hint,omitempty"`
	// Milliseconds is how long it took.
	Milliseconds int64 `json:"ms"`
}

// Result is what is known of one node.
type Result struct {
	Node     string     `json:"node"`
	Kind     graph.Kind `json:"kind"`
	Provider string     `json:"provider,omitempty"`
	Label    string     `json:"label,omitempty"`
	// Uses lists the settings that name the node.
	Uses         []string `json:"uses,omitempty"`
	Status       Status   `json:"status"`
	Proofs       []Proof  `json:"proofs"`
	Milliseconds int64    `json:"ms"`
}

// Report is the outcome of a check. The JSON form is stable.
type Report struct {
	// OK is true if nothing has failed; there may be warnings.
	OK       bool `json:"ok"`
	Failed   int  `json:"failed"`
	Warnings int  `json:"warnings"`
	// Results has one entry for each node that can be proved, in the order in which they open.
	Results      []Result `json:"nodes"`
	Milliseconds int64    `json:"ms"`
}

// Options changes how Run works. The zero value is good.
type Options struct {
	// Issue also has the certificate authority issue a certificate, which is thrown away.
	Issue bool
	// NodeTimeout bounds the opening of a node, and then its proofs, each; 0 for 30 s.
	NodeTimeout time.Duration
	// Parallel is how many nodes are opened or proved at once; 0 for 8.
	Parallel int
	// Progress is called as results come in, one at a time, in no particular order; nil for nobody.
	Progress func(Result)
	// Now tells the time; nil for the clock. Tests set it.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.NodeTimeout <= 0 {
		o.NodeTimeout = 30 * time.Second
	}
	if o.Parallel <= 0 {
		o.Parallel = 8
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Run opens the graph, proves each node, and closes the graph. It goes on after
// a failure; nodes that need one that failed are skipped. The error is about
// the check itself (the graph is not valid, ctx has ended, something could not
// be closed); what nodes have to say is in the report, which is not nil unless
// the graph could not be opened at all.
func Run(ctx context.Context, g *graph.Graph, env provider.Env, o Options) (*Report, error) {
	o = o.withDefaults()
	m := g.Manifest()
	if m == nil {
		return nil, errors.New("only a graph that was resolved from a manifest can be checked")
	}
	start := time.Now()
	scrub := &scrubber{}
	env.Secret = scrub.watch(env.Secret)
	took := map[string]time.Duration{}
	opened, err := g.Open(ctx, env, graph.KeepGoing(), graph.Parallel(o.Parallel), graph.NodeTimeout(o.NodeTimeout),
		graph.WithProgress(func(e graph.Event) {
			if e.State == graph.StateOpen || e.State == graph.StateFailed {
				took[e.Node] = e.Duration
			}
		}))
	if err != nil {
		return nil, errors.New(scrub.text(err.Error()))
	}
	c := &checker{o: o, m: m, opened: opened, scrub: scrub, took: took, roots: &rootCertificates{}}
	report := c.all(ctx)
	report.Milliseconds = time.Since(start).Milliseconds()
	if err := opened.Close(); err != nil {
		return report, fmt.Errorf("after the check: %s", scrub.text(err.Error()))
	}
	return report, context.Cause(ctx)
}

// all proves the nodes, at most Parallel at once.
func (c *checker) all(ctx context.Context) *Report {
	nodes := c.opened.Graph().Nodes()
	results := make([]*Result, len(nodes))
	slots := make(chan struct{}, c.o.Parallel)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i, n := range nodes {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			r := c.node(ctx, n)
			mu.Lock()
			defer mu.Unlock()
			results[i] = r
			if r != nil && c.o.Progress != nil {
				c.o.Progress(*r)
			}
		})
	}
	wg.Wait()
	report := &Report{OK: true, Results: []Result{}}
	for _, r := range results {
		if r == nil {
			continue
		}
		report.Results = append(report.Results, *r)
		switch r.Status {
		case Failed:
			report.Failed++
			report.OK = false
		case Warning:
			report.Warnings++
		case OK, Skipped:
		}
	}
	return report
}

// node proves one node; nil if there is nothing to prove.
func (c *checker) node(ctx context.Context, n graph.Node) *Result {
	start := time.Now()
	p := &proofs{c: c, node: n}
	ctx, cancel := context.WithTimeout(ctx, c.o.NodeTimeout)
	defer cancel()
	if err := c.opened.Failure(n.ID); err != nil {
		p.notOpen(err)
	} else {
		if _, ok := c.opened.Value(n.ID); ok {
			p.list = append(p.list, Proof{Name: "open", Status: OK, Milliseconds: c.took[n.ID].Milliseconds()})
		}
		c.prove(ctx, p)
	}
	if len(p.list) == 0 {
		return nil
	}
	r := &Result{
		Node: n.ID, Kind: n.Kind, Provider: n.Provider, Label: n.Label, Uses: n.Uses, Status: OK, Proofs: p.list,
		Milliseconds: (time.Since(start) + c.took[n.ID]).Milliseconds(),
	}
	for _, proof := range p.list {
		if proof.Status.worst() > r.Status.worst() {
			r.Status = proof.Status
		}
	}
	return r
}

// prove does what belongs to the node's kind.
func (c *checker) prove(ctx context.Context, p *proofs) {
	switch p.node.Kind {
	case graph.KindStorage:
		if s, ok := valueOf[provider.Storage](c, p.node.ID); ok {
			c.storage(ctx, p, s, "")
		}
	case graph.KindKMS:
		if k, ok := valueOf[provider.KMS](c, p.node.ID); ok {
			c.kms(ctx, p, k)
		}
	case graph.KindCertificateAuthority:
		if a, ok := valueOf[provider.CertificateAuthority](c, p.node.ID); ok {
			c.authority(ctx, p, a)
		}
	case graph.KindSecretMap:
		if m, ok := valueOf[provider.SecretMap](c, p.node.ID); ok {
			c.secretMap(ctx, p, m)
		}
	case graph.KindKeyProtection:
		c.keyProtection(ctx, p)
	case graph.KindTrust:
		c.ownRoot(ctx, p)
	case graph.KindExchangeStorage:
		c.exchange(ctx, p)
	case graph.KindCompute:
		c.compute(p)
	case graph.KindCoordinator:
		c.coordinator(ctx, p)
	case graph.KindDaemon:
	}
}

func valueOf[T any](c *checker, id string) (T, bool) {
	v, ok := c.opened.Value(id)
	if !ok {
		var none T
		return none, false
	}
	t, ok := v.(T)
	return t, ok
}
