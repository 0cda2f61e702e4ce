package main

import (
	"github.com/spf13/cobra"

	"loupe/experiments/erase/compare"
)

func newEraseCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "erase",
		Short: "Erase concepts from text encoders, and measure what is gone, what is kept and what comes back",
		Args:  exactArgs(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newEraseFitCmd(a), newEraseEvalCmd(a), newEraseAttackCmd(a), newErasePapersCmd(a))
	return cmd
}

func newEraseEvalCmd(a *app) *cobra.Command {
	f := runFlags{command: "loupe erase eval", kind: compare.Kind}
	cmd := &cobra.Command{
		Use:   "eval CONFIG",
		Short: "Erase concepts by several methods and compare them in one table",
		Long: `Fit every method of CONFIG to every concept of its task, with each seed, and measure all of them in the same way beside doing nothing
and a random subspace of equal rank: recognition of the erased concept (Acc_e), of the others (Acc_s), of synonyms (Acc_g) and of
descriptions, their harmonic mean, a grid of two domains (UA, IRA, CRA), neighbours, drift of ordinary sentences, gates, fresh
probes, K/V errors, the closed-form inverse, time and memory. Intervals are 95 %, over prompts.

CONFIG is a file of kind erase, such as experiments/erase.yaml (` + "`loupe config schema erase`" + ` describes its keys).`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runExperiment(cmd.Context(), args[0], f) },
	}
	f.add(cmd)
	return cmd
}
