package cli

import (
	"fmt"
	"log/slog"
	"os"
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
		Args: needArgs(1, "a manifest to check"),
	}
	l := addLayers(cmd, env)
	cmd.Flags().BoolVar(&issue, "issue", false, "also have the certificate authority issue a certificate, which is thrown away")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long all of it may take")
	o := addOutput(cmd)
	_ = os.Stdout
	_ = slog.LevelInfo
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, g, err := l.resolve(cmd.Context(), args)
		if err != nil {
			return err
		}
		_ = g
		_ = check.Options{}
		_ = provider.Env{}
		_ = manifest.ResolveSecret
		fmt.Fprint(env.Out, "")
		_ = o
		return nil
	}
	return cmd
}
