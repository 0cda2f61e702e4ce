package main

import "github.com/spf13/cobra"

func newVectorsCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vectors",
		Short: "Find, test, remove and compare concept vectors, beside their controls",
		Args:  exactArgs(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newVectorsAblateCmd(a), newVectorsFitCmd(a), newVectorsTestCmd(a), newVectorsFindCmd(a), newVectorsValidateCmd(a))
	cmd.AddCommand(newVectorsCompareCmd(a), newVectorsExportCmd(a), newVectorsSteerCmd(a), newVectorsLensCmd(a), newVectorsConceptsCmd(a))
	return cmd
}
