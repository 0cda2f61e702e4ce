package main

import (
	"path/filepath"

	"github.com/spf13/cobra"
)

func newCircuitsConvertCmd(a *app) *cobra.Command {
	var top int
	cmd := &cobra.Command{
		Use:   "convert FILE OUT",
		Short: "Convert circuits between Arrow tables, EAP-IG's files and pictures",
		Long: `Convert a circuit file to the form that the ending of OUT names: .arrow (loupe's table), .json and .pt (EAP-IG), .html, .svg, .dot, .graphml.
EAP-IG's forms have no room for provenance, scores of single examples and inclusions.
An attribution graph (.json of circuit-tracer) is checked and written as .json or as a picture.

` + circuitFileHelp,
		Args: exactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			g, err := readGraph(args[0])
			if err != nil {
				return err
			}
			return g.write(a, args[1], filepath.Base(args[0]), top)
		},
	}
	cmd.Flags().IntVar(&top, "top", 0, "pictures: edges of largest |score| before pruning; 0: as many as the circuit has")
	return cmd
}
