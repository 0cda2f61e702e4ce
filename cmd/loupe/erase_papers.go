package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"loupe/experiments/erase/compare"
	"loupe/experiments/erase/evaluate"
	"loupe/internal/atomicfile"
	"loupe/internal/config"
	rundir "loupe/internal/run"
	"loupe/probe/model"
)

// The comparisons: of all methods, which stands first in the report, and of the closed forms on more concepts.
const (
	comparisonConfig = "experiments/erase-all.yaml"
	closedConfig     = "experiments/erase.yaml"
)

func newErasePapersCmd(a *app) *cobra.Command {
	var f runFlags
	var full bool
	cmd := &cobra.Command{
		Use:   "papers",
		Short: "Run every experiment on erasure, and write one report of all",
		Long: `Run ` + comparisonConfig + `, ` + closedConfig + ` and the experiments of all papers on erasing and customising concepts in text encoders, one after the other, with
one set of compiled programs. What is done is not run again, and what was stopped goes on where it was. Then write
RUNS/papers-erase/report.html and report.md: methods x metrics with intervals and attacks, and for each paper what was expected beside what came
out. An experiment that fails does not stop the others; the exit code is then 1.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.erasePapers(cmd.Context(), f, full) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&full, "full", false, "the published budgets, full.yaml, where an experiment has one")
	flags.BoolVar(&f.dry, "dry-run", false, "list the experiments and what is done of them, and do nothing")
	flags.StringVar(&f.runs, "runs", "runs", "folder that holds the run folders")
	flags.StringVar(&f.stores, "stores", "stores", "folder that holds the activation stores")
	return cmd
}

func (a *app) erasePapers(ctx context.Context, f runFlags, full bool) error {
	files := []string{comparisonConfig, closedConfig}
	for _, name := range compare.Papers() {
		path, err := experimentConfig(name, full)
		if full && err != nil {
			path, err = experimentConfig(name, false)
		}
		if err != nil {
			return err
		}
		files = append(files, path)
	}
	if !f.dry {
		b, err := a.open()
		if err != nil {
			return err
		}
		a.backend, a.engine = b, model.NewEngine(b, nil)
		defer func() { a.backend, a.engine = nil, nil }()
	}
	var list []compare.Paper
	var failed []error
	for i, path := range files {
		p, err := a.erasePaper(ctx, path, f)
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if err != nil {
			p.Status, p.Error = "failed", err.Error()
			failed = append(failed, fmt.Errorf("%s: %w", path, err))
		}
		if !f.dry {
			a.log.Info("papers", "done", i+1, "of", len(files), "name", p.Name, "status", p.Status, "seconds", p.Seconds)
		}
		list = append(list, p)
	}
	rows, err := comparisonRows(list[0].Run)
	if err != nil {
		return err
	}
	r := compare.PapersReport("loupe erase papers", rows, list)
	if f.dry {
		if a.json {
			return a.printJSON(list)
		}
		for _, p := range list {
			fmt.Fprintf(a.out, "%-18s %-12s %s\n", p.Name, p.Status, p.Run)
		}
		return nil
	}
	dir := filepath.Join(f.runs, "papers-erase")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := r.Write(filepath.Join(dir, "report.html")); err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(dir, "report.md"), func(w io.Writer) error { return compare.WriteMarkdown(w, r) }); err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(list)
	} else {
		fmt.Fprintf(a.out, "report        %s, report.md\n", filepath.Join(dir, "report.html"))
	}
	return errors.Join(append(failed, err)...)
}

// erasePaper runs an experiment unless its newest run is done.
func (a *app) erasePaper(ctx context.Context, path string, f runFlags) (compare.Paper, error) {
	p := compare.Paper{Status: "not run"}
	c, err := a.loadConfig(configKinds(), config.Input{Path: path})
	if err != nil {
		return p, err
	}
	name := c.Kind.Name
	for _, e := range experiments(a) {
		if e.kind.Name == c.Kind.Name {
			name = e.name(c.Value)
		}
	}
	p.Name = name
	done, resume, err := a.runState(c, name, f.runs)
	if err != nil {
		return p, err
	}
	if done {
		p.Status = "done before"
	} else if !f.dry {
		g := f
		g.resume = resume
		start := time.Now()
		if err := a.runExperiment(ctx, path, g); err != nil {
			return p, err
		}
		p.Status, p.Seconds = "done now", time.Since(start).Seconds()
	}
	l, err := a.listExperiment(path, c, name, f.runs)
	p.Run, p.Expected = l.Run, l.Expected
	return p, err
}

// runState tells whether the newest run of a configuration is done, and whether there is one to go on with.
func (a *app) runState(c *config.Config, name, runs string) (done, resume bool, err error) {
	hash, err := c.Hash()
	if err != nil {
		return false, false, err
	}
	dir, err := rundir.Find(rundir.Spec{Root: runs, Name: name, Kind: c.Kind.Name, ConfigHash: hash})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, rundir.ErrConfig) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	info, err := rundir.Read(dir)
	if err != nil {
		return false, false, err
	}
	return info.Status == rundir.Done, info.Status != rundir.Done, nil
}

// comparisonRows reads the rows of a comparison's run folder, the best harmonic mean first; none for "".
func comparisonRows(dir string) ([]*evaluate.Row, error) {
	if dir == "" {
		return nil, nil
	}
	files, err := filepath.Glob(filepath.Join(dir, "steps", "row-*.json"))
	if err != nil {
		return nil, err
	}
	var rows []*evaluate.Row
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		var r evaluate.Row
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		rows = append(rows, &r)
	}
	slices.SortStableFunc(rows, func(x, y *evaluate.Row) int { return cmp.Compare(y.Harmonic.Value, x.Harmonic.Value) })
	return rows, nil
}
