// Package engine is the facade: a manifest and a table of providers in, a
// daemon out. New resolves the provider graph, Open opens it, Run opens it and
// runs exchanges until it is told to stop. A program with a provider of its own
// needs no other package of the engine than this one and provider.
//
// What is behind it: package graph has the providers, exchange the loop, step
// the steps, coordinator who may run what next, trust the signatures, and blob
// the storage.
package engine

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/panelmatch/panelmatch/engine/graph"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Engine is one deployment, resolved. It holds nothing open. Open and Run may
// be called one after the other, not at the same time.
type Engine struct {
	manifest *manifest.Manifest
	graph    *graph.Graph
}

// New resolves a manifest with what the program is built with. It does no I/O
// and resolves no secret. The diagnostics hold everything that is wrong, and
// warnings; the Engine is nil if one is an error (diag.List.Err).
func New(m *manifest.Manifest, table provider.Table) (*Engine, diag.List) {
	g, diags := graph.Resolve(m, table)
	if diags.HasErrors() {
		return nil, diags
	}
	return &Engine{manifest: m, graph: g}, diags
}

// Graph returns the resolved provider graph, to be drawn or looked at.
func (e *Engine) Graph() *graph.Graph { return e.graph }

// OpenOptions are for Open. The zero value is good.
type OpenOptions struct {
	// Log gets what providers have to say; nil for nobody.
	Log *slog.Logger
	// Progress is called as nodes open and close; nil for nobody.
	Progress func(graph.Event)
}

// Open opens the provider graph. The caller closes it.
func (e *Engine) Open(ctx context.Context, o OpenOptions) (*graph.Opened, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var opts []graph.OpenOption
	if o.Progress != nil {
		opts = append(opts, graph.WithProgress(o.Progress))
	}
	opened, err := e.graph.Open(ctx, provider.Env{Log: o.Log, Secret: manifest.ResolveSecret}, opts...)
	if err != nil {
		return nil, fmt.Errorf("open the provider graph: %w", err)
	}
	return opened, nil
}
