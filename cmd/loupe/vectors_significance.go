package main

import (
	"github.com/spf13/cobra"

	"loupe/vectors/fitting"
)

func newVectorsTestCmd(a *app) *cobra.Command {
	f := runFlags{command: "loupe vectors test", kind: fitting.TestKind}
	cmd := &cobra.Command{
		Use:   "test CONFIG",
		Short: "Test whether concepts are there at all: held-out accuracy against shuffled labels, corrected for every test",
		Long: `Fit a concept activation vector for every target at every site and position, and test it on held-out texts against vectors that were
fitted to shuffled labels. P-values are corrected over the whole table, by Holm (no false claim) and by Benjamini and Hochberg (share of
false claims). A vector that does not pass should not be used further.

CONFIG is a file of kind ` + fitting.TestKind + ` (` + "`loupe config schema " + fitting.TestKind + "`" + ` describes its keys).`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runExperiment(cmd.Context(), args[0], f) },
	}
	f.add(cmd)
	return cmd
}
