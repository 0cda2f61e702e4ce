// Package circuitlab holds what experiments on circuits of language models share: opening a task's prompts on a model, faithfulness
// with intervals over prompts, what heads carry, and pictures.
package circuitlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"gonum.org/v1/gonum/stat"

	"loupe/circuits"
	"loupe/circuits/task"
	"loupe/circuits/view"
	"loupe/internal/lab"
	"loupe/internal/run"
	"loupe/internal/stats"
)

// NewTask generates a task's prompts, aligns them with the model's tokenizer and binds them to a metric. start is a token in front of
// every prompt, as it is written in the vocabulary, "" for none. Twice the prompts are drawn, so that cfg.N are left when some do not align.
func NewTask(ctx context.Context, l *lab.Lab, cfg task.Config, start string, metric circuits.Metric, opt circuits.Options) (*circuits.Task, error) {
	align := task.AlignConfig{Keep: cfg.N}
	if start != "" {
		id, ok := l.Tokenizer.ID(start)
		if !ok {
			return nil, fmt.Errorf("start %q is no token of the model; name one of its special tokens, or none", start)
		}
		align.Start = &id
	}
	cfg.N *= 2
	prompts, err := task.Generate(cfg)
	if err != nil {
		return nil, err
	}
	examples, _, err := task.Align(l.Tokenizer, prompts, align)
	if err != nil {
		return nil, err
	}
	pairs, err := circuits.PairsOf(examples)
	if err != nil {
		return nil, err
	}
	return circuits.NewTask(ctx, l.Engine, l.Model, pairs, metric, opt)
}

// Fit is a circuit's faithfulness f = (m(C) - m(empty)) / (m(full) - m(empty)), m the mean loss, with an interval over prompts.
type Fit struct {
	Edges int
	Loss  []float64 // [rows]
	F     stats.Interval
}

// Fits measures circuits under an ablation, all in one call.
func Fits(ctx context.Context, t *circuits.Task, ablation circuits.Ablation, seed int64, list ...*circuits.Circuit) ([]Fit, error) {
	ref, err := t.Reference(ctx, ablation, uint64(seed))
	if err != nil {
		return nil, err
	}
	losses, err := t.Evaluate(ctx, ref, append([]*circuits.Circuit{circuits.NewCircuit(t.Graph)}, list...)...)
	if err != nil {
		return nil, err
	}
	out := make([]Fit, len(list))
	for i, c := range list {
		if out[i], err = fit(ctx, t.CleanLoss, losses[0], losses[i+1], seed); err != nil {
			return nil, err
		}
		out[i].Edges = c.Len()
	}
	return out, nil
}

// fit resamples prompts; the ratio is of means, so that prompts on which the model does not do the task count for little.
func fit(ctx context.Context, full, empty, loss []float64, seed int64) (Fit, error) {
	f := func(index []int) float64 {
		var got, all float64
		for _, i := range index {
			got, all = got+loss[i]-empty[i], all+full[i]-empty[i]
		}
		if math.Abs(all) < 1e-12 {
			return 0
		}
		return got / all
	}
	if math.Abs(stat.Mean(full, nil)-stat.Mean(empty, nil)) < 1e-9 {
		return Fit{}, errors.New("the metric is the same with all edges and with none, so no circuit can explain it; choose other prompts")
	}
	r, err := stats.Bootstrap(ctx, len(loss), f, lab.Bootstrap(seed))
	return Fit{Loss: loss, F: r.Interval}, err
}

// Strength is what each sender's edges carry: the sum of |score| over the edges that leave it, [senders].
func Strength(g *circuits.EdgeGraph, scores []float64) []float64 {
	out := make([]float64, len(g.Senders))
	for _, e := range g.Edges() {
		out[e.U] += math.Abs(scores[g.At(e)])
	}
	return out
}

// Direct is each sender's edge to the logits for every row, [senders][rows]: what corrupting the sender does past all that comes
// after it, by the scores' account.
func Direct(s *circuits.Scores) [][]float64 {
	g := s.Graph
	out := make([][]float64, len(g.Senders))
	for u := range out {
		out[u] = make([]float64, s.Rows)
		for r := range out[u] {
			out[u][r] = s.Values[r*g.Size()+g.At(circuits.Edge{U: u, V: len(g.Receivers) - 1})]
		}
	}
	return out
}

// Head is the sender of a layer's head.
func Head(g *circuits.EdgeGraph, layer, head int) int { return 1 + layer*(g.Heads+1) + head }

// Draw writes the interactive page of a circuit's edges into the run folder.
func Draw(dir *run.Dir, name, title string, scores []float64, c *circuits.Circuit, inclusion []float64) error {
	picture, err := view.OfCircuit(title, c.Graph, scores, c, inclusion)
	if err != nil {
		return err
	}
	return dir.Write(name, func(w io.Writer) error { return view.WriteHTML(w, picture) })
}
