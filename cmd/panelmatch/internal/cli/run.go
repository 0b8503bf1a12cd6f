package cli

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/panelmatch/panelmatch/engine"
)

func newRun(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "run MANIFEST...",
		GroupID: "do",
		Short:   "run the daemon",
		Long: `Run opens the provider graph and runs exchanges: for ever with run.mode DAEMON,
or, with CRON_JOB, until nothing can be claimed and nothing runs. On SIGTERM it
claims no more, gives running steps run.shutdownGrace, and reports those that
did not finish so that they are tried again.

` + manifestHelp,
		Example: `  panelmatch run edp.yaml
  panelmatch run /etc/panelmatch --set run.mode=CRON_JOB`,
		Args: needArg("a manifest to run"),
	}
	l := addLayers(cmd, env)
	o := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		loaded, _, err := l.resolve(cmd.Context(), args)
		if err != nil {
			return err
		}
		m := loaded.Manifest
		log := newLogger(env, m.Telemetry.LogLevel, m.Telemetry.LogFormat, o.json())
		e, diags := engine.New(m, env.Providers)
		if err := diags.Err(); err != nil {
			return err // resolve has printed it already
		}
		log.Info("starting", "version", env.Version, "party", string(m.Identity.Party), "id", m.Identity.ID, "mode", string(m.Run.Mode))
		if err := e.Run(cmd.Context(), engine.RunOptions{Log: log}); err != nil {
			return fmt.Errorf("the daemon ended: %w", err)
		}
		log.Info("stopped")
		return nil
	}
	return cmd
}

// newLogger makes the process's log, on standard error. Format auto is text on a terminal, JSON elsewhere.
func newLogger(env *Env, level, format string, forceJSON bool) *slog.Logger {
	var lv slog.Level
	if err := lv.UnmarshalText([]byte(level)); err != nil {
		lv = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: lv}
	if forceJSON || format == "json" || format == "auto" && !env.Terminal {
		return slog.New(slog.NewJSONHandler(env.Err, opts))
	}
	return slog.New(slog.NewTextHandler(env.Err, opts))
}
