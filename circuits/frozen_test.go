package circuits

import (
	"math"
	"slices"
	"testing"

	"loupe/probe/model"
)

// postNormTask is the golden encoder with a probe of its output.
func postNormTask(t *testing.T) *Task {
	t.Helper()
	base := interpretedTask(t, Cosine(model.Site{Kind: model.LastHidden}), "circuits", "models", "bert-a")
	return must[*Task](t)(NewTask(t.Context(), base.Engine, base.Model, base.Pairs, ProbeLogit(model.Site{Kind: model.LastHidden}, someDirection(base), 0), Options{SweepRows: 32}))
}

// TestFrozenByHand: two rows, one sender and two receivers. Frozen values (3, 0) and (0, 4) against direct (3, 5) and (0, 4): off by 5 of sqrt(50).
func TestFrozenByHand(t *testing.T) {
	f := &FrozenEdges{
		Scores: &ComponentScores{Rows: 2, Senders: []string{"a"}, Receivers: []string{"b", "c"}, Values: []float64{3, 0, 0, 4}, Loss: []float64{1, 1}, Total: []float64{4, 5}},
		Direct: []float64{3, 5, 0, 4}, DirectLoss: []float64{1, 3}, Nodes: []float64{4, 5},
		Measured: []MeasuredEdge{{0, 0, []float64{6, 0}}, {0, 1, []float64{0, 8}}},
	}
	got := f.measure()
	want := FrozenErrors{Norms: 5 / math.Sqrt(50), Edges: .5, EdgesLinear: math.Sqrt(9+25+16) / 10, EdgesMedian: .5, Counted: 2, Output: 2 / math.Sqrt(10)}
	if math.Abs(got.Norms-want.Norms) > 1e-12 || math.Abs(got.EdgesLinear-want.EdgesLinear) > 1e-12 || math.Abs(got.Output-want.Output) > 1e-12 {
		t.Errorf("%+v, want %+v", got, want)
	}
	got.Norms, got.EdgesLinear, got.Output = want.Norms, want.EdgesLinear, want.Output
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestFrozenEdges: measured node effects are those of node patching; edges that pass no norm but the receiver's own weights are exact; edges with true
// norms are nearer to the measured effects than frozen ones; and freezing errs less for smaller corruptions only where the loss is the cause.
func TestFrozenEdges(t *testing.T) {
	task := postNormTask(t)
	a := activations(t, task)
	f := must[*FrozenEdges](t)(AttributeFrozen(t.Context(), a, 0, 1))
	t.Log(f.Errors)
	s := task.Model.Spec
	units := must[*UnitEffects](t)(PatchUnits(t.Context(), task, Noise))
	var got, want []float64
	for r := range task.Pairs.Rows {
		for u, name := range f.Scores.Senders {
			var layer, head int
			effect := 0.0
			switch {
			case name[0] == 'a':
				groupOf(t, name+"<q>", &layer, &head)
				effect = units.Heads[(r*s.Layers+layer)*s.Heads+head]
			case name[0] == 'm':
				effect = units.MLPs[r*s.Layers+int(name[1]-'0')]
			default:
				continue
			}
			got, want = append(got, f.Nodes[r*len(f.Scores.Senders)+u]), append(want, effect-task.CleanLoss[r])
		}
	}
	close(t, "node effects", got, want, 1e-4)
	for _, v := range []float64{f.Errors.Norms, f.Errors.Edges, f.Errors.Output, f.Errors.Nodes} {
		if !(v > 0) || v > 2 {
			t.Errorf("an error of %g", v)
		}
	}
	if f.Errors.EdgesLinear >= f.Errors.Edges {
		t.Errorf("true norms err by %g, frozen ones by %g", f.Errors.EdgesLinear, f.Errors.Edges)
	}
	if n := len(f.Measured); n != f.Errors.Counted || n == 0 {
		t.Errorf("%d edges measured", n)
	}
	few := must[*FrozenEdges](t)(AttributeFrozen(t.Context(), a, 5, 1))
	for _, m := range few.Measured {
		i := slices.IndexFunc(f.Measured, func(x MeasuredEdge) bool { return x.Sender == m.Sender && x.Receiver == m.Receiver })
		close(t, "a measured edge", m.Effect, f.Measured[i].Effect, 1e-4)
	}
	if len(few.Measured) != 5 {
		t.Errorf("%d edges measured of 5", len(few.Measured))
	}
}

// TestFrozenFirstOrder: as the corrupted values come near to the clean ones, edges with true norms become the measured effects, and a sender's gradient its
// measured effect, while what freezing costs stays: it drops the divisor's own derivative.
func TestFrozenFirstOrder(t *testing.T) {
	task := postNormTask(t)
	a := activations(t, task)
	for s, clean := range a.Clean {
		for i, x := range clean {
			a.Corrupted[s][i] = x + 0.02*(a.Corrupted[s][i]-x)
		}
	}
	f := must[*FrozenEdges](t)(AttributeFrozen(t.Context(), a, 40, 2))
	t.Log(f.Errors)
	if f.Errors.EdgesLinear > 0.05 || f.Errors.NodesLinear > 0.05 {
		t.Errorf("a small change is off by %g of its edges and %g of its nodes", f.Errors.EdgesLinear, f.Errors.NodesLinear)
	}
	if f.Errors.Norms < 0.01 {
		t.Errorf("freezing norms costs %g; it should not vanish", f.Errors.Norms)
	}
}

// TestComponentsInChunks: rows in chunks give the numbers of one batch.
func TestComponentsInChunks(t *testing.T) {
	base := postNormTask(t)
	pairs := randomPairs(base.Model.Spec, 3, 5, 7)
	var results [2][]float64
	for i := range results {
		opt := Options{SweepRows: 8}
		if i == 1 {
			opt.Budget = 2 * must[*Memory](t)(EstimateMemory(base.Model.Spec, 3, 5, opt)).Row
		}
		task := must[*Task](t)(NewTask(t.Context(), base.Engine, base.Model, pairs, base.metric.metric, opt))
		if chunked := task.chunks != nil; chunked != (i == 1) {
			t.Fatalf("%d chunks", len(task.chunks))
		}
		site := model.Site{Kind: model.ResidPre, Layer: 1}
		a := activations(t, task, site)
		f := must[*FrozenEdges](t)(AttributeFrozen(t.Context(), a, 6, 1))
		results[i] = slices.Concat(f.Scores.Values, f.Scores.Loss, f.Scores.Total, f.Direct, f.DirectLoss, f.Nodes)
		for _, m := range f.Measured {
			results[i] = append(results[i], m.Effect...)
		}
		later := slices.DeleteFunc(must[[]Component](t)(a.Receivers()), func(n Component) bool { return n.Site().Layer < 1 })
		r := must[*Read](t)(WhatReads(t.Context(), a, site, someDirection(task), slices.Repeat([]float32{.1}, 15), later))
		results[i] = slices.Concat(results[i], r.Direct, r.Total, r.Effect, r.Past, r.Loss)
		w := must[*Written](t)(WhatWrites(t.Context(), a, site, someDirection(task), must[[]Component](t)(a.Senders())))
		results[i] = append(results[i], w.Rest...)
	}
	closeScale(t, "in chunks", results[1], results[0], 1e-4)
}
