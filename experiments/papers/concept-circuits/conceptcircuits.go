// Package conceptcircuits watches circuits form and go while a tiny model is taught fictional concepts, one group after the other
// (arXiv:2601.03570): does a circuit's shape tell how well a concept was learned, and are those forgotten most that were learned best?
package conceptcircuits

import (
	"context"
	"fmt"

	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/internal/study"
	"loupe/probe/model"
	"loupe/probe/train"
)

// Config says what is taught, to what, and how circuits are found.
type Config struct {
	study.Base
	Size        train.Size   `json:"size" doc:"of the model; context and vocab follow from the concepts"`
	Train       train.Config `json:"train" doc:"of each stage"`
	Batch       int          `json:"batch" doc:"facts a step"`
	Concepts    int          `json:"concepts" doc:"taught, half of them in each stage"`
	Parts       int          `json:"parts" doc:"second parts of names"`
	Relations   int          `json:"relations" doc:"facts of a concept"`
	Values      int          `json:"values" doc:"values of a relation"`
	Exposure    float64      `json:"exposure" doc:"how much more often the most taught concept of a stage comes up than the least taught"`
	Foils       int          `json:"foils" doc:"other concepts that each fact is asked beside"`
	Checkpoints int          `json:"checkpoints" doc:"of each stage"`
	Steps       int          `json:"steps" doc:"of mask-path integrated gradients"`
	Faithful    float64      `json:"faithful" doc:"a concept's circuit is the smallest that keeps this share of its effect"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "concept-circuits", Doc: "circuits of fictional concepts while a tiny model learns and forgets them (arXiv:2601.03570)", New: newConfig},
		Title: "Concept circuits in continual pre-training",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	c := &Config{
		Base: study.Base{Name: "concept-circuits", Seed: 1}, Size: train.Size{Layers: 3, DModel: 64, Heads: 4}, Train: train.DefaultConfig(), Batch: 64,
		Concepts: 60, Parts: 12, Relations: 4, Values: 8, Exposure: 16, Foils: 2, Checkpoints: 10, Steps: 5, Faithful: 0.7,
	}
	c.Train.Steps, c.Train.LR, c.Train.Warmup, c.Train.ClipNorm = 400, 2e-3, 20, 1
	return c
}

// Validate checks what does not depend on a model.
func (c *Config) Validate() error {
	switch {
	case c.Concepts < 8 || c.Concepts%2 != 0:
		return fmt.Errorf("concepts %d: use an even number from 8", c.Concepts)
	case c.Parts < 2 || c.Relations < 1 || c.Values < 2 || c.Foils < 1 || c.Batch < 1:
		return fmt.Errorf("parts %d, relations %d, values %d, foils %d, batch %d: use at least 2, 1, 2, 1 and 1", c.Parts, c.Relations, c.Values, c.Foils, c.Batch)
	case c.Exposure < 1 || !(c.Faithful > 0 && c.Faithful <= 1) || c.Steps < 1:
		return fmt.Errorf("exposure %v, faithful %v, steps %d: use 1 or more, a share up to 1, and 1 or more", c.Exposure, c.Faithful, c.Steps)
	case c.Checkpoints < 1 || c.Train.Steps%c.Checkpoints != 0:
		return fmt.Errorf("%d checkpoints in %d steps: the steps must divide", c.Checkpoints, c.Train.Steps)
	}
	return c.Train.Validate()
}

// checkpoint is every concept's circuit after some steps of both stages together.
type checkpoint struct {
	Step  int     `json:"step"`
	Found []found `json:"found"` // by concept
}

// taught is what is measured while the model learns.
type taught struct {
	Checkpoints []checkpoint `json:"checkpoints"` // before, then of stage one, then of stage two
	Programs    []int        `json:"programs"`    // compiled so far, at each
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	w := newWorld(c)
	got, err := study.Step(s, "teach", func() (*taught, error) { return teach(ctx, s, c, w) })
	if err != nil {
		return err
	}
	s.Done("teach")
	return judge(ctx, s, c, w, got)
}

// teach trains both stages, one after the other, and finds every concept's circuit at every checkpoint.
func teach(ctx context.Context, s *study.Session, c *Config, w *world) (*taught, error) {
	size := c.Size
	size.Context, size.Vocab = textLen, c.vocab()
	spec, err := train.TinyGPT(size)
	if err != nil {
		return nil, err
	}
	engine := s.Compiler()
	m, err := train.NewModel(ctx, engine, "taught", spec, uint64(c.Seed))
	if err != nil {
		return nil, err
	}
	out := &taught{}
	look := func(step int, params *model.Params) error {
		now := *m
		now.Params = params
		at := checkpoint{Step: step}
		for i := range c.Concepts {
			f, err := c.find(ctx, engine, &now, w, i)
			if err != nil {
				return fmt.Errorf("step %d, concept %d: %w", step, i, err)
			}
			at.Found = append(at.Found, f)
		}
		out.Checkpoints = append(out.Checkpoints, at)
		out.Programs = append(out.Programs, engine.Compiles())
		return nil
	}
	names, err := train.Subset(spec, "all")
	if err != nil {
		return nil, err
	}
	if err := look(0, m.Params); err != nil {
		return nil, err
	}
	every := c.Train.Steps / c.Checkpoints
	for stage, later := range []bool{false, true} {
		cfg := c.Train
		cfg.Seed = c.Seed + int64(stage)
		t, err := train.New(engine, m, names, cfg)
		if err != nil {
			return nil, err
		}
		done := 0
		err = train.Language(ctx, t, w.source(later, w.exposure()), nil, func(int, float64) error {
			if done++; done%every != 0 {
				return nil
			}
			return look(stage*c.Train.Steps+done, t.Params())
		})
		if err != nil {
			return nil, err
		}
		m.Params = t.Params()
	}
	return out, m.Params.Free()
}

// judge makes the numbers of what was measured.
func judge(ctx context.Context, s *study.Session, c *Config, w *world, got *taught) error {
	start, middle, end := got.Checkpoints[0], got.Checkpoints[c.Checkpoints], got.Checkpoints[2*c.Checkpoints]
	boot := lab.Bootstrap(c.Seed)
	var gain, forgot, share, kin, other []float64
	columns := map[string][]float64{}
	measures := []string{"edges", "density", "core", "centrality", "robustness"}
	learned := 0
	for i := range c.Concepts {
		if w.later[i] {
			continue
		}
		m := middle.Found[i]
		if m.Edges == 0 {
			continue // not learned: it has no circuit and nothing to forget
		}
		learned++
		gain, forgot = append(gain, m.Margin-start.Found[i].Margin), append(forgot, m.Margin-end.Found[i].Margin)
		share = append(share, (m.Margin-end.Found[i].Margin)/m.Margin)
		if w.kin[i] {
			kin = append(kin, forgot[len(forgot)-1])
		} else {
			other = append(other, forgot[len(forgot)-1])
		}
		for k, v := range []float64{float64(m.Edges), m.Density, m.Core, m.Central, m.Robust} {
			columns[measures[k]] = append(columns[measures[k]], v)
		}
	}
	s.Value("learned", float64(learned)/float64(c.Concepts/2))
	if learned < 4 || len(kin) < 2 || len(other) < 2 {
		s.Text("%d of %d concepts of the first stage were learned: too few to say anything. Train longer.", learned, c.Concepts/2)
		return nil
	}
	s.Text("%d concepts, %d facts each, half of them in each stage of %d steps; a concept's circuit is the smallest by greedy selection that keeps %.0f %% of its effect when all other edges are cut. %d of %d concepts of the first stage were learned (their effect is above %v).",
		c.Concepts, c.Relations, c.Train.Steps, 100*c.Faithful, learned, c.Concepts/2, least)
	both, err := spearman(ctx, gain, forgot, boot)
	if err != nil {
		return err
	}
	s.Interval("spearman.gain_forgetting", both)
	relative, err := spearman(ctx, gain, share, boot)
	if err != nil {
		return err
	}
	s.Interval("spearman.gain_share", relative)
	t := report.Table{Caption: fmt.Sprintf("Spearman's correlation over %d concepts, of the circuit at the end of the first stage", learned),
		Columns: []report.Column{{Name: "of"}, {Name: "with gain"}, {Name: "with forgetting"}}}
	t.Rows = append(t.Rows, []any{"gain", nil, lab.Cell(both)}, []any{"gain, forgetting as a share", nil, lab.Cell(relative)})
	signals := 0
	for _, name := range measures {
		row := []any{name}
		for k, of := range [][]float64{gain, forgot} {
			r, err := spearman(ctx, columns[name], of, boot)
			if err != nil {
				return err
			}
			s.Interval("spearman."+name+[]string{"_gain", "_forgetting"}[k], r)
			if r.Low > 0 || r.High < 0 {
				signals++
			}
			row = append(row, lab.Cell(r))
		}
		t.Rows = append(t.Rows, row)
	}
	s.Value("signals", float64(signals))
	s.Table("correlations", t)
	if err := interference(ctx, s, c, kin, other); err != nil {
		return err
	}
	return trajectory(ctx, s, c, w, got)
}

// interference compares what is forgotten of concepts that share a part of their name with a later one with what is of the others.
func interference(ctx context.Context, s *study.Session, c *Config, kin, other []float64) error {
	all, labels := append(append([]float64{}, kin...), other...), len(kin)
	r, err := stats.Bootstrap(ctx, len(all), func(index []int) float64 {
		var sum, n [2]float64
		for _, i := range index {
			k := 0
			if i >= labels {
				k = 1
			}
			sum[k] += all[i]
			n[k]++
		}
		if n[0] == 0 || n[1] == 0 {
			return 0
		}
		return sum[0]/n[0] - sum[1]/n[1]
	}, lab.Bootstrap(c.Seed))
	if err != nil {
		return err
	}
	s.Interval("interference", r.Interval)
	s.Text("Forgetting (margin lost in the second stage): %.2f of %d concepts that share a part of their name with a later one, %.2f of %d others; difference %s.",
		mean(kin), len(kin), mean(other), len(other), lab.Short(r.Interval))
	return nil
}

// trajectory shows the circuits of the first stage's concepts through both stages, beside random circuits of their size.
func trajectory(ctx context.Context, s *study.Session, c *Config, w *world, got *taught) error {
	t := report.Table{Caption: "circuits of the first stage's concepts that the model knows at the step: means over concepts",
		Columns: []report.Column{{Name: "step"}, {Name: "known"}, {Name: "margin"}, {Name: "edges"}, {Name: "density"}, {Name: "largest core"}, {Name: "faithfulness"}, {Name: "random circuits"}}}
	line := report.Line{Title: fmt.Sprintf("circuits of %d concepts; the second stage begins at step %d", c.Concepts/2, c.Train.Steps), XLabel: "step", YLabel: "edges"}
	var series report.Series
	var random, faithful []float64
	for _, at := range got.Checkpoints {
		var edges, density, core, f, by, margin []float64
		for i, x := range at.Found {
			if w.later[i] {
				continue
			}
			margin = append(margin, x.Margin)
			if x.Edges == 0 {
				continue
			}
			edges, density, core = append(edges, float64(x.Edges)), append(density, x.Density), append(core, x.Core)
			f, by = append(f, x.F), append(by, x.Random)
		}
		row := []any{at.Step, len(edges), mean(margin)}
		if len(edges) < 2 {
			t.Rows = append(t.Rows, append(row, nil, nil, nil, nil, nil))
			continue
		}
		size, err := lab.MeanOver(ctx, edges, lab.UpTo(len(edges)), c.Seed)
		if err != nil {
			return err
		}
		series.X, series.Y = append(series.X, float64(at.Step)), append(series.Y, size.Value)
		series.Low, series.High = append(series.Low, size.Low), append(series.High, size.High)
		t.Rows = append(t.Rows, append(row, lab.Cell(size), mean(density), mean(core), mean(f), mean(by)))
		if at.Step == c.Train.Steps {
			random, faithful = by, f
		}
	}
	line.Series = []report.Series{series}
	s.Table("trajectory", t)
	s.Plot(line)
	peak := 0.0
	for _, y := range series.Y {
		peak = max(peak, y)
	}
	s.Value("edges.peak_over_last", peak/series.Y[len(series.Y)-1])
	by, err := lab.MeanOver(ctx, random, lab.UpTo(len(random)), c.Seed)
	if err != nil {
		return err
	}
	s.Interval("faithfulness.random", by)
	own, err := lab.MeanOver(ctx, faithful, lab.UpTo(len(faithful)), c.Seed)
	if err != nil {
		return err
	}
	s.Interval("faithfulness.circuit", own)
	// what the first checkpoint at which circuits are found compiles serves all later ones
	first := len(got.Programs) - 1
	for i, at := range got.Checkpoints {
		known := 0
		for _, x := range at.Found {
			known += min(x.Edges, 1)
		}
		if known > 0 {
			first = i
			break
		}
	}
	s.Value("programs.later", float64(got.Programs[len(got.Programs)-1]-got.Programs[first]))
	return nil
}
