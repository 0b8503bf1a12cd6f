package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/panelmatch/panelmatch/schema/diag"
)

func newVet(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "vet MANIFEST...",
		GroupID: "look",
		Short:   "find everything that is wrong with a manifest",
		Long: `Vet reads a manifest's layers, checks them against the schema, resolves the
provider graph, and reports all faults at once with file, line and column. It
dials nothing, resolves no secret, and reads nothing but the manifest's files.

` + manifestHelp,
		Example: `  panelmatch vet edp.yaml
  panelmatch vet base.yaml site.yaml --overrides exchanges.d
  panelmatch vet /etc/panelmatch`,
		Args: needArg("a manifest to vet"),
	}
	l := addLayers(cmd, env)
	o := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		loaded, g, diags := l.inspect(cmd.Context(), args)
		switch {
		case o.json():
			if diags == nil {
				diags = diag.List{}
			}
			report := struct {
				OK          bool      `json:"ok"`
				Diagnostics diag.List `json:"diagnostics"`
			}{!diags.HasErrors(), diags}
			if err := writeJSON(env.Out, report); err != nil {
				return err
			}
		default:
			if err := env.printDiagnostics(diags); err != nil {
				return err
			}
			if !diags.HasErrors() {
				m := loaded.Manifest
				fmt.Fprintf(env.Out, "ok: %s %s, %s, %s\n", m.Identity.Party, m.Identity.ID,
					count(len(m.Exchanges), "exchange"), count(len(g.Nodes()), "node"))
			}
		}
		if diags.HasErrors() {
			return errReported
		}
		return nil
	}
	return cmd
}

// count returns "1 node", "2 nodes".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
