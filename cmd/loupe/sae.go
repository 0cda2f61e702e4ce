package main

import (
	"github.com/spf13/cobra"
)

func newSAECmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sae",
		Short: "Train and evaluate sparse autoencoders",
		Args:  exactArgs(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSAETrainCmd(a), newSAEEvalCmd(a))
	cmd.AddCommand(newSAEConvertCmd(a), newSAEInfoCmd(a), newSAECheckCmd(a), newSAEFeaturesCmd(a))
	return cmd
}
