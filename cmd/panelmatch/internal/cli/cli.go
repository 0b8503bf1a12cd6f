// Package cli is the command line: flags, wiring and printing. What a command
// does lives in the engine and the schema, so that a library user misses
// nothing; what it looks like lives here.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/diag"
)

// Env is everything that a command may touch of the process it runs in.
type Env struct {
	In       io.Reader
	Out, Err io.Writer
	// Environ is the environment, as os.Environ returns it.
	Environ []string
	// Terminal tells that Out is a terminal; Color that Err may be coloured.
	Terminal, Color bool
	// Providers is what this binary is built with.
	Providers provider.Table
	// Version is the release, or "devel".
	Version string
}

// The exit codes.
const (
	exitOK    = 0
	exitFault = 1 // what was asked about is not fine, or what was asked for failed
	exitUsage = 2 // the command line can't be understood
)

// errReported says that everything there is to say has been printed.
var errReported = errors.New("reported")

// usageError is a command line that can't be understood.
type usageError struct{ error }

// Run runs the command line args (without the program's name) and returns the exit code.
func Run(ctx context.Context, args []string, env Env) int {
	root := newRoot(&env) //nolint:contextcheck // commands get ctx from ExecuteContextC
	root.SetArgs(args)
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	cmd, err := root.ExecuteContextC(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errReported):
		return exitFault
	case errors.As(err, &usage):
		fmt.Fprintf(env.Err, "error: %v\nhint: %s --help\n", err, cmd.CommandPath())
		return exitUsage
	default:
		fmt.Fprintf(env.Err, "error: %v\n", err)
		return exitFault
	}
}

func newRoot(env *Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "panelmatch",
		Short: "match a panel against events without showing either",
		Long: `panelmatch runs the Panel Exchange Client of one party, a Model Provider or an
Event Data Provider, from a manifest.

Exit codes: 0 all is fine, 1 what was checked is not fine, 2 wrong usage.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			msg := fmt.Sprintf("no command %q", args[0])
			if near, ok := diag.Closest(args[0], commandNames(cmd)); ok {
				msg += fmt.Sprintf("; did you mean %q?", near)
			}
			return usageError{errors.New(msg)}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.SetHelpCommandGroupID("about")
	root.SetCompletionCommandGroupID("about")
	root.AddGroup(
		&cobra.Group{ID: "look", Title: "Look at a manifest (no side effects):"},
		&cobra.Group{ID: "do", Title: "Do something with it:"},
		&cobra.Group{ID: "about", Title: "About this binary:"},
	)
	root.AddCommand(
		newVet(env), newGraph(env), newExplain(env), newSchema(env), newFmt(env),
		newDemo(env), newCheck(env), newApply(env), newRun(env),
		newProviders(env), newVersion(env),
	)
	return root
}

func commandNames(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	slices.Sort(names)
	return names
}

// needArg refuses a command line without arguments and says what is missing.
func needArg(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError{fmt.Errorf("name %s", what)}
		}
		return nil
	}
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}

// output is the -o flag that every command has.
type output struct {
	format string
	allow  []string
}

func addOutput(cmd *cobra.Command, more ...string) *output {
	o := &output{allow: append([]string{"text", "json"}, more...)}
	cmd.Flags().StringVarP(&o.format, "output", "o", "text", "how to print: "+strings.Join(o.allow, ", "))
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return o.allow, cobra.ShellCompDirectiveNoFileComp
	}
	_ = cmd.RegisterFlagCompletionFunc("output", complete) // fails only for a flag that does not exist
	pre := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if !slices.Contains(o.allow, o.format) {
			return usageError{fmt.Errorf("-o %s: must be one of %s", o.format, strings.Join(o.allow, ", "))}
		}
		if pre != nil {
			return pre(cmd, args)
		}
		return nil
	}
	return o
}

func (o *output) json() bool { return o.format == "json" }

// writeJSON prints one indented document.
func writeJSON[T any](w io.Writer, v T) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
