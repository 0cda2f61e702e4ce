package circuits

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"loupe/internal/stats"
)

// CompareConfig says how circuits of two models are found and compared.
type CompareConfig struct {
	Score     func(ctx context.Context, t *Task) (*Scores, error)
	Pick      Selector
	N         int      // edges asked for in each model, before pruning
	Ablation  Ablation // of all faithfulness here
	Resamples int      // of the nulls of the overlap
	Seed      uint64
}

// Comparison is the circuits of two models on one task, such as before and after training, or unlearning.
type Comparison struct {
	A, B         ModelCircuit
	Overlap      *OverlapResult    // nil where one of the circuits is empty after pruning
	Rank         stats.Correlation // Spearman's, of the mean scores of all edges
	Gained, Lost []string          // edges of B's circuit that A's lacks, and the reverse
}

// ModelCircuit is one model's side of a Comparison.
type ModelCircuit struct {
	Model   string
	Scores  *Scores  `json:"-"`
	Circuit *Circuit `json:"-"`
	Edges   []string // of Circuit, after pruning
	Own     Fit      // the circuit in its own model; Own.Full and Own.Empty tell whether there is a behaviour to explain
	Other   Fit      // the circuit in the other model
}

// CompareModels finds a circuit in each of two models of one shape on the same pairs, and measures each in both: a circuit that is lost and still
// faithful in the other model was one of several ways, one that fails there was replaced or erased.
func CompareModels(ctx context.Context, a, b *Task, cfg CompareConfig) (*Comparison, error) {
	switch {
	case a.noEdges != nil || b.noEdges != nil:
		return nil, errors.Join(a.noEdges, b.noEdges)
	case cfg.Score == nil || cfg.Pick == nil || cfg.N < 1:
		return nil, fmt.Errorf("circuits: a comparison of circuits of %d edges needs Score, Pick and at least one edge", cfg.N)
	case a.Pairs.Seq != b.Pairs.Seq || !slices.Equal(a.Pairs.Clean, b.Pairs.Clean) || !slices.Equal(a.Pairs.Corrupted, b.Pairs.Corrupted):
		return nil, errors.New("circuits: the two models are given different inputs; make both tasks of the same pairs")
	case a.metric.metric.Name != b.metric.metric.Name:
		return nil, fmt.Errorf("circuits: one task measures %s, the other %s", a.metric.metric.Name, b.metric.metric.Name)
	}
	if err := sameGraph(a.Graph, b.Graph); err != nil {
		return nil, err
	}
	out := &Comparison{}
	tasks, sides := []*Task{a, b}, []*ModelCircuit{&out.A, &out.B}
	var refs []*Reference
	for i, t := range tasks {
		s, err := cfg.Score(ctx, t)
		if err != nil {
			return nil, fmt.Errorf("circuits: %s: %w", t.Model.Name, err)
		}
		c, _ := Prune(cfg.Pick(t.Graph, s.Mean(), cfg.N))
		*sides[i] = ModelCircuit{Model: t.Model.Name, Scores: s, Circuit: c, Edges: c.Names()}
		ref, err := t.Reference(ctx, cfg.Ablation, cfg.Seed)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	for i, t := range tasks {
		f, err := fits(ctx, t, refs[i], out.A.Circuit, out.B.Circuit)
		if err != nil {
			return nil, err
		}
		sides[i].Own, sides[1-i].Other = f[i], f[1-i]
	}
	x, y := out.A.Scores.Mean(), out.B.Scores.Mean()
	var first, second []float64
	for _, e := range a.Graph.Edges() {
		at := a.Graph.At(e)
		first, second = append(first, x[at]), append(second, y[at])
		switch inA, inB := out.A.Circuit.Keep[at], out.B.Circuit.Keep[at]; {
		case inB && !inA:
			out.Gained = append(out.Gained, a.Graph.Name(e))
		case inA && !inB:
			out.Lost = append(out.Lost, a.Graph.Name(e))
		}
	}
	var err error
	if out.Rank, err = stats.Spearman(first, second); err != nil && !errors.Is(err, stats.ErrDegenerate) {
		return nil, fmt.Errorf("circuits: %w", err)
	}
	if len(out.A.Edges) > 0 && len(out.B.Edges) > 0 {
		out.Overlap, err = Overlap(out.A.Circuit, out.B.Circuit, cfg.Resamples, cfg.Seed)
		return out, err
	}
	return out, nil
}
