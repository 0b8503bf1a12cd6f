package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

func newExplain(env *Env) *cobra.Command {
	var only []string
	cmd := &cobra.Command{
		Use:     "explain MANIFEST...",
		GroupID: "look",
		Short:   "print every effective setting and where it comes from",
		Long: `Explain prints every setting as the layers add up to, with the layer, file, line
and column that it comes from and the places that it replaced. Secrets are
references in a manifest, and are not resolved.

` + manifestHelp,
		Example: `  panelmatch explain edp.yaml
  panelmatch explain edp.yaml --overrides exchanges.d --setting exchanges
  panelmatch explain edp.yaml --set run.mode=CRON_JOB --setting run.mode`,
		Args: needArg("a manifest to explain"),
	}
	l := addLayers(cmd, env)
	cmd.Flags().StringArrayVar(&only, "setting", nil, "print only this setting and those below it; may be repeated")
	o := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		loaded, diags := l.load(cmd.Context(), args)
		if err := env.printDiagnostics(diags); err != nil {
			return err
		}
		if diags.HasErrors() {
			return errReported
		}
		var settings []manifest.Setting
		for _, s := range loaded.Settings() {
			if below(s.Path, only) {
				settings = append(settings, s)
			}
		}
		if len(settings) == 0 && len(only) > 0 {
			return fmt.Errorf("no setting at or below %s", strings.Join(only, ", "))
		}
		if o.json() {
			return writeJSON(env.Out, settings)
		}
		w := tabwriter.NewWriter(env.Out, 0, 8, 2, ' ', 0)
		for _, s := range settings {
			fmt.Fprintf(w, "%s\t%s\t%s\n", s.Path, s.Value, origin(s))
		}
		return w.Flush()
	}
	return cmd
}

// below reports whether path is one of the prefixes or a setting below one; all are below none.
func below(path string, prefixes []string) bool {
	if len(prefixes) == 0 {
		return true
	}
	for _, p := range prefixes {
		rest, ok := strings.CutPrefix(path, p)
		if ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

func origin(s manifest.Setting) string {
	if s.Default {
		return "default"
	}
	text := s.Pos.String()
	if s.Layer != "" {
		text += " (" + s.Layer + ")"
	}
	if len(s.Overridden) > 0 {
		text += ", replaces " + strings.Join(positions(s.Overridden), ", ")
	}
	return text
}

func positions(ps []diag.Position) []string {
	texts := make([]string, len(ps))
	for i, p := range ps {
		texts[i] = p.String()
	}
	return texts
}
