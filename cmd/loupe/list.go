package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/internal/config"
	"loupe/internal/inventory"
)

func newListCmd(a *app) *cobra.Command {
	var missing bool
	var runs string
	cmd := &cobra.Command{
		Use:   "list [AREA|KIND]",
		Short: "List every method, metric, format, data set, model, command and experiment, and how each is checked",
		Long: "List every method, metric, format, data set, model, command and experiment, and how each is checked. `loupe list experiments` shows,\n" +
			"for every configuration of an experiment below the working folder, its expectations beside what its newest run here gave.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("one area or kind at a time; usage: %s", cmd.UseLine())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "experiments" {
				return a.listExperiments(runs)
			}
			items, err := inventory.Load()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				all := items
				if items = inventory.Select(all, args[0]); len(items) == 0 {
					return noSuchArea(args[0], append(inventory.Areas(all), inventory.Kinds...))
				}
			}
			total := len(items)
			absent := inventory.OnlyMissing(items)
			if missing {
				items = absent
			}
			if a.json {
				return a.printJSON(items)
			}
			if err := a.printItems(items); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "\n%d of %d are present\n", total-len(absent), total)
			return err
		},
	}
	cmd.Flags().BoolVar(&missing, "missing", false, "only what does not exist yet")
	cmd.Flags().StringVar(&runs, "runs", "runs", "folder that holds the run folders, for `loupe list experiments`")
	return cmd
}

func noSuchArea(name string, known []string) error {
	if near, ok := config.Nearest(name, known); ok {
		return usagef("no area or kind %q; did you mean %q?", name, near)
	}
	return usagef("no area or kind %q; known: %s", name, strings.Join(known, ", "))
}

func (a *app) printItems(items []inventory.Item) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "AREA\tKIND\tNAME\tSTATUS\tCHECK\tFILE\tPAPER")
	for _, i := range items {
		checks := slices.Clone(i.Check)
		if len(checks) == 0 {
			checks = []string{"-"}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.Area, i.Kind, i.Name, i.Status, strings.Join(checks, "+"), orDash(i.File), orDash(i.Paper))
	}
	return w.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
