package cli

import (
	"github.com/spf13/cobra"

	"github.com/panelmatch/panelmatch/schema"
)

func newSchema(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "schema",
		GroupID: "look",
		Short:   "print the schema, for the stock cue command or for an editor",
		Long: `Schema prints the schema of a manifest as one CUE file, so that the stock cue
command can vet manifests without a checkout; with -o json as a JSON Schema,
which editors with a YAML language server understand.`,
		Example: `  panelmatch schema >panelmatch.cue
  cue vet -c panelmatch.cue edp.yaml -d '#Deployment'
  cue vet -c panelmatch.cue exchanges.d/rx1.yaml -d '#Overrides'`,
		Args: noArgs,
	}
	o := addOutput(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		text, err := schema.Single()
		if o.json() {
			text, err = schema.JSON()
		}
		if err != nil {
			return err
		}
		_, err = env.Out.Write(text)
		return err
	}
	return cmd
}
