package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"loupe/internal/config"
	"loupe/internal/expect"
	rundir "loupe/internal/run"
)

// listed is one configuration of an experiment with the verdicts of its newest run.
type listed struct {
	Config   string             `json:"config"`
	Kind     string             `json:"kind"`
	Run      string             `json:"run,omitempty"` // folder of the newest run; "" where it has not been run here
	Expected []expect.Judgement `json:"expected"`
}

// listExperiments prints expectations and what the newest runs in the folder runs gave.
func (a *app) listExperiments(runs string) error {
	all, err := a.findExperiments(runs)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(all)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "EXPERIMENT\tNUMBER\tCOMPARED\tEXPECTED\tGOT\tVERDICT")
	for _, l := range all {
		if len(l.Expected) == 0 {
			fmt.Fprintf(w, "%s\t-\t-\t-\t-\tno expectations\n", l.Config)
		}
		for _, j := range l.Expected {
			got, verdict := "-", string(j.Verdict)
			if j.Got != nil {
				got = fmt.Sprintf("%.4g", *j.Got)
			}
			if l.Run == "" {
				verdict = "not run here"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s %g\t%s\t%s\n", l.Config, j.Metric, j.Use, j.Op, j.Value, got, verdict)
		}
	}
	return w.Flush()
}

func (a *app) findExperiments(runs string) ([]listed, error) {
	all := experiments(a)
	names := map[string]func(conf any) string{}
	for _, e := range all {
		names[e.kind.Name] = e.name
	}
	var out []listed
	for _, dir := range []string{experimentsDir, papersDir} {
		files, err := filepath.Glob(filepath.Join(dir, "*", "*.yaml"))
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if strings.HasSuffix(f, expectSuffix) || filepath.Base(f) == "expect.yaml" {
				continue
			}
			c, err := a.loadConfig(configKinds(), config.Input{Path: f})
			if err != nil {
				return nil, err
			}
			name, is := names[c.Kind.Name]
			if !is {
				continue
			}
			l, err := a.listExperiment(f, c, name(c.Value), runs)
			if err != nil {
				return nil, err
			}
			out = append(out, l)
		}
	}
	if len(out) == 0 {
		return nil, usagef("there are no experiments in %s here; run in the folder of the project", experimentsDir)
	}
	return out, nil
}

func (a *app) listExperiment(path string, c *config.Config, name, runs string) (listed, error) {
	l := listed{Config: filepath.ToSlash(path), Kind: c.Kind.Name}
	lines, other, err := a.expectations(path, c)
	if err != nil || other != "" {
		return l, err
	}
	for _, line := range lines {
		l.Expected = append(l.Expected, expect.Judgement{Line: line})
	}
	hash, err := c.Hash()
	if err != nil {
		return l, err
	}
	dir, err := rundir.Find(rundir.Spec{Root: runs, Name: name, Kind: c.Kind.Name, ConfigHash: hash})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, rundir.ErrConfig) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, judgedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil // it is not done
	}
	if err != nil {
		return l, err
	}
	var judged []expect.Judgement
	if err := json.Unmarshal(raw, &judged); err != nil {
		return l, fmt.Errorf("%s: %w", filepath.Join(dir, judgedFile), err)
	}
	l.Run, l.Expected = filepath.ToSlash(dir), judged
	return l, nil
}
