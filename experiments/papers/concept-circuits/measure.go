package conceptcircuits

import (
	"context"

	"loupe/circuits"
	"loupe/internal/lab"
	"loupe/internal/stats"
	"loupe/probe/model"
)

// found is a concept's circuit at one checkpoint.
type found struct {
	Margin  float64 `json:"margin"`  // mean logit difference of the value and the foil's
	Change  float64 `json:"change"`  // of the loss when the concept is exchanged for the foil
	Edges   int     `json:"edges"`   // of the smallest circuit that is faithful enough; 0: none, since the model does not know the concept
	F       float64 `json:"f"`       // its faithfulness, by cutting the complement
	Random  float64 `json:"random"`  // mean faithfulness of random circuits with as many edges
	Density float64 `json:"density"` // of its graph, as those that follow
	Core    float64 `json:"core"`    // largest k of a k-core
	Central float64 `json:"central"` // largest degree centrality
	Robust  float64 `json:"robust"`
}

// least is the change of loss from which a concept counts as known: below it there is nothing to be faithful to.
const least = 0.5

// find measures a concept's circuit in a model: the smallest of the sizes, by greedy selection on the mean scores, whose faithfulness
// reaches the configured one when everything else is cut.
func (c *Config) find(ctx context.Context, e *model.Engine, m *model.Model, w *world, concept int) (found, error) {
	pairs, err := w.pairs(concept)
	if err != nil {
		return found{}, err
	}
	t, err := circuits.NewTask(ctx, e, m, pairs, circuits.LogitDiff(), circuits.Options{SweepRows: pairs.Rows * (sizes + 1)})
	if err != nil {
		return found{}, err
	}
	out := found{Margin: -mean(t.CleanLoss), Change: mean(t.CorruptedLoss) - mean(t.CleanLoss)}
	if out.Change < least {
		return out, nil
	}
	scores, err := circuits.MaskIG(ctx, t, c.Steps)
	if err != nil {
		return found{}, err
	}
	ref, err := t.Reference(ctx, circuits.Patching, 0)
	if err != nil {
		return found{}, err
	}
	curve, err := circuits.MeasureFaithfulness(ctx, t, ref, scores.Mean(), circuits.Greedy, circuits.GrowingShares(t.Graph, sizes))
	if err != nil {
		return found{}, err
	}
	smallest, err := curve.Smallest(c.Faithful)
	if err != nil {
		return found{}, err
	}
	out.Edges, out.F = smallest.Kept, smallest.F
	g, err := circuits.MeasureGraph(smallest.Circuit)
	if err != nil {
		return found{}, err
	}
	out.Density, out.Robust = g.Density, g.Robustness
	for k := range g.Core {
		out.Core = max(out.Core, float64(g.Core[k]))
		out.Central = max(out.Central, g.DegreeCentrality[k])
	}
	random, err := t.Evaluate(ctx, ref, circuits.RandomCircuits(t.Graph, smallest.Kept, sizes, uint64(c.Seed))...)
	if err != nil {
		return found{}, err
	}
	for _, loss := range random {
		out.Random += (mean(loss) - curve.Empty) / (curve.Full - curve.Empty) / float64(len(random))
	}
	return out, nil
}

// sizes is the number of circuit sizes that are tried, and of random circuits: one run of a sweep.
const sizes = 16

// spearman is the rank correlation of two columns with its interval over concepts; a resample in which a column is constant shows none.
func spearman(ctx context.Context, x, y []float64, cfg stats.BootstrapConfig) (stats.Interval, error) {
	r, err := stats.Bootstrap(ctx, len(x), func(index []int) float64 {
		c, err := stats.Spearman(lab.Take(x, index), lab.Take(y, index))
		if err != nil {
			return 0
		}
		return c.R
	}, cfg)
	return r.Interval, err
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
