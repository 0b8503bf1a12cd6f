package cli

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/panelmatch/panelmatch/engine"
	"github.com/panelmatch/panelmatch/engine/apply"
)

func newApply(env *Env) *cobra.Command {
	var dryRun, replace bool
	var lookback time.Duration
	cmd := &cobra.Command{
		Use:     "apply MANIFEST...",
		GroupID: "do",
		Short:   "store what a manifest lists under exchanges",
		Long: `Apply brings root and private storage to what the manifest lists under
exchanges: the agreed workflow, the partner's root certificate, and files for
input steps. It prints what it does. An input that is there is never replaced;
a workflow or a certificate only with --replace, because exchanges that have
begun depend on them. It deletes nothing.

` + manifestHelp,
		Example: `  panelmatch apply edp.yaml --dry-run
  panelmatch apply edp.yaml`,
		Args: needArg("a manifest to apply"),
	}
	l := addLayers(cmd, env)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would be done, and do nothing")
	cmd.Flags().BoolVar(&replace, "replace", false, "replace stored workflows and certificates that differ")
	cmd.Flags().DurationVar(&lookback, "lookback", 14*24*time.Hour, "how far back exchanges get their input files")
	o := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		loaded, _, err := l.resolve(cmd.Context(), args)
		if err != nil {
			return err
		}
		e, diags := engine.New(loaded.Manifest, env.Providers)
		if err := diags.Err(); err != nil {
			return err // resolve has printed it already
		}
		opened, err := e.Open(cmd.Context(), engine.OpenOptions{})
		if err != nil {
			return err
		}
		defer opened.Close() //nolint:errcheck // what was written is written
		plan, err := apply.Plan(cmd.Context(), loaded.Manifest, opened, apply.Options{Lookback: lookback})
		if err != nil {
			return err
		}
		if err := printPlan(env, o, plan); err != nil {
			return err
		}
		for _, c := range plan {
			if c.Action == apply.Replace && !replace && !dryRun {
				return fmt.Errorf("the stored %s is another one; --replace replaces it", c.What)
			}
		}
		if dryRun {
			return nil
		}
		return apply.Apply(cmd.Context(), plan)
	}
	return cmd
}

func printPlan(env *Env, o *output, plan []apply.Change) error {
	if o.json() {
		return writeJSON(env.Out, plan)
	}
	if len(plan) == 0 {
		fmt.Fprintln(env.Out, "nothing to store: the manifest lists no workflows")
		return nil
	}
	w := tabwriter.NewWriter(env.Out, 0, 8, 2, ' ', 0)
	for _, c := range plan {
		fmt.Fprintf(w, "%s\t%s\tfrom %s\n", c.Action, c.What, c.From)
	}
	return w.Flush()
}
