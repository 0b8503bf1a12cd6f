package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/panelmatch/panelmatch/engine/graph"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// layers are the flags that say which manifest a command is about.
type layers struct {
	env       *Env
	overrides string
	set       []string
}

// manifestHelp is the part of a command's help that tells how a manifest is named.
const manifestHelp = `MANIFEST is a file in YAML, JSON or CUE, or a directory such as a mounted
ConfigMap: then its files are the layers in the order of their names, and its
sub-directory exchanges.d holds the per-exchange overrides. Later layers win:
files in the order given, overrides, environment (PANELMATCH__RUN__MODE), --set.`

func addLayers(cmd *cobra.Command, env *Env) *layers {
	l := &layers{env: env}
	cmd.Flags().StringVar(&l.overrides, "overrides", "",
		"directory with one file per recurring exchange, named <id>.yaml (default: exchanges.d in a MANIFEST that is a directory)")
	cmd.Flags().StringArrayVar(&l.set, "set", nil,
		`one setting, path=value, as in 'exchanges."rx.2".shared=s3://bucket'; may be repeated`)
	_ = cmd.MarkFlagDirname("overrides") // fails only for a flag that does not exist
	return l
}

// load reads and validates the manifest. The diagnostics are never nil-checked: a Loaded without a
// Manifest comes with at least one error.
func (l *layers) load(ctx context.Context, args []string) (*manifest.Loaded, diag.List) {
	src, diags := manifest.Locate(args, l.overrides, nil)
	if diags.HasErrors() {
		return nil, diags
	}
	src.Environ = l.env.Environ
	src.Set = l.set
	return manifest.Load(ctx, src)
}

// resolve loads the manifest and resolves it into a provider graph. It prints all diagnostics, and
// fails with errReported if one is an error.
func (l *layers) resolve(ctx context.Context, args []string) (*manifest.Loaded, *graph.Graph, error) {
	loaded, g, diags := l.inspect(ctx, args)
	if err := l.env.printDiagnostics(diags); err != nil {
		return nil, nil, err
	}
	if diags.HasErrors() {
		return nil, nil, errReported
	}
	return loaded, g, nil
}

// inspect is resolve without printing. The graph is nil if the manifest has an error.
func (l *layers) inspect(ctx context.Context, args []string) (*manifest.Loaded, *graph.Graph, diag.List) {
	loaded, diags := l.load(ctx, args)
	if diags.HasErrors() {
		return loaded, nil, diags
	}
	g, more := graph.Resolve(loaded.Manifest, l.env.Providers)
	diags = append(diags, loaded.WithSource(more)...)
	diags.Sort()
	return loaded, g, diags
}

// printDiagnostics writes diagnostics for people to standard error.
func (e *Env) printDiagnostics(l diag.List) error {
	if len(l) == 0 {
		return nil
	}
	if err := l.WriteText(e.Err, diag.TextOptions{Color: e.Color}); err != nil {
		return fmt.Errorf("print diagnostics: %w", err)
	}
	return nil
}
