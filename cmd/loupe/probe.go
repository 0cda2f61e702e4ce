package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/internal/config"
	"loupe/internal/progress"
	rundir "loupe/internal/run"
	"loupe/probe/capture"
	"loupe/probe/sweep"
)

func newProbeConfig() any {
	c := sweep.DefaultConfig()
	return &c
}

func newProbeCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Fit probes to activations, beside their controls",
		Args:  exactArgs(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newProbeRunCmd(a, true), newProbeRunCmd(a, false), newProbeEvalCmd(a))
	return cmd
}

// newProbeRunCmd is `loupe probe fit`, which keeps the probes, or `loupe probe sweep`, which compares them.
func newProbeRunCmd(a *app, save bool) *cobra.Command {
	var set []string
	var dry, resume bool
	var runs string
	cmd := &cobra.Command{
		Use:   "sweep CONFIG",
		Short: "Score probes over sites, positions and concepts, in a run folder",
		Long: `Fit a probe to every target at every site and position, score it on documents that share no group with its training, and
print the table of scores. CONFIG is a file of kind probe (` + "`loupe config schema probe`" + ` describes its keys). With capture.sites
set, the store is captured first where it is not there, all sites in one pass. A killed run is continued with --resume.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.loadConfig(configKinds(), config.Input{Path: args[0], Kind: sweep.Kind, Set: set})
			if err != nil {
				return err
			}
			if dry {
				return a.planProbes(cmd.Context(), c.Value.(*sweep.Config))
			}
			return a.runProbes(cmd.Context(), c, cmd.Name(), runs, save, resume)
		},
	}
	if save {
		cmd.Use, cmd.Short = "fit CONFIG", "Fit probes and keep them, in a run folder"
		cmd.Long = strings.Replace(cmd.Long, "and\nprint the table of scores.", "and\nkeep it in the run folder's weights/.", 1)
	}
	addSetFlag(cmd, &set)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print what would be fitted and what it would cost; write nothing")
	cmd.Flags().BoolVar(&resume, "resume", false, "continue the newest run of this configuration")
	cmd.Flags().StringVar(&runs, "runs", "runs", "folder that holds the run folders")
	return cmd
}

// fillStore captures the store of a configuration that needs it.
func (a *app) fillStore(ctx context.Context, c *sweep.Data) (err error) {
	needed, err := c.NeedsCapture()
	if err != nil || !needed {
		return err
	}
	cp, err := a.openProbeCapture(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cp.Close()) }()
	_, err = cp.Run(ctx, capture.RunOptions{Resume: true, Progress: func(total int64) progress.Progress {
		return progress.New(progress.Options{Label: "capture", Unit: "tokens", Total: total, Out: a.err, Log: a.log})
	}})
	return err
}

func (a *app) openProbeCapture(ctx context.Context, c *sweep.Data) (*capture.Capture, error) {
	b, err := a.open()
	if err != nil {
		return nil, err
	}
	return c.OpenCapture(ctx, b, a.log)
}

// planProbes prints the plan of a run, or of its capture where the store is not there yet.
func (a *app) planProbes(ctx context.Context, c *sweep.Config) (err error) {
	needed, err := c.NeedsCapture()
	if err != nil {
		return err
	}
	if needed {
		cp, err := a.openProbeCapture(ctx, &c.Data)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cp.Close()) }()
		a.log.Info("the store is not there: this is the plan of its capture, after which the probes can be planned", "store", c.Store)
		return a.planCapture(ctx, cp)
	}
	j, err := sweep.Open(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	p := j.Plan()
	if a.json {
		return a.printJSON(p)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "store\t%s of %s\nmethod\t%s\n", p.Store, p.Model, p.Method)
	for _, s := range p.Places {
		fmt.Fprintf(w, "place\t%s\n", s)
	}
	printTargets(w, p.Targets)
	fmt.Fprintf(w, "probes\t%d, controls and folds included\nin memory\t%s of activations at a time\n", p.Probes, size(p.Bytes))
	if p.FLOPs > 0 {
		fmt.Fprintf(w, "compute\tabout %.3g FLOPs\n", p.FLOPs)
	}
	return w.Flush()
}

func printTargets(w io.Writer, targets []sweep.TargetRow) {
	for _, t := range targets {
		fmt.Fprintf(w, "target\t%s, %s, classes %v: %d training and %d test rows of %d groups\n", t.Target, t.Task, t.Counts, t.Train, t.Test, t.Groups)
	}
}

// runProbes fits and scores in a run folder.
func (a *app) runProbes(ctx context.Context, c *config.Config, verb, runs string, save, resume bool) (err error) {
	conf := c.Value.(*sweep.Config)
	if err := a.fillStore(ctx, &conf.Data); err != nil {
		return err
	}
	j, err := sweep.Open(ctx, conf)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	hash, err := c.Hash()
	if err != nil {
		return err
	}
	v := buildVersion()
	dir, err := openRun(rundir.Spec{
		Root: runs, Name: conf.Name, Kind: sweep.Kind, Command: []string{"probe", verb}, Seed: conf.Seed, Config: c.YAML(), ConfigHash: hash,
		Env: rundir.Env{Loupe: v.Version, Commit: v.Commit, Modules: v.Modules}, Log: a.log.Handler(),
	}, resume)
	if err != nil {
		return err
	}
	report, err := j.Run(ctx, dir, sweep.RunOptions{Save: save, Progress: func(total int64) progress.Progress {
		return progress.New(progress.Options{Label: "probe", Unit: "fits", Total: total, Out: a.err, Log: dir.Log()})
	}})
	if err != nil {
		return dir.Fail(err)
	}
	if err := dir.Finish(); err != nil {
		return err
	}
	return a.printOutcome(report)
}

func newProbeEvalCmd(a *app) *cobra.Command {
	cfg := sweep.DefaultEval()
	cmd := &cobra.Command{
		Use:   "eval PROBE STORE",
		Short: "Score a saved probe on the documents of a store",
		Long: "Score a probe (the .json of `loupe probe fit`) on a store of the same model that has the probe's site. The store's labels are\n" +
			"read as those that the probe was fitted to; labels shuffled among the rows are the control.",
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cfg.Shuffles < 1 || cfg.Bins < 1 {
				return usagef("--shuffles %d and --bins %d must be at least 1", cfg.Shuffles, cfg.Bins)
			}
			e, err := sweep.Evaluate(cmd.Context(), args[0], args[1], cfg)
			if err != nil {
				return err
			}
			return a.printOutcome(e)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&cfg.Split, "split", "", "split of the documents to score on (default: all)")
	flags.StringVar(&cfg.Value, "value", "", "class of the label that targets were made by (default: the probe's own)")
	flags.IntVar(&cfg.Shuffles, "shuffles", cfg.Shuffles, "shuffles of the permutation test")
	flags.IntVar(&cfg.Bins, "bins", cfg.Bins, "bins of the reliability table")
	flags.BoolVar(&cfg.Drop, "drop", false, "leave out texts that lack the probe's position")
	flags.Uint64Var(&cfg.Seed, "seed", 0, "seed of intervals and shuffles")
	return cmd
}
