package training

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"loupe/internal/progress"
	"loupe/internal/run"
	"loupe/sae"
)

// RunOptions say how Run goes about it; they change no result.
type RunOptions struct {
	// Progress makes a display for about total tokens; nil shows nothing.
	Progress func(total int64) progress.Progress
}

// Report says what a run made.
type Report struct {
	Tokens int64     `json:"tokens"` // rows trained on
	SAEs   []Outcome `json:"saes"`
}

// Outcome is one SAE of a run.
type Outcome struct {
	Name    string           `json:"name"`
	Path    string           `json:"path"` // folder of the SAE
	Shape   sae.Shape        `json:"shape"`
	Inputs  []string         `json:"inputs"`
	Targets []string         `json:"targets,omitempty"`
	Seed    uint64           `json:"seed"`
	Engine  string           `json:"engine"`
	L0      sae.L0Interval   `json:"trained_l0"`       // of the last steps
	Result  *sae.CoderResult `json:"result,omitempty"` // nil without an evaluation
}

// Run trains, measures and saves the SAEs in dir, a new run folder or one that was resumed. When ctx ends, or the process
// is killed, Run on the resumed folder goes on from its last checkpoint to the same bytes.
func (j *Job) Run(ctx context.Context, dir *run.Dir, opt RunOptions) (*Report, error) {
	parents, err := j.data.parents()
	if err != nil {
		return nil, err
	}
	for _, p := range parents {
		if err := dir.AddParent(p); err != nil {
			return nil, err
		}
	}
	report, coders, err := j.train(ctx, dir, opt)
	if err != nil {
		return nil, err
	}
	if err := j.evaluate(ctx, coders, report); err != nil {
		return nil, err
	}
	for i, c := range coders {
		o := report.SAEs[i]
		var density []float64
		if o.Result != nil {
			density = o.Result.Density
		}
		if err := c.Save(o.Path, density); err != nil {
			return nil, err
		}
	}
	if j.cfg.EvalTokens == 0 {
		return report, nil
	}
	return report, dir.Write("eval.json", func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if r := report.SAEs[0].Result; j.cfg.single() {
			if len(r.Sites) == 1 {
				return enc.Encode(r.Sites[0])
			}
			return enc.Encode(r)
		}
		return enc.Encode(measures(report.SAEs))
	})
}

// measures are an SAE's name and its results, for eval.json.
func measures(all []Outcome) (out []map[string]any) {
	for _, o := range all {
		out = append(out, map[string]any{"sae": o.Name, "result": o.Result})
	}
	return out
}

// train trains the SAEs and returns them.
func (j *Job) train(ctx context.Context, dir *run.Dir, opt RunOptions) (*Report, []sae.Coder, error) {
	src, done, err := j.trainRows(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	g, err := j.start(dir, src)
	if err != nil {
		return nil, nil, err
	}
	defer g.Close()
	for i := range g.Len() {
		m := g.Member(i)
		dir.Log().Info("training", "sae", m.Name, "engine", m.Config.Engine, "d_in", m.Config.DIn, "d_sae", m.Config.DSAE, "k", m.Config.K,
			"steps", m.Config.Steps(), "from_token", g.Tokens())
	}
	batch := int64(g.Member(0).Config.Batch)
	bar := progress.New(progress.Options{Quiet: true})
	if opt.Progress != nil {
		bar = opt.Progress(g.Steps()*batch - g.Tokens())
	}
	boards, err := j.boards(dir, g)
	if err != nil {
		return nil, nil, err
	}
	err = g.Train(ctx, src, sae.GroupOptions{
		Save: dir.SaveCheckpoint, SaveInterrupted: dir.SaveInterrupted,
		OnStep: func(all []sae.StepStats) error {
			bar.Note(note(all))
			bar.Add(batch)
			return j.metrics(dir, boards, g, all)
		},
	})
	bar.Done()
	if err = errors.Join(err, boards.close()); err != nil {
		return nil, nil, err
	}
	report := &Report{Tokens: g.Tokens()}
	var coders []sae.Coder
	for i := range g.Len() {
		m, t := g.Member(i), g.Trainer(i)
		c, err := t.Coder()
		if err != nil {
			return nil, nil, err
		}
		coders = append(coders, c)
		report.SAEs = append(report.SAEs, Outcome{
			Name: m.Name, Path: dir.File(j.weightsDir(m.Name)), Shape: c.Shape(), Inputs: m.Inputs, Targets: m.Targets,
			Seed: m.Config.Seed, Engine: m.Config.Engine, L0: t.AchievedL0(),
		})
	}
	return report, coders, nil
}

// boards opens the event files, where they are wanted.
func (j *Job) boards(dir *run.Dir, g *sae.Group) (boards, error) {
	switch {
	case !j.cfg.TensorBoard:
		return nil, nil
	case j.cfg.single():
		return openBoards(dir, []string{""})
	}
	return openBoards(dir, g.Names())
}

// metrics writes a step's lines, and the same to the event files.
func (j *Job) metrics(dir *run.Dir, boards boards, g *sae.Group, all []sae.StepStats) error {
	if step := all[0].Step; step%j.cfg.MetricsEvery != 0 && step != 1 && step != g.Steps() {
		return nil
	}
	for i, s := range all {
		values := s.Metrics()
		values["tokens"] = float64(s.Tokens)
		name, err := "", error(nil)
		if j.cfg.single() {
			err = dir.Metrics(s.Step, values)
		} else {
			name = g.Names()[i]
			err = dir.MetricsOf(s.Step, "sae", name, values)
		}
		if err == nil && boards != nil {
			err = boards.add(name, s.Step, values)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
