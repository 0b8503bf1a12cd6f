package cli

import (
	"github.com/spf13/cobra"
)

func newGraph(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "graph MANIFEST...",
		GroupID: "look",
		Short:   "draw the provider graph that a manifest resolves to",
		Long: `Graph resolves a manifest into the graph of providers that the daemon would
open, and draws it. It opens nothing.

` + manifestHelp,
		Example: `  panelmatch graph edp.yaml
  panelmatch graph edp.yaml -o dot | dot -Tsvg >graph.svg
  panelmatch graph edp.yaml -o mermaid`,
		Args: needArg("a manifest to draw"),
	}
	l := addLayers(cmd, env)
	o := addOutput(cmd, "dot", "mermaid")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, g, err := l.resolve(cmd.Context(), args)
		if err != nil {
			return err
		}
		switch o.format {
		case "json":
			return writeJSON(env.Out, g)
		case "dot":
			return g.WriteDOT(env.Out)
		case "mermaid":
			return g.WriteMermaid(env.Out)
		default:
			return g.WriteText(env.Out)
		}
	}
	return cmd
}
