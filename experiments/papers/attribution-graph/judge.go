package attributiongraph

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"loupe/circuits/tracing"
	"loupe/internal/stats"
)

// judge traces a prompt, suppresses and weakens features one at a time and returns the prompt's numbers by name.
func judge(ctx context.Context, tracer *tracing.Tracer, c *Config, d named, prompt []int32, seed uint64) (map[string]float64, error) {
	run, err := tracer.Trace(ctx, prompt, tracing.DefaultConfig())
	if err != nil {
		return nil, err
	}
	g := run.Graph
	pruned, err := g.Prune(tracing.DefaultPruning())
	if err != nil {
		return nil, err
	}
	var kept []int
	for i := range g.Features {
		if pruned.Nodes[i] {
			kept = append(kept, i)
		}
	}
	out := map[string]float64{"gap": g.Gap(), "replacement": pruned.Replacement, "completeness": pruned.Completeness, "active": float64(len(g.Features)), "kept": float64(len(kept))}
	if d.control {
		return out, nil
	}
	chosen, err := choose(g, pruned.Values, c.Features)
	if err != nil {
		return nil, err
	}
	var sets, nudges [][]tracing.Intervention // suppressed, and a tenth weaker
	var predicted [][]float64
	for _, f := range chosen {
		set := []tracing.Intervention{{Feature: f, Value: 0}}
		total, err := run.Total(set)
		if err != nil {
			return nil, err
		}
		sets, predicted = append(sets, set), append(predicted, total)
		nudges = append(nudges, []tracing.Intervention{{Feature: f, Value: 0.9 * g.Features[f].Activation}})
	}
	held, err := run.Measured(ctx, sets, tracing.Hold{Attention: true})
	if err != nil {
		return nil, err
	}
	free, err := run.Measured(ctx, sets, tracing.Hold{})
	if err != nil {
		return nil, err
	}
	nudged, err := run.Measured(ctx, nudges, tracing.Hold{})
	if err != nil {
		return nil, err
	}
	divisor, err := run.Measured(ctx, sets, tracing.Hold{Attention: true, FinalNorm: true})
	if err != nil {
		return nil, err
	}
	logits := func(_, row int) bool { return row >= len(g.Features) }
	downstream := func(set, row int) bool {
		return row < len(g.Features) && g.Features[row].Layer > g.Features[chosen[set]].Layer && g.Features[row].Position >= g.Features[chosen[set]].Position
	}
	shuffled := slices.Clone(predicted)
	rand.New(rand.NewPCG(seed, 96)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	type pair struct {
		name  string
		a, b  [][]float64
		which func(set, row int) bool
	}
	pairs := []pair{{"held", predicted, held, logits}, {"divisor", predicted, divisor, logits}, {"free", predicted, free, logits}, {"nudged", predicted, nudged, logits}, {"shuffled", shuffled, free, logits}, {"features", predicted, free, downstream}}
	if d.layerwise {
		var replaced [][]float64
		for _, set := range sets {
			r, err := run.Replaced(set)
			if err != nil {
				return nil, err
			}
			replaced = append(replaced, r)
		}
		pairs = append(pairs, pair{"replaced", predicted, replaced, logits})
	}
	for _, p := range pairs {
		r, err := agree(p.a, p.b, p.which)
		if p.name == "features" && errors.Is(err, stats.ErrTooFew) {
			continue // all that was chosen is in the last layer
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		out[p.name] = r
	}
	top := len(g.Features) // the row of the most probable logit
	for i, change := range free {
		name := "influential"
		if i >= c.Features {
			name = "others"
		}
		out[name] += math.Abs(change[top]) / float64(c.Features)
	}
	out["advantage"] = out["influential"] - out["others"]
	return out, nil
}

// agree is the correlation of two measurements of the rows that which names.
func agree(a, b [][]float64, which func(set, row int) bool) (float64, error) {
	var x, y []float64
	for s := range a {
		for r := range a[s] {
			if which(s, r) {
				x, y = append(x, a[s][r]), append(y, b[s][r])
			}
		}
	}
	p, err := stats.Pearson(x, y)
	return p.R, err
}

// choose names the n features of most influence and, for each, the unused feature of the nearest activation among the others.
func choose(g *tracing.Graph, influence []float64, n int) ([]int, error) {
	if len(g.Features) < 2*n {
		return nil, fmt.Errorf("%d features are active, too few to choose %d and as many others; lower features or raise k", len(g.Features), n)
	}
	order := make([]int, len(g.Features))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(influence[b], influence[a]) })
	out, rest := slices.Clone(order[:n]), slices.Clone(order[n:])
	for _, f := range order[:n] {
		nearest := 0
		for i, o := range rest {
			if math.Abs(g.Features[o].Activation-g.Features[f].Activation) < math.Abs(g.Features[rest[nearest]].Activation-g.Features[f].Activation) {
				nearest = i
			}
		}
		out, rest = append(out, rest[nearest]), slices.Delete(rest, nearest, nearest+1)
	}
	return out, nil
}
