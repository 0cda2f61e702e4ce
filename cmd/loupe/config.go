package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/experiments/autoencoders"
	"loupe/experiments/demo"
	"loupe/internal/config"
	"loupe/probe/capture"
	"loupe/probe/sweep"
	"loupe/sae/training"
)

// configKinds is the table of configuration kinds: what `kind:` in a file may say. A new kind is one line here.
func configKinds() []config.Kind {
	kinds := []config.Kind{
		{Name: capture.Kind, Doc: "write a model's activations over a corpus to a store", New: newCaptureConfig},
		{Name: training.Kind, Doc: "train sparse autoencoders", New: newTrainingConfig},
		{Name: sweep.Kind, Doc: "fit probes to a store's activations, beside their controls", New: newProbeConfig},
		demo.Kind(),
		autoencoders.Kind(),
	}
	for _, s := range studies() {
		kinds = append(kinds, s.Kind)
	}
	return kinds
}

func newConfigCmd(a *app, kinds []config.Kind) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show, check and describe configuration files",
		Args:  exactArgs(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigShowCmd(a, kinds), newConfigValidateCmd(a, kinds), newConfigSchemaCmd(a, kinds))
	return cmd
}

// loadConfig loads a configuration and logs its warnings. Every command that takes a configuration goes through it.
func (a *app) loadConfig(kinds []config.Kind, in config.Input) (*config.Config, error) {
	c, err := config.Load(kinds, in)
	if err != nil {
		return nil, err
	}
	for _, w := range c.Warnings {
		a.log.Warn(w)
	}
	return c, nil
}

func newConfigShowCmd(a *app, kinds []config.Kind) *cobra.Command {
	var set []string
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Print each value of a configuration and where it comes from",
		Args:  exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.loadConfig(kinds, config.Input{Path: args[0], Set: set})
			if err != nil {
				return err
			}
			hash, err := c.Hash()
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(struct {
					Kind   string         `json:"kind"`
					Hash   string         `json:"hash"`
					Values []config.Value `json:"values"`
				}{c.Kind.Name, hash, c.Values})
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "KEY\tVALUE\tSOURCE\nkind\t%s\t%s\n", c.Kind.Name, args[0])
			for _, v := range c.Values {
				fmt.Fprintf(w, "%s\t%s\t%s\n", v.Key, config.Format(v.Value), v.Source)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "hash %s\n", hash)
			return err
		},
	}
	addSetFlag(cmd, &set)
	return cmd
}

func newConfigValidateCmd(a *app, kinds []config.Kind) *cobra.Command {
	var set []string
	cmd := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Check configuration files",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("no file given; usage: %s", cmd.UseLine())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			for _, path := range args {
				c, err := a.loadConfig(kinds, config.Input{Path: path, Set: set})
				if err != nil {
					return err
				}
				if !a.json {
					if _, err := fmt.Fprintf(a.out, "%s: a good %s configuration\n", path, c.Kind.Name); err != nil {
						return err
					}
				}
			}
			if a.json {
				return a.printJSON(map[string]any{"valid": args})
			}
			return nil
		},
	}
	addSetFlag(cmd, &set)
	return cmd
}

func newConfigSchemaCmd(a *app, kinds []config.Kind) *cobra.Command {
	return &cobra.Command{
		Use:   "schema [KIND]",
		Short: "Print the JSON Schema of a kind; without KIND, list the kinds",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("one kind at a time; usage: %s", cmd.UseLine())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.printKinds(kinds)
			}
			k, err := config.Find(kinds, args[0])
			if err != nil {
				return usageError{err}
			}
			out, err := k.JSONSchema()
			if err != nil {
				return err
			}
			_, err = a.out.Write(out)
			return err
		},
	}
}

func (a *app) printKinds(kinds []config.Kind) error {
	if a.json {
		list := make([]map[string]string, 0, len(kinds))
		for _, k := range kinds {
			list = append(list, map[string]string{"kind": k.Name, "doc": k.Doc})
		}
		return a.printJSON(list)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, k := range kinds {
		fmt.Fprintf(w, "%s\t%s\n", k.Name, k.Doc)
	}
	return w.Flush()
}

// addSetFlag adds --set key=value, repeatable. A value may contain commas, so that the flag is not a comma list.
func addSetFlag(cmd *cobra.Command, set *[]string) {
	cmd.Flags().StringArrayVar(set, "set", nil, "override a value: key=value, as in --set train.lr=1e-3 (repeatable)")
}
