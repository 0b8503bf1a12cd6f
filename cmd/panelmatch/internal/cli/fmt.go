package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/panelmatch/panelmatch/schema/manifest"
)

func newFmt(env *Env) *cobra.Command {
	var checkOnly bool
	cmd := &cobra.Command{
		Use:     "fmt FILE...",
		GroupID: "look",
		Short:   "format manifests in place",
		Long: `Fmt rewrites manifests (YAML, JSON or CUE) in the standard layout. Comments and
the order of settings stay. With --check it only lists the files that it would
change, and exits with 1 if there are any. With "-" as the only FILE it reads
YAML from standard input and writes to standard output.`,
		Example: `  panelmatch fmt edp.yaml exchanges.d/*.yaml
  panelmatch fmt --check edp.yaml`,
		Args: needArg("a file to format"),
	}
	cmd.Flags().BoolVar(&checkOnly, "check", false, "change nothing; list what would change")
	o := addOutput(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 1 && args[0] == "-" {
			return fmtStream(env)
		}
		changed := []string{}
		for _, name := range args {
			did, err := fmtFile(name, checkOnly)
			if err != nil {
				return err
			}
			if did {
				changed = append(changed, name)
			}
		}
		if o.json() {
			if err := writeJSON(env.Out, map[string][]string{"changed": changed}); err != nil {
				return err
			}
		} else {
			for _, name := range changed {
				fmt.Fprintln(env.Out, name)
			}
		}
		if checkOnly && len(changed) > 0 {
			return errReported
		}
		return nil
	}
	return cmd
}

func fmtStream(env *Env) error {
	in, err := io.ReadAll(env.In)
	if err != nil {
		return fmt.Errorf("read standard input: %w", err)
	}
	out, err := manifest.Format("stdin.yaml", in)
	if err != nil {
		return err
	}
	_, err = env.Out.Write(out)
	return err
}

// fmtFile formats one file and reports whether it changed, or would change.
func fmtFile(name string, checkOnly bool) (bool, error) {
	in, err := os.ReadFile(name)
	if err != nil {
		return false, err
	}
	out, err := manifest.Format(name, in)
	if err != nil {
		return false, err
	}
	if bytes.Equal(in, out) {
		return false, nil
	}
	if checkOnly {
		return true, nil
	}
	return true, replaceFile(name, out)
}

// replaceFile swaps the content of name in one step, keeping its mode.
func replaceFile(name string, content []byte) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".fmt-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // after a rename there is nothing left to remove
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Chmod(info.Mode().Perm())
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.Rename(tmp.Name(), name)
}
