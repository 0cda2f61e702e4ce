package tracing

import (
	"math"
	"slices"
	"testing"

	"loupe/probe/model"
	"loupe/sae"
)

// byHand is one block of width 2 on two tokens, with round numbers: value and output maps are the identity, the norms' divisors 1 and 2, 1 and 1/2, and 4
// at the end.
func byHand(t *testing.T) *Run {
	t.Helper()
	s := &model.Spec{Layers: 1, DModel: 2, Heads: 1, KVHeads: 1, DHead: 2, Norm: model.RMSNorm, Place: model.PreNorm}
	coder := &sae.SAE{
		Arch: sae.ArchTranscoder, DIn: 2, DSAE: 2, DOut: 2, Normalize: sae.NormalizeNone,
		WEnc: []float32{1, 0, 0, 1}, BEnc: []float32{0.5, -1}, WDec: []float32{0, 1, 1, 1}, BDec: []float32{0.1, 0},
	}
	dict, err := Transcoders(s, []*sae.SAE{coder})
	if err != nil {
		t.Fatal(err)
	}
	identity := newLinear(2, 2, []float64{1, 0, 0, 1})
	w := &weights{spec: s, layers: []layerWeights{{wV: identity, wO: identity}}}
	one := normWeights{w: []float64{1, 1}}
	f := &frozen{weights: w, dict: dict, t: 2, base: make([]float64, 4), final: frozenNorm{normWeights: one, scale: []float64{4, 4}}, layers: []frozenLayer{{
		layerWeights: &w.layers[0], pattern: []float64{1, 0, 0.25, 0.75},
		ln1: frozenNorm{normWeights: one, scale: []float64{1, 2}},
		ln2: frozenNorm{normWeights: normWeights{w: []float64{2, 1}}, scale: []float64{1, 0.5}},
	}}}
	// token 1 says (1,0) less the mean (0,1)
	tracer := &Tracer{model: &model.Model{Spec: s}, dict: dict, weights: w, unembed: []float32{0, 0, 1, 0}, mean: []float64{0, 1}}
	return &Run{
		tracer: tracer, frozen: f, embed: []float64{1, 0, 0, 2}, Errors: [][]float64{{0, 0, 0.3, -0.2}},
		all:   []Feature{{0, 0, 0, 4.5, 0}, {0, 1, 0, 1.5, 0}, {0, 1, 1, 4.5, 0}},
		Graph: &Graph{Layers: 1, Tokens: []int32{0, 1}, Errors: []Error{{0, 0}, {0, 1}}, Logits: []Logit{{Token: 1, Probability: 0.6}}, Active: 3},
	}
}

func equal(t *testing.T, name string, got, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tol) {
			t.Errorf("%s: value %d is %v, want %v", name, i, got[i], want[i])
		}
	}
}

// TestByHand: a graph, its influence, scores and pruning, all computed on paper.
func TestByHand(t *testing.T) {
	r := byHand(t)
	if err := r.attribute(t.Context(), DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	g := r.Graph
	// columns: three features, two errors, two tokens. The first token reaches position 1 as (.25,0): times 2 over 1/2 it is 1; the second is
	// there as (0,2) + .75 (0,2)/2 = (0,2.75), over 1/2 it is 5.5.
	equal(t, "adjacency", g.A, []float64{
		0, 0, 0, 0, 0, 4, 0,
		0, 0, 0, 0, 0, 1, 0,
		0, 0, 0, 0, 0, 0, 5.5,
		0, -0.375, 0, 0, 0.125, 0.0625, -0.6875,
	}, 1e-15)
	inf, err := g.Influence()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "influence", inf.Values, []float64{0, 0.18, 0, 0, 0.06, 0.21, 0.33, 0}, 1e-15)
	equal(t, "scores", []float64{inf.Replacement, inf.Completeness}, []float64{0.9, 1.32 / 1.38}, 1e-15)
	// .33 + .21 + .18 = .72 of .78 is the first sum above 80 %: the error goes
	p, err := g.Prune(DefaultPruning())
	if err != nil {
		t.Fatal(err)
	}
	if want := []bool{false, true, false, false, false, true, true, true}; !slices.Equal(p.Nodes, want) {
		t.Errorf("nodes %v", p.Nodes)
	}
	// without the error the logit's row is 1/3, 1/18, 11/18 and the scores are .2 (feature), .0333, .3667 and .2 (token to feature): all of them make 98 %
	c := g.Columns()
	var kept [][2]int
	for i, e := range p.Edges {
		if e {
			kept = append(kept, [2]int{i / c, i % c})
		}
	}
	if want := [][2]int{{1, 5}, {3, 1}, {3, 5}, {3, 6}}; !slices.Equal(kept, want) {
		t.Errorf("edges %v", kept)
	}
	// halving feature 1 takes half of -0.375 from the logit
	set := []Intervention{{1, 0.75}}
	direct, err := r.Direct(set)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "direct", direct, []float64{0, 0, 0, 0.1875}, 1e-15)
	measured, err := r.Constrained(set)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "constrained", measured, direct, 1e-15)
}

// TestCycle: influence without end is an error.
func TestCycle(t *testing.T) {
	if _, err := influence([]float64{1}, []int{0}, 1, []float64{1}); err == nil {
		t.Error("a node that is its own source has an influence")
	}
}
