package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"loupe/sae"
)

func newSAEConvertCmd(a *app) *cobra.Command {
	var to string
	var force bool
	var names []string
	for _, f := range sae.Formats() {
		if f.Writes {
			names = append(names, f.Name)
		}
	}
	cmd := &cobra.Command{
		Use:   "convert SAE DST",
		Short: "Write a sparse autoencoder in another tool's format",
		Long: "Read a sparse autoencoder of any format and write it to DST in the format of --to: " + strings.Join(names, ", ") + ".\n" +
			"What the format cannot express is refused; where only the form has to change, that is said. " + saeRef,
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(names, to) {
				return usagef("--to is %q; it must be one of %s", to, strings.Join(names, ", "))
			}
			if _, err := os.Stat(args[1]); err == nil && !force {
				return usagef("%s exists; choose another place or give --force", args[1])
			}
			c, from, err := readCoder(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			notes, err := sae.WriteCoder(c, args[1], to)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(struct {
					From  string   `json:"from"`
					To    string   `json:"to"`
					Path  string   `json:"path"`
					Notes []string `json:"notes"`
				}{from, to, args[1], append([]string{}, notes...)})
			}
			var out strings.Builder
			fmt.Fprintf(&out, "%s: %s, converted from %s to %s\n", args[1], c.Shape().Arch, from, to)
			for _, n := range notes {
				fmt.Fprintf(&out, "note: %s\n", n)
			}
			_, err = fmt.Fprint(a.out, out.String())
			return err
		},
	}
	cmd.Flags().StringVar(&to, "to", sae.FormatSAELens, "format to write: "+strings.Join(names, ", "))
	cmd.Flags().BoolVar(&force, "force", false, "write over what is at DST")
	return cmd
}
