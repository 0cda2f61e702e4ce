package circuits

import (
	"context"
	"errors"
	"fmt"
	"math"

	"loupe/internal/stats"
)

// ControlsConfig says what a circuit is held against.
type ControlsConfig struct {
	Ablation    Ablation // of all faithfulness here
	Random      int      // random circuits of equal size
	Resets      int      // reset networks, in each of which Find is run
	Find        Finder   // how the circuit was found
	Paraphrased *Pairs   // the task in other words, as task.TemplatesParaphrased writes it; nil: left out
	Seed        uint64
}

// Controls are a circuit's faithfulness beside that of its controls. A circuit that is no better than random ones of its size, that a network
// without knowledge yields too, or that fails on other wordings, explains little.
type Controls struct {
	Edges       int // of the circuit, after pruning
	Circuit     Fit
	Random      []Fit
	RandomMean  float64 // of Random's F
	RandomP     float64 // (1 + random circuits at least as faithful) / (1 + random circuits)
	Reset       []ResetControl
	Paraphrased *Fit
}

// Fit is a circuit's faithfulness, F = (Loss - Empty) / (Full - Empty), of mean losses; 0 where full and empty are within 1e-9.
type Fit struct {
	Full, Empty, Loss, F float64
	Interval             stats.Interval // of F, 95 % over rows; N is 0 where a resample has no effect, or there is one row
}

// MeasureControls prunes a circuit and measures it beside its controls.
func MeasureControls(ctx context.Context, t *Task, c *Circuit, cfg ControlsConfig) (*Controls, error) {
	if cfg.Random < 0 || cfg.Resets < 0 || cfg.Resets > 0 && cfg.Find == nil {
		return nil, fmt.Errorf("circuits: controls of %d random circuits and %d reset networks; set Find, the method to run in them", cfg.Random, cfg.Resets)
	}
	ref, err := t.Reference(ctx, cfg.Ablation, cfg.Seed)
	if err != nil {
		return nil, err
	}
	c, _ = Prune(c)
	out := &Controls{Edges: c.Len()}
	if out.Edges == 0 {
		return nil, errors.New("circuits: controls of a circuit without edges; lower its threshold, or ask for more edges")
	}
	all, err := fits(ctx, t, ref, append([]*Circuit{c}, RandomCircuits(t.Graph, out.Edges, cfg.Random, cfg.Seed)...)...)
	if err != nil {
		return nil, err
	}
	out.Circuit, out.Random = all[0], all[1:]
	if out.Circuit.Full == out.Circuit.Empty {
		return nil, errors.New("circuits: the metric is the same with all edges and with none, so no circuit can explain it; choose other pairs or another metric")
	}
	least := 1
	for _, f := range out.Random {
		out.RandomMean += f.F / float64(len(out.Random))
		if f.F >= out.Circuit.F {
			least++
		}
	}
	out.RandomP = float64(least) / float64(1+len(out.Random))
	for i := range cfg.Resets {
		r, err := resetControl(ctx, t, ref, c, cfg.Ablation, cfg.Find, cfg.Seed+uint64(i))
		if err != nil {
			return nil, err
		}
		out.Reset = append(out.Reset, *r)
	}
	if cfg.Paraphrased != nil {
		other, err := NewTask(ctx, t.Engine, t.Model, cfg.Paraphrased, t.metric.metric, t.opt)
		if err != nil {
			return nil, fmt.Errorf("circuits: paraphrased pairs: %w", err)
		}
		otherRef, err := other.Reference(ctx, cfg.Ablation, cfg.Seed)
		if err != nil {
			return nil, err
		}
		f, err := fits(ctx, other, otherRef, c)
		if err != nil {
			return nil, err
		}
		out.Paraphrased = &f[0]
	}
	return out, nil
}

// fits measures circuits of one task.
func fits(ctx context.Context, t *Task, ref *Reference, circuits ...*Circuit) ([]Fit, error) {
	rows, err := t.Evaluate(ctx, ref, append([]*Circuit{NewCircuit(t.Graph)}, circuits...)...)
	if err != nil {
		return nil, err
	}
	out := make([]Fit, len(circuits))
	for i := range out {
		f := &out[i]
		*f = Fit{Full: mean(t.CleanLoss), Empty: mean(rows[0]), Loss: mean(rows[i+1])}
		effect := f.Full - f.Empty
		if math.Abs(effect) < 1e-9 {
			continue
		}
		f.F = (f.Loss - f.Empty) / effect
		of := func(index []int) float64 { return resampledF(t.CleanLoss, rows[0], rows[i+1], index) }
		if f.Interval, err = rowInterval(ctx, t.Pairs.Rows, of, stats.DefaultBootstrap()); err != nil && !errors.Is(err, stats.ErrNotFinite) && !errors.Is(err, stats.ErrTooFew) {
			return nil, err
		}
	}
	return out, nil
}
