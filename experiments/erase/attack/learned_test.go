package attack

import (
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"

	"loupe/experiments/erase/encoder"
)

// testLearnedEmbedding: behind a hidden name a learned embedding finds the concept, learned there or on the original encoder; another
// concept's embedding is its own; and nothing is found where all texts are one.
func testLearnedEmbedding(t *testing.T, b *bench) {
	other := b.kept
	c := LearnedConfig{AdamConfig: AdamConfig{Steps: 12, LR: 0.03}, Templates: 2}
	black := get(Learn(t.Context(), b.e, nil, []Goal{b.goal}, c))(t)[0]
	r := get(Recognise(t.Context(), b.e, b.renamed(), b.goal, other, black, c))(t)
	t.Logf("%+v", *r)
	if r.Text.Hits != 0 || r.White.Hits < r.White.N-1 || r.Black.Hits < r.Black.N-1 || r.Control.Hits != 0 || r.Learnt.Hits < r.Learnt.N-1 {
		t.Errorf("%+v", *r)
	}
	both := get(Learn(t.Context(), b.e, nil, []Goal{other, b.goal}, LearnedConfig{AdamConfig: AdamConfig{Steps: 3, LR: 0.03}, Templates: 2}))(t)
	alone := get(Learn(t.Context(), b.e, nil, []Goal{b.goal}, LearnedConfig{AdamConfig: AdamConfig{Steps: 3, LR: 0.03}, Templates: 2}))(t)
	if !floats.EqualApprox(both[1].Vector, alone[0].Vector, 1e-5) || both[1].Queries != alone[0].Queries {
		t.Error("goals that are learned together touch each other")
	}
	destroyed := &encoder.Variant{Name: "destroyed", Hook: constant{b.goal.Zero.Prototypes.RawRowView(1)}, Layer: b.e.Layers()}
	c.Steps = 1
	if r = get(Recognise(t.Context(), b.e, destroyed, b.goal, other, black, c))(t); r.White.Hits+r.Black.Hits+r.Control.Hits+r.Learnt.Hits != 0 {
		t.Errorf("destroyed: %+v", *r)
	}
}

// testSlot: a name of several tokens becomes one.
func testSlot(t *testing.T, b *bench) {
	text, at, err := slot(b.e, "the grey rhododendron there", "rhododendron")
	if err != nil {
		t.Fatal(err)
	}
	whole := get(b.e.Tokens("the grey rhododendron there"))(t)
	if whole.Len() < 7 || text.Len() != 6 || at != 3 || text.IDs[3] != whole.IDs[3] || !slices.Equal(text.IDs[4:], whole.IDs[whole.Len()-2:]) {
		t.Errorf("%v of %v, place %d", text.Tokens, whole.Tokens, at)
	}
	if _, _, err := slot(b.e, "the grey tree", "rhododendron"); err == nil {
		t.Error("a prompt without the name is no error")
	}
}
