package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/internal/config"
	"loupe/internal/progress"
	rundir "loupe/internal/run"
	"loupe/sae"
	"loupe/sae/training"
)

func newTrainingConfig() any {
	c := training.DefaultConfig()
	return &c
}

func newSAETrainCmd(a *app) *cobra.Command {
	var set []string
	var f trainFlags
	cmd := &cobra.Command{
		Use:   "train CONFIG",
		Short: "Train sparse autoencoders, in a run folder",
		Long: `Train one or many sparse autoencoders in one pass over the data, in a run folder.

CONFIG is a file of kind sae (` + "`loupe config schema sae`" + ` describes its keys). Interrupted with Ctrl-C, killed or out of
disk, a run is continued with --resume and ends in the same bytes as an unbroken one.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.loadConfig(configKinds(), config.Input{Path: args[0], Kind: training.Kind, Set: set})
			if err != nil {
				return err
			}
			return a.trainSAEs(cmd.Context(), c, f)
		},
	}
	addSetFlag(cmd, &set)
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "measure a step and print what the run would take; write nothing")
	cmd.Flags().BoolVar(&f.resume, "resume", false, "continue the newest run of this configuration")
	cmd.Flags().StringVar(&f.runs, "runs", "runs", "folder that holds the run folders")
	return cmd
}

// trainFlags are the flags of `loupe sae train`.
type trainFlags struct {
	dry, resume bool
	runs        string
}

// trainSAEs trains in a new or resumed run folder and prints where the SAEs are and how good.
func (a *app) trainSAEs(ctx context.Context, c *config.Config, f trainFlags) (err error) {
	conf := c.Value.(*training.Config)
	b, err := a.open()
	if err != nil {
		return err
	}
	job, err := training.Open(ctx, b, conf, a.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, job.Close()) }()
	if f.dry {
		plan, err := job.Plan(ctx)
		if err != nil {
			return err
		}
		return a.printTrainingPlan(plan)
	}
	if err := job.Check(ctx); err != nil {
		return err
	}
	hash, err := c.Hash()
	if err != nil {
		return err
	}
	v := buildVersion()
	dir, err := openRun(rundir.Spec{
		Root: f.runs, Name: conf.Name, Kind: training.Kind, Command: []string{"sae", "train"}, Seed: conf.Seed, Config: c.YAML(), ConfigHash: hash,
		Env: rundir.Env{Loupe: v.Version, Commit: v.Commit, Backend: b.String(), Modules: v.Modules}, Log: a.log.Handler(),
	}, f.resume)
	if err != nil {
		return err
	}
	report, err := job.Run(ctx, dir, training.RunOptions{Progress: func(total int64) progress.Progress {
		return progress.New(progress.Options{Label: "train", Unit: "tokens", Total: total, Out: a.err, Log: dir.Log()})
	}})
	if err != nil {
		return dir.Fail(err)
	}
	if err := dir.Finish(); err != nil {
		return err
	}
	return a.printTraining(report)
}

// openRun creates a run folder or, with resume, takes over the newest one of the same configuration.
func openRun(spec rundir.Spec, resume bool) (*rundir.Dir, error) {
	if !resume {
		return rundir.Create(spec)
	}
	path, err := rundir.Find(spec)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no run called %s in %s to resume; leave out --resume", spec.Name, spec.Root)
	}
	if err != nil {
		return nil, err
	}
	return rundir.Resume(path, spec)
}

// printTrainingPlan prints what a run would take.
func (a *app) printTrainingPlan(p *training.Plan) error {
	if a.json {
		return a.printJSON(p)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "data\t%s\n", p.Data)
	fmt.Fprintf(w, "rows\t%d, of %d there are (%.2g times), in %d steps of %d\n", p.Tokens, p.Epoch, float64(p.Tokens)/float64(max(p.Epoch, 1)), p.Steps, p.Batch)
	fmt.Fprintf(w, "backend\t%s\n", p.Backend)
	fmt.Fprintf(w, "memory\t%s on the host, of it %s of data; %s on the device\n", size(p.DataBytes+p.All.HostBytes), size(p.DataBytes), size(p.All.DeviceBytes))
	fmt.Fprintf(w, "on disk\t%s\n", size(p.DiskBytes))
	fmt.Fprintf(w, "time\t%s at %.0f rows/s, of it %s to read or compute the rows; evaluation and dead latents extra\n\n", seconds(p.Seconds), p.PerSecond, seconds(p.ReadTime))
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "SAE\tparameters\tFLOPs/row, dense\tsparse\thost\tdevice\tengine\tstep\ttime")
	for _, s := range p.SAEs {
		sparse := "-"
		if s.SparseFLOPs > 0 {
			sparse = fmt.Sprintf("%.3g", s.SparseFLOPs)
		}
		fmt.Fprintf(w, "%s\t%d\t%.3g\t%s\t%s\t%s\t%s\t%.3g s\t%s\n", s.Name, s.Params, s.DenseFLOPs, sparse, size(s.HostBytes), size(s.DeviceBytes), s.Engine, s.StepTime, seconds(s.Seconds))
	}
	fmt.Fprintf(w, "all %d\t%d\t%.3g\t%.3g\t%s\t%s\t\t\t%s\n", len(p.SAEs), p.All.Params, p.All.DenseFLOPs, p.All.SparseFLOPs, size(p.All.HostBytes), size(p.All.DeviceBytes), seconds(p.Seconds-p.ReadTime))
	return w.Flush()
}

// printTraining prints the SAEs of a run, one in full, several as a table.
func (a *app) printTraining(r *training.Report) error {
	if a.json {
		return a.printJSON(r)
	}
	if o := r.SAEs[0]; len(r.SAEs) == 1 && o.Shape.OutSites == 1 {
		var res *sae.Result
		if o.Result != nil {
			res = &o.Result.Sites[0]
		}
		return a.printMeasures(o.Path, o.Shape, res)
	}
	if _, err := fmt.Fprintf(a.out, "%d SAEs on %d rows each, in %s\n\n", len(r.SAEs), r.Tokens, filepath.Dir(r.SAEs[0].Path)); err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SAE\td_in\tlatents\tL0\tFVU\tdead\tengine")
	for _, o := range r.SAEs {
		l0, fvu, dead := o.L0.Mean, "-", "-"
		if o.Result != nil {
			l0, fvu, dead = o.Result.L0, fmt.Sprintf("%.4f", o.Result.FVU), fmt.Sprint(o.Result.Dead)
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%.2f\t%s\t%s\t%s\n", o.Name, o.Shape.InSites*o.Shape.DIn, o.Shape.Latents, l0, fvu, dead, o.Engine)
	}
	return w.Flush()
}

// printMeasures prints an SAE's place, sizes and, if there are any, its measures.
func (a *app) printMeasures(path string, s sae.Shape, res *sae.Result) error {
	var out strings.Builder
	fmt.Fprintf(&out, "%s: %s, d_in %d, d_sae %d, k %d\n", path, s.Arch, s.DIn, s.Latents, s.K)
	if res != nil {
		fmt.Fprintf(&out, "rows                %d\nL0                  %.2f\nMSE per token       %.5g\nFVU                 %.4f\n", res.Rows, res.L0, res.MSE, res.FVU)
		fmt.Fprintf(&out, "explained variance  %.4f (legacy: %.4f)\ncosine              %.4f\n", res.Explained, res.ExplainedLegacy, res.Cosine)
		fmt.Fprintf(&out, "relative bias       %.4f\ndead latents        %d of %d\n", res.RelBias, res.Dead, s.Latents)
	}
	_, err := fmt.Fprint(a.out, out.String())
	return err
}
