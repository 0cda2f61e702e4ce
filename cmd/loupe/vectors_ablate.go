package main

import (
	"github.com/spf13/cobra"

	"loupe/vectors/removal"
)

func newVectorsAblateCmd(a *app) *cobra.Command {
	f := runFlags{command: "loupe vectors ablate", kind: removal.Kind}
	cmd := &cobra.Command{
		Use:   "ablate CONFIG",
		Short: "Remove a concept from models by several methods, and say what is left and what it cost",
		Long: `Capture labelled texts, fit every method, remove what it found, and judge the outcome beside its controls: nothing removed, a
random subspace of equal rank, shuffled labels. The tables say what linear, quadratic and MLP probes read of the concept before
and after, how far activations moved, whether other concepts can still be read, and what the edit does to the running model
(perplexity of a language model, embeddings of a sentence encoder). The run folder has report.html, tables, and the vectors in
weights/ as safetensors with a JSON card each.

CONFIG is a file of kind ablate, such as experiments/ablate.yaml (` + "`loupe config schema ablate`" + ` describes its keys).`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runExperiment(cmd.Context(), args[0], f) },
	}
	f.add(cmd)
	return cmd
}
