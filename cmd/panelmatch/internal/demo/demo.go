// Package demo makes two parties on one machine and has them run an exchange:
// their manifests, a certificate authority and keys for each, an agreed workflow
// and synthetic join keys, all in one directory that a newcomer can look at,
// edit and run again with `panelmatch run`.
//
// It is no test double: both daemons are the real ones, from ordinary
// manifests. Its data is made up, and its keys protect nothing.
package demo

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/panelmatch/panelmatch/engine"
	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/coordinator"
	"github.com/panelmatch/panelmatch/engine/exchange"
	"github.com/panelmatch/panelmatch/engine/graph"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// The agreed workflows, the same as in manifests/workflows.
//
//go:embed files
var files embed.FS

// RecurringExchange is the id of the demo's recurring exchange.
const RecurringExchange = "demo"

// Options say what the demo does.
type Options struct {
	// Dir is the directory for everything; it is made. Files of an earlier demo in it are used again.
	Dir string
	// Workflow is double-blind or mini.
	Workflow string
	// Storage is a blob URL under which both parties' storage lies, each below a prefix of its own; empty
	// for directories in Dir.
	Storage string
	// Providers is what the manifests may name.
	Providers provider.Table
	// Log gets the daemons' own messages.
	Log *slog.Logger
	// Observer is told of the steps of both parties; it may be nil.
	Observer func(party manifest.Party) exchange.Observer
	// Step is told what the demo does, one line each.
	Step func(text string)
}

// Workflows lists the workflows that the demo can run, the default first.
func Workflows() []string { return []string{"double-blind", "mini"} }

// party is one of the two.
type party struct {
	role     manifest.Party
	id       string
	title    string
	manifest string // path
	loaded   *manifest.Loaded
}

// Run makes the parties and runs the exchange of today to its end.
func Run(ctx context.Context, o Options) (*Result, error) {
	today := workflow.DateOf(time.Now())
	d, err := prepare(ctx, o, []workflow.Date{today})
	if err != nil {
		return nil, err
	}
	if err := d.run(ctx); err != nil {
		return nil, err
	}
	return d.report(ctx)
}

// Prepare makes the parties and what their operators would store, for exchanges
// of the given dates, oldest first, and runs nothing: `panelmatch run` on the two
// manifests in o.Dir does. It returns the paths of the manifests.
func Prepare(ctx context.Context, o Options, dates []workflow.Date) (manifests []string, err error) {
	d, err := prepare(ctx, o, dates)
	if err != nil {
		return nil, err
	}
	for _, p := range d.parties {
		manifests = append(manifests, p.manifest)
	}
	return manifests, nil
}

// run is one demo under way.
type run struct {
	Options
	doc     *workflow.Document
	dates   []workflow.Date
	parties []*party
}

func prepare(ctx context.Context, o Options, dates []workflow.Date) (*run, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	d := &run{Options: o, dates: dates, parties: []*party{
		{role: manifest.ModelProvider, id: "mp1", title: "Model Provider"},
		{role: manifest.DataProvider, id: "edp1", title: "Event Data Provider"},
	}}
	if d.doc, err = agree(o, dates[0]); err != nil {
		return nil, err
	}
	w := d.doc.Workflow
	o.Step(fmt.Sprintf("workflow %s: %d steps, first exchange date %s", o.Workflow, len(w.Steps), w.FirstExchangeDate))
	for i, p := range d.parties {
		if err := p.writeManifest(o, w, d.parties[1-i].id); err != nil {
			return nil, err
		}
		if err := p.load(ctx); err != nil {
			return nil, err
		}
		o.Step(fmt.Sprintf("%s: %s", p.title, p.manifest))
	}
	if err := d.setUp(ctx); err != nil {
		return nil, fmt.Errorf("set up the parties: %w", err)
	}
	return d, nil
}

// agree makes the workflow that both parties store. A workflow of an earlier demo in the same
// directory stays as it is.
func agree(o Options, today workflow.Date) (*workflow.Document, error) {
	name := filepath.Join(o.Dir, "workflow.textproto")
	if err := writeOnce(name, func() ([]byte, error) { return template(o.Workflow, today) }); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	doc, diags := workflow.Parse(text, workflow.ParseOptions{Name: name})
	if err := diags.Err(); err != nil {
		return nil, err
	}
	if err := doc.Lint().Err(); err != nil {
		return nil, err
	}
	return doc, nil
}

// template is the shipped workflow with the demo's parties and dates.
func template(name string, today workflow.Date) ([]byte, error) {
	file := name + ".textproto"
	text, err := files.ReadFile("files/" + file)
	if err != nil {
		return nil, fmt.Errorf("no workflow %q; the demo has %s", name, strings.Join(Workflows(), ", "))
	}
	doc, diags := workflow.Parse(text, workflow.ParseOptions{Name: file, Format: workflow.V2AlphaText})
	if err := diags.Err(); err != nil {
		return nil, err
	}
	w := *doc.Workflow
	w.Identifiers.DataProvider, w.Identifiers.ModelProvider = "edp1", "mp1"
	w.FirstExchangeDate, w.Schedule = today, workflow.Daily
	return workflow.Encode(&w, workflow.InternalText)
}

// writeManifest writes the party's manifest, unless there is one.
func (p *party) writeManifest(o Options, w *workflow.Workflow, partner string) error {
	p.manifest = filepath.Join(o.Dir, p.id+".yaml")
	return writeOnce(p.manifest, func() ([]byte, error) { return p.text(o, w, partner), nil })
}

func (p *party) text(o Options, w *workflow.Workflow, partner string) []byte {
	root, shared := "file:"+p.id+"?create_dir=true", "file:shared?create_dir=true"
	if o.Storage != "" {
		root = fmt.Sprintf("{url: %q, prefix: %s}", o.Storage, p.id)
		shared = fmt.Sprintf("{url: %q, prefix: shared}", o.Storage)
	}
	var inputs strings.Builder
	for _, s := range w.StepsOf(p.role) {
		for _, label := range s.OutputLabels() {
			if s.Kind == workflow.Input {
				fmt.Fprintf(&inputs, "\n      - {label: %[1]s, path: inputs/%[1]s}", label)
			}
		}
	}
	if inputs.Len() == 0 {
		inputs.WriteString(" []")
	}
	return fmt.Appendf(nil, `# One party of the demo. Run it with: panelmatch run %[1]s.yaml
apiVersion: panelmatch/v1
kind: Deployment
# development permits keys in files and a certificate authority that is made on first use.
profile: development
identity: {party: %[2]s, id: %[1]s}
# No Kingdom: the parties keep signed checkpoints in the storage that they share.
coordinator:
  checkpoint: {lookback: 72h}
storage:
  root: %[3]s
kms: local:%[1]s-keys.json?create=true
certificateAuthority:
  local:
    rootCertificate: %[1]s-root.pem
    rootKey: file:%[1]s-root.key
    createIfMissing: true
  subject: {commonName: %[1]s.example, organization: %[4]s, dnsName: %[1]s.example}
exchanges:
  %[5]s:
    shared: %[6]s
    # What "panelmatch apply" stores for this party.
    workflow: workflow.textproto
    partnerRoot: %[7]s-root.pem
    inputs:%[8]s
run: {pollInterval: 1s, inputInterval: 1s}
`, p.id, p.role, root, p.title, RecurringExchange, shared, partner, inputs.String())
}

func (p *party) load(ctx context.Context) error {
	loaded, diags := manifest.Load(ctx, manifest.Sources{Files: []string{p.manifest}})
	if err := diags.Err(); err != nil {
		return err
	}
	p.loaded = loaded
	return nil
}

// run runs both daemons until the exchange of the latest date has ended.
func (d *run) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	w := &watch{left: len(d.doc.Workflow.Steps), date: d.dates[len(d.dates)-1], stop: stop}
	d.Step("both daemons run")
	var wg sync.WaitGroup
	errs := make([]error, len(d.parties))
	for i, p := range d.parties {
		e, diags := engine.New(p.loaded.Manifest, d.Providers)
		if err := diags.Err(); err != nil {
			return err
		}
		var next exchange.Observer
		if d.Observer != nil {
			next = d.Observer(p.role)
		}
		wg.Go(func() {
			errs[i] = e.Run(ctx, engine.RunOptions{Log: d.Log.With("party", p.id), Observer: &observer{watch: w, next: next}})
			if errs[i] != nil {
				stop(errs[i])
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, errComplete) {
		return cause
	}
	return nil
}

var errComplete = errors.New("the exchange is complete")

// watch stops both daemons when every step of the exchange is done, or one failed for good.
type watch struct {
	mu   sync.Mutex
	left int
	date workflow.Date
	stop context.CancelCauseFunc
}

func (w *watch) finished(a *coordinator.Attempt, r coordinator.Report, err error) {
	if a.Exchange.RecurringExchange != RecurringExchange || a.Exchange.Date != w.date {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch r.State {
	case coordinator.Succeeded:
		if w.left--; w.left == 0 {
			w.stop(errComplete)
		}
	case coordinator.FailedStep:
		w.stop(fmt.Errorf("the exchange failed: %w", err))
	case coordinator.Failed:
	}
}

// observer tells the watch, and whoever draws.
type observer struct {
	watch *watch
	next  exchange.Observer
}

func (o *observer) Claimed(a *coordinator.Attempt) {
	if o.next != nil {
		o.next.Claimed(a)
	}
}

func (o *observer) Retrying(a *coordinator.Attempt, try int, after time.Duration, err error) {
	if o.next != nil {
		o.next.Retrying(a, try, after, err)
	}
}

func (o *observer) Finished(a *coordinator.Attempt, r coordinator.Report, took time.Duration, err error) {
	if o.next != nil {
		o.next.Finished(a, r, took, err)
	}
	o.watch.finished(a, r, err)
}

func (o *observer) Idle(running int) {
	if o.next != nil {
		o.next.Idle(running)
	}
}

// private opens the private storage of a party for the demo's exchange.
func (p *party) private(ctx context.Context, opened *graph.Opened, date workflow.Date) (*blob.Store, graph.Place, error) {
	place, err := opened.Exchange(ctx, RecurringExchange, graph.Private)
	if err != nil {
		return nil, place, err
	}
	key := blob.ExchangeKey{RecurringExchange: RecurringExchange, Date: date}
	s, err := place.Store(key, blob.Options{Name: p.title + "'s private storage"})
	return s, place, err
}
