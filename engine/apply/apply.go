// Package apply brings a party's root and private storage to what its manifest
// lists under exchanges: the agreed workflow, the partner's root certificate,
// and files for input steps. It makes a plan first, which can be looked at, and
// writes only what the plan says.
//
// It deletes nothing, and touches no shared storage.
package apply

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/graph"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Action is what is to be done about one entry.
type Action string

// The actions.
const (
	Create  Action = "create"  // there is none yet
	Replace Action = "replace" // there is another one
	Keep    Action = "keep"    // it is there already
)

// Change is one entry of a plan.
type Change struct {
	Action Action `json:"action"`
	// What is the entry, such as "workflow of rx1".
	What string `json:"what"`
	// From is the file that it comes from, or what else.
	From string `json:"from"`

	put func(ctx context.Context) error
}

// Options are for Plan.
type Options struct {
	// Lookback is how far back, from today, exchanges get their input files.
	Lookback time.Duration
}

// maxFile bounds workflows and certificates. Inputs are streamed, and bounded by limits.privateBlob.
const maxFile = 16 << 20

// Plan compares what the manifest lists with what is stored. It writes nothing.
func Plan(ctx context.Context, m *manifest.Manifest, opened *graph.Opened, o Options) ([]Change, error) {
	p := &planner{m: m, opened: opened, options: o}
	for _, id := range opened.Graph().RecurringExchanges() {
		if err := p.exchange(ctx, id, m.Exchanges[id]); err != nil {
			return nil, fmt.Errorf("exchange %s: %w", id, err)
		}
	}
	if err := p.ownRoot(ctx); err != nil {
		return nil, err
	}
	return p.changes, nil
}

// Apply writes what a plan says, in its order. It goes no further after an error.
func Apply(ctx context.Context, plan []Change) error {
	for _, c := range plan {
		if c.Action == Keep {
			continue
		}
		if err := c.put(ctx); err != nil {
			return fmt.Errorf("%s %s: %w", c.Action, c.What, err)
		}
	}
	return nil
}

type planner struct {
	m       *manifest.Manifest
	opened  *graph.Opened
	options Options
	changes []Change
}

func (p *planner) exchange(ctx context.Context, id string, e manifest.ExchangeStorage) error {
	if e.Workflow == "" {
		if e.PartnerRoot != "" || len(e.Inputs) > 0 {
			return errors.New("names no workflow, from which partner and dates could be known")
		}
		return nil
	}
	format := workflow.V2AlphaBinary
	if p.m.Coordinator.Name == "checkpoint" {
		format = workflow.InternalBinary
	}
	w, stored, err := readWorkflow(e.Workflow, format)
	if err != nil {
		return err
	}
	if err := p.entry(ctx, manifest.ValidExchangeWorkflows, id, "workflow of "+id, e.Workflow, stored); err != nil {
		return err
	}
	if e.PartnerRoot != "" {
		der, err := readCertificate(e.PartnerRoot)
		if err != nil {
			return err
		}
		partner := p.partyKey(p.m.Identity.Party.Other(), w.Identifiers.Partner(p.m.Identity.Party))
		if err := p.entry(ctx, manifest.RootCertificates, partner, "root certificate of "+partner, e.PartnerRoot, der); err != nil {
			return err
		}
	}
	return p.inputs(ctx, id, w, e.Inputs)
}

// partyKey is how a party is called in the map of root certificates: by resource name with a Kingdom.
func (p *planner) partyKey(party manifest.Party, id string) string {
	if p.m.Coordinator.Name == "checkpoint" {
		return id
	}
	return manifest.Identity{Party: party, ID: id}.ResourceName()
}

// ownRoot stores this party's own root certificate where the authority can tell it: a reference
// client that takes this storage over verifies its own certificates too.
func (p *planner) ownRoot(ctx context.Context) error {
	inspector, ok := p.opened.CertificateAuthority().(provider.AuthorityInspector)
	if !ok || len(p.changes) == 0 {
		return nil
	}
	cert, err := inspector.Inspect(ctx)
	if err != nil {
		return fmt.Errorf("our own root certificate: %w", err)
	}
	own := p.partyKey(p.m.Identity.Party, p.m.Identity.ID)
	return p.entry(ctx, manifest.RootCertificates, own, "root certificate of "+own, "the certificate authority", cert.Raw)
}

// entry plans one entry of a use case's map.
func (p *planner) entry(ctx context.Context, use manifest.UseCase, key, what, from string, want []byte) error {
	m := p.opened.UseCase(use)
	if m == nil {
		return fmt.Errorf("%s is not open", use)
	}
	c := Change{What: what, From: from, put: func(ctx context.Context) error { return m.Put(ctx, key, want) }}
	have, err := m.Get(ctx, key)
	switch {
	case errors.Is(err, provider.ErrNotFound):
		c.Action = Create
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case bytes.Equal(have, want):
		c.Action = Keep
	default:
		c.Action = Replace
	}
	p.changes = append(p.changes, c)
	return nil
}

// inputs plans the files for input steps. A blob that is there is never replaced: a step may have read it.
func (p *planner) inputs(ctx context.Context, id string, w *workflow.Workflow, inputs []manifest.Input) error {
	today := workflow.DateOf(time.Now())
	from := workflow.DateOf(time.Now().Add(-p.options.Lookback))
	for _, in := range inputs {
		for date := range w.Dates(from, today) {
			if in.Date != "" && in.Date != date.String() {
				continue
			}
			path := strings.ReplaceAll(in.Path, "{date}", date.String())
			if _, err := os.Stat(path); err != nil {
				if errors.Is(err, os.ErrNotExist) && path != in.Path {
					continue // this date's file may come later
				}
				return err
			}
			if err := p.input(ctx, id, date, in.Label, path); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *planner) input(ctx context.Context, id string, date workflow.Date, label, path string) error {
	if err := blob.CheckLabel(label); err != nil {
		return err
	}
	key, err := blob.NewExchangeKey(id, date)
	if err != nil {
		return err
	}
	place, err := p.opened.Exchange(ctx, id, graph.Private)
	if err != nil {
		return err
	}
	store, err := place.Store(key, blob.Options{Name: "private storage", WriteLimit: int64(p.m.Limits.PrivateBlob)})
	if err != nil {
		return err
	}
	c := Change{Action: Create, What: fmt.Sprintf("input %s of %s on %s", label, id, date), From: path}
	there, err := store.Exists(ctx, label)
	if err != nil {
		return err
	}
	if there {
		c.Action = Keep
	}
	c.put = func(ctx context.Context) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // opened for reading only
		return store.Put(ctx, label, f)
	}
	p.changes = append(p.changes, c)
	return nil
}

// readWorkflow reads a workflow file and returns the bytes to store. Bytes that are binary in the wanted
// form already are returned as they are: both parties must store the same.
func readWorkflow(path string, format workflow.Format) (*workflow.Workflow, []byte, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	guess, _ := workflow.Detect(data, path)
	if guess == workflow.V2AlphaBinary || guess == workflow.InternalBinary {
		guess = format // the two look alike; what is stored must be of the coordinator's kind
	}
	doc, diags := workflow.Parse(data, workflow.ParseOptions{Name: path, Format: guess})
	diags = append(diags, doc.Lint()...)
	if err := diags.Err(); err != nil {
		return nil, nil, err
	}
	if doc.Format == format {
		return doc.Workflow, data, nil
	}
	stored, err := workflow.Encode(doc.Workflow, format)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return doc.Workflow, stored, nil
}

// readCertificate reads one certificate, PEM or DER, and returns its DER.
func readCertificate(path string) ([]byte, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	cert, err := x509.ParseCertificate(data)
	if err != nil {
		return nil, fmt.Errorf("%s is not a certificate in PEM or DER", path)
	}
	return slices.Clone(cert.Raw), nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading only
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d MiB", path, maxFile>>20)
	}
	return data, err
}
