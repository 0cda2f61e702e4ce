package main

import (
	"github.com/spf13/cobra"

	"loupe/experiments/erase/redteam"
)

func newEraseAttackCmd(a *app) *cobra.Command {
	f := runFlags{command: "loupe erase attack", kind: redteam.Kind}
	cmd := &cobra.Command{
		Use:   "attack [CONFIG]",
		Short: "Look for texts that bring erased concepts back",
		Long: `Fit each method of CONFIG to each concept of its task, or load saved edits (loupe erase fit), and attack the held-out prompts of the
concept: by synonyms and descriptions, by tokens that are put in front (random ones as control, greedy insertion, P4D, UnlearnDiffAtk,
Ring-A-Bell's texts), by free word embeddings (soft prompt, learned embedding) and by states (Ring-A-Bell's targets, the inverse of a
map). An adaptive attack is found on the edited encoder, through its weights, hook and gate; a static one on the original encoder, and
then tried. A prompt counts where the concept's prototype is the nearest of its domain.

CONFIG is a file of kind erase-attack (` + "`loupe config schema erase-attack`" + ` describes its keys); without it the defaults are taken:

  loupe erase attack --set methods='[{name: uce}]' --set task.erase=[horse] --set modes='[adaptive, static]'
  loupe erase attack --set edits=[edits/uce-dog] --set methods=[] --set attacks='[{name: p4d, settings: [steps=40]}]'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%d configurations; usage: %s", len(args), cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			return a.runExperiment(cmd.Context(), name, f)
		},
	}
	f.add(cmd)
	return cmd
}
