// Package shallow asks when blocks can stand side by side instead of one behind the other (arXiv:2309.08414): tiny models with the same heads
// and the same width of MLPs, as a stack or as one broad block, learn to look facts up and to continue repetitions, and their circuits tell why.
package shallow

import (
	"context"
	"fmt"

	"loupe/circuits"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/study"
	"loupe/probe/model"
	"loupe/probe/train"
)

// Config says what is trained and how circuits are found.
type Config struct {
	study.Base
	DModel   int          `json:"d_model" doc:"width of the residual stream"`
	Heads    int          `json:"heads" doc:"of the whole model, divided among its blocks; four blocks at most"`
	DHead    int          `json:"d_head" doc:"width of a head"`
	DMLP     int          `json:"d_mlp" doc:"units of all MLPs together, divided among the blocks"`
	Train    train.Config `json:"train" doc:"of every model"`
	Batch    int          `json:"batch" doc:"rows a step"`
	Seeds    int          `json:"seeds" doc:"models of each kind and task"`
	Rows     int          `json:"rows" doc:"pairs on which circuits are found"`
	Steps    int          `json:"steps" doc:"of mask-path integrated gradients"`
	Faithful float64      `json:"faithful" doc:"a circuit is the smallest that keeps this share of the effect"`
}

// Study is the experiment.
func Study() study.Study {
	return study.Study{
		Kind:  config.Kind{Name: "shallow", Doc: "blocks side by side against blocks in a stack: losses and circuits of tiny models (arXiv:2309.08414)", New: newConfig},
		Title: "Shallow: blocks side by side or in a stack",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return run(ctx, s, conf.(*Config)) },
	}
}

func newConfig() any {
	c := &Config{
		Base: study.Base{Name: "shallow", Seed: 1}, DModel: 64, Heads: 8, DHead: 16, DMLP: 1024, Train: train.DefaultConfig(), Batch: 64, Seeds: 3, Rows: 16, Steps: 5, Faithful: 0.7,
	}
	c.Train.Steps, c.Train.LR, c.Train.Warmup, c.Train.ClipNorm = 400, 3e-3, 50, 1
	return c
}

// Validate checks what does not depend on a model.
func (c *Config) Validate() error {
	switch {
	case c.DModel < 2 || c.DHead < 1 || c.Heads < 4 || c.Heads%4 != 0 || c.DMLP < 4 || c.DMLP%4 != 0:
		return fmt.Errorf("d_model %d, d_head %d, heads %d, d_mlp %d: heads and d_mlp are divided among four blocks", c.DModel, c.DHead, c.Heads, c.DMLP)
	case c.Seeds < 2 || c.Rows < 2 || c.Batch < 1 || c.Steps < 1 || !(c.Faithful > 0 && c.Faithful <= 1):
		return fmt.Errorf("seeds %d, rows %d, batch %d, steps %d, faithful %v: use 2, 2, 1, 1 or more and a share", c.Seeds, c.Rows, c.Batch, c.Steps, c.Faithful)
	}
	return c.Train.Validate()
}

// shape is how a model's heads and MLPs stand.
type shape struct {
	name     string
	layers   int
	parallel bool // within a block, attention and MLP read one stream
}

var shapes = []shape{{"stack", 4, false}, {"stack, MLP beside attention", 4, true}, {"two broad blocks", 2, true}, {"one broad block", 1, true}}

// keys name the shapes in numbers.
var keys = []string{"stack", "parallel", "two", "one"}

// spec is a model of a shape: the same heads and MLP units, whatever their place.
func (c *Config) spec(s shape, context, vocab int) (*model.Spec, error) {
	out, err := train.TinyGPT(train.Size{Layers: s.layers, DModel: c.DModel, Heads: 1, Context: context, Vocab: vocab})
	if err != nil {
		return nil, err
	}
	out.Heads, out.KVHeads, out.DHead, out.DMLP, out.Parallel = c.Heads/s.layers, c.Heads/s.layers, c.DHead, c.DMLP/s.layers, s.parallel
	return out, nil
}

// outcome is one trained model.
type outcome struct {
	Loss    float64 `json:"loss"` // at what can be known, nats
	Weights int     `json:"weights"`
	Edges   int     `json:"edges"` // of the smallest faithful circuit; 0: the model cannot do the task
	Of      int     `json:"of"`    // edges of the graph
	Path    int     `json:"path"`  // arcs of the circuit's longest path
	F       float64 `json:"f"`
	Random  float64 `json:"random"` // random circuits of as many edges
}

func run(ctx context.Context, s *study.Session, c *Config) error {
	losses := map[string][]float64{}
	for _, k := range tasks {
		t := report.Table{
			Caption: k.title + fmt.Sprintf("; means over %d models, circuits at faithfulness %v", c.Seeds, c.Faithful),
			Columns: []report.Column{{Name: "model"}, {Name: "weights"}, {Name: "loss", Unit: "nats"}, {Name: "edges"}, {Name: "of"}, {Name: "longest path"}, {Name: "faithfulness"}, {Name: "random circuits"}},
		}
		for i, sh := range shapes {
			all, err := study.Step(s, k.name+"-"+keys[i], func() ([]outcome, error) { return c.models(ctx, s.Compiler(), k, sh) })
			if err != nil {
				return fmt.Errorf("%s, %s: %w", k.name, sh.name, err)
			}
			loss := lab.Column(all, func(o outcome) float64 { return o.Loss })
			losses[k.name+keys[i]] = loss
			got, err := lab.MeanOver(ctx, loss, lab.UpTo(len(loss)), c.Seed)
			if err != nil {
				return err
			}
			s.Interval(k.name+"."+keys[i]+".loss", got)
			row := []any{sh.name, all[0].Weights, lab.Cell(got)}
			var known []outcome
			for _, o := range all {
				if o.Edges > 0 {
					known = append(known, o)
				}
			}
			if len(known) == len(all) {
				edges := mean(lab.Column(known, func(o outcome) float64 { return float64(o.Edges) }))
				path := mean(lab.Column(known, func(o outcome) float64 { return float64(o.Path) }))
				random := mean(lab.Column(known, func(o outcome) float64 { return o.Random }))
				s.Value(k.name+"."+keys[i]+".edges", edges)
				s.Value(k.name+"."+keys[i]+".path", path)
				s.Value(k.name+"."+keys[i]+".random", random)
				row = append(row, edges, known[0].Of, path, mean(lab.Column(known, func(o outcome) float64 { return o.F })), random)
			} else {
				row = append(row, nil, all[0].Of, nil, nil, nil)
			}
			t.Rows = append(t.Rows, row)
			s.Done(k.name + ", " + sh.name)
		}
		s.Table(k.name, t)
		for i := 1; i < len(shapes); i++ {
			gap, err := lab.MeanOver(ctx, lab.Minus(losses[k.name+keys[i]], losses[k.name+keys[0]]), lab.UpTo(c.Seeds), c.Seed)
			if err != nil {
				return err
			}
			s.Interval(k.name+"."+keys[i]+".gap", gap)
		}
	}
	s.Text("Every model has %d heads of width %d and %d units in its MLPs on a stream of width %d, and the same %d steps of %d rows. A row without a circuit is a model that does not do the task: corrupting the input changes its loss by less than %v.",
		c.Heads, c.DHead, c.DMLP, c.DModel, c.Train.Steps, c.Batch, least)
	return nil
}

// models trains one model a seed and finds its circuit.
func (c *Config) models(ctx context.Context, e *model.Engine, k job, sh shape) ([]outcome, error) {
	spec, err := c.spec(sh, k.seq, k.vocab)
	if err != nil {
		return nil, err
	}
	names, err := train.Subset(spec, "all")
	if err != nil {
		return nil, err
	}
	var out []outcome
	for seed := range c.Seeds {
		m, err := train.NewModel(ctx, e, sh.name, spec, uint64(c.Seed)+uint64(seed))
		if err != nil {
			return nil, err
		}
		cfg := c.Train
		cfg.Seed = c.Seed + int64(seed)
		t, err := train.New(e, m, names, cfg)
		if err != nil {
			return nil, err
		}
		if err := train.Language(ctx, t, k.source(c.Batch), nil, nil); err != nil {
			return nil, err
		}
		m.Params = t.Params()
		o, err := c.judge(ctx, e, m, k, uint64(cfg.Seed))
		if err != nil {
			return nil, err
		}
		out = append(out, o)
		if err := m.Params.Free(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// least is the change of loss under corruption from which a model does its task.
const least = 1

// judge measures the loss at what can be known, and the circuit that tells the right continuation from another.
func (c *Config) judge(ctx context.Context, e *model.Engine, m *model.Model, k job, seed uint64) (outcome, error) {
	loss, err := k.loss(ctx, e, m, c.Batch, seed)
	if err != nil {
		return outcome{}, err
	}
	out := outcome{Loss: loss, Weights: m.Spec.NumParams()}
	pairs := k.pairs(c.Rows, seed)
	t, err := circuits.NewTask(ctx, e, m, pairs, circuits.LogitDiff(), circuits.Options{SweepRows: pairs.Rows * (sizes + 1)})
	if err != nil {
		return out, err
	}
	out.Of = len(t.Graph.Edges())
	if mean(t.CorruptedLoss)-mean(t.CleanLoss) < least {
		return out, nil
	}
	scores, err := circuits.MaskIG(ctx, t, c.Steps)
	if err != nil {
		return out, err
	}
	ref, err := t.Reference(ctx, circuits.Patching, 0)
	if err != nil {
		return out, err
	}
	curve, err := circuits.MeasureFaithfulness(ctx, t, ref, scores.Mean(), circuits.Greedy, circuits.GrowingShares(t.Graph, sizes))
	if err != nil {
		return out, err
	}
	smallest, err := curve.Smallest(c.Faithful)
	if err != nil {
		return out, err
	}
	g, err := circuits.MeasureGraph(smallest.Circuit)
	if err != nil {
		return out, err
	}
	out.Edges, out.F, out.Path = smallest.Kept, smallest.F, g.LongestPath
	random, err := t.Evaluate(ctx, ref, circuits.RandomCircuits(t.Graph, smallest.Kept, sizes, seed)...)
	if err != nil {
		return out, err
	}
	for _, loss := range random {
		out.Random += (mean(loss) - curve.Empty) / (curve.Full - curve.Empty) / float64(len(random))
	}
	return out, nil
}

// sizes is the number of circuit sizes that are tried, and of random circuits.
const sizes = 16

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
