package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/panelmatch/panelmatch/cmd/panelmatch/internal/demo"
	"github.com/panelmatch/panelmatch/engine/exchange"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

func newDemo(env *Env) *cobra.Command {
	var dir, storage, flow string
	var keep bool
	cmd := &cobra.Command{
		Use:     "demo",
		GroupID: "do",
		Short:   "run a whole exchange between two parties on this machine",
		Long: `Demo makes two parties in one directory (manifests, keys, certificate
authorities, a workflow that both agreed on, synthetic join keys), runs both
daemons until the exchange is complete, and prints what was matched and where
every blob lies. What it makes are ordinary files: look at them, edit them, and
run them again with "panelmatch run".`,
		Example: `  panelmatch demo
  panelmatch demo --dir ./demo --workflow mini
  panelmatch demo --storage s3://my-bucket?region=eu-west-1 --keep`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&dir, "dir", "", "directory for everything; it is kept (default: a temporary one)")
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the temporary directory")
	cmd.Flags().StringVar(&storage, "storage", "", "blob URL below which both parties' storage lies (default: directories)")
	cmd.Flags().StringVar(&flow, "workflow", demo.Workflows()[0], "which workflow to run: "+strings.Join(demo.Workflows(), ", "))
	o := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if strings.HasPrefix(storage, "mem:") {
			return usageError{fmt.Errorf("--storage %s: memory is not shared between two daemons; name a bucket or a directory", storage)}
		}
		keepIt := keep || dir != ""
		if dir == "" {
			var err error
			if dir, err = os.MkdirTemp("", "panelmatch-demo-"); err != nil {
				return err
			}
		}
		if !keepIt {
			defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
		}
		result, err := runDemo(cmd.Context(), env, demo.Options{Dir: dir, Workflow: flow, Storage: storage, Providers: env.Providers}, o.json())
		if err != nil {
			return err
		}
		if o.json() {
			return writeJSON(env.Out, result)
		}
		return printDemo(env.Out, result, dir, keepIt)
	}
	return cmd
}

func runDemo(ctx context.Context, env *Env, o demo.Options, quiet bool) (*demo.Result, error) {
	logFile, err := os.Create(filepath.Join(o.Dir, "demo.log"))
	if os.IsNotExist(err) {
		if err = os.MkdirAll(o.Dir, 0o755); err == nil {
			logFile, err = os.Create(filepath.Join(o.Dir, "demo.log"))
		}
	}
	if err != nil {
		return nil, err
	}
	defer logFile.Close() //nolint:errcheck // nothing more to write
	o.Log = slog.New(slog.NewTextHandler(logFile, nil))
	o.Step = func(text string) {
		if !quiet {
			fmt.Fprintln(env.Out, text)
		}
	}
	if !quiet {
		p := newProgress(env.Out, env.Terminal)
		defer p.end()
		o.Observer = func(party manifest.Party) exchange.Observer { return p.of(party) }
	}
	return demo.Run(ctx, o)
}

func printDemo(w io.Writer, r *demo.Result, dir string, kept bool) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	if r.Panel > 0 {
		fmt.Fprintf(w, "\nmatched: %d of the panel's %d join keys are among the data provider's %d ids\n\n", len(r.Matches), r.Panel, r.Events)
		fmt.Fprintln(tw, "panelist\tjoin key\tpseudonym that both know")
		for _, m := range r.Matches {
			fmt.Fprintf(tw, "%s\t%s\t%s\n", m.ID, m.JoinKey, m.Pseudonym)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	place := ""
	for _, b := range r.Blobs {
		if b.Place != place {
			if err := tw.Flush(); err != nil {
				return err
			}
			fmt.Fprintf(w, "\n%s storage, %s\n", b.Place, b.Where)
			place = b.Place
		}
		fmt.Fprintf(tw, "  %s\t%d B\t\n", b.Key, b.Size)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if kept {
		fmt.Fprintf(w, "\neverything is in %s\nnext: panelmatch graph %s\n      panelmatch check %s\n", dir, filepath.Join(dir, "mp1.yaml"), filepath.Join(dir, "edp1.yaml"))
		return nil
	}
	fmt.Fprintf(w, "\nthe demo's files are gone; `panelmatch demo --dir DIR` keeps them in DIR\n")
	return nil
}

// seconds is how long something took, for people.
func seconds(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
