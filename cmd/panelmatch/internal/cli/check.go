package cli

import (
	"context"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/panelmatch/panelmatch/engine/check"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

func newCheck(env *Env) *cobra.Command {
	var issue bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "check MANIFEST...",
		GroupID: "do",
		Short:   "prove every node of the provider graph, live",
		Long: `Check opens the provider graph and proves each node: it writes, reads, lists and
deletes a canary blob in each storage, wraps and unwraps with the KMS key and
makes sure that other associated data is refused, looks up the certificate
authority, and reads the secret maps. It says what permission or setting is
missing, leaves nothing behind, and goes on after a failure.

` + manifestHelp,
		Example: `  panelmatch check edp.yaml
  panelmatch check /etc/panelmatch --issue`,
		Args: needArg("a manifest to check"),
	}
	l := addLayers(cmd, env)
	cmd.Flags().BoolVar(&issue, "issue", false, "also have the certificate authority issue a certificate, which is thrown away")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long all of it may take")
	o := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, g, err := l.resolve(cmd.Context(), args)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		providerEnv := provider.Env{Log: slog.New(slog.DiscardHandler), Secret: manifest.ResolveSecret}
		report, err := check.Run(ctx, g, providerEnv, check.Options{Issue: issue})
		if err != nil {
			return err
		}
		if o.json() {
			err = writeJSON(env.Out, report)
		} else {
			err = report.WriteText(env.Out, check.TextOptions{Color: env.Terminal && env.Color})
		}
		if err == nil && !report.OK {
			err = errReported
		}
		return err
	}
	return cmd
}
