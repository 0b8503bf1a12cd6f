package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/panelmatch/panelmatch/engine/provider"
)

func newVersion(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		GroupID: "about",
		Short:   "print the version of this binary",
		Args:    noArgs,
	}
	o := addOutput(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		v := struct {
			Version  string `json:"version"`
			Revision string `json:"revision,omitempty"`
			Modified bool   `json:"modified,omitempty"`
			Go       string `json:"go"`
			Platform string `json:"platform"`
			Manifest string `json:"manifest"`
		}{Version: env.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Manifest: "panelmatch/v1"}
		if info, ok := debug.ReadBuildInfo(); ok {
			for _, s := range info.Settings {
				switch s.Key {
				case "vcs.revision":
					v.Revision = s.Value
				case "vcs.modified":
					v.Modified = s.Value == "true"
				}
			}
		}
		if o.json() {
			return writeJSON(env.Out, v)
		}
		fmt.Fprintf(env.Out, "panelmatch %s (%s, %s), manifests %s\n", v.Version, v.Go, v.Platform, v.Manifest)
		return nil
	}
	return cmd
}

// builtIn is one provider that this binary has.
type builtIn struct {
	Kind    provider.Kind `json:"kind"`
	Name    string        `json:"name"`
	Summary string        `json:"summary"`
}

func newProviders(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "providers",
		GroupID: "about",
		Short:   "list the providers that this binary is built with",
		Args:    noArgs,
	}
	o := addOutput(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		var list []builtIn
		for _, d := range env.Providers.Descriptions() {
			list = append(list, builtIn{d.Kind, d.Name, d.Summary})
		}
		if o.json() {
			return writeJSON(env.Out, list)
		}
		w := tabwriter.NewWriter(env.Out, 0, 8, 2, ' ', 0)
		for _, b := range list {
			fmt.Fprintf(w, "%s\t%s\t%s\n", b.Kind, b.Name, b.Summary)
		}
		return w.Flush()
	}
	return cmd
}
