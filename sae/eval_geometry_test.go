package sae

import (
	"math"
	"slices"
	"testing"
)

// TestGeometryByHand has decoder rows e1, (1, 1), -e1 and encoder columns e1, e1, e2.
func TestGeometryByHand(t *testing.T) {
	g, err := MeasureGeometry(t.Context(), []float32{2, 1, 0, 0, 0, 5}, []float32{3, 0, 1, 1, -1, 0}, 3)
	if err != nil {
		t.Fatal(err)
	}
	h := math.Sqrt(0.5)
	for name, v := range map[string][2][]float64{
		"decoder": {g.MaxDecoder, {h, h, -h}}, "encoder": {g.MaxEncoder, {1, 1, 0}}, "pairs": {g.EncoderCosine, {1, h, 0}},
	} {
		if !alike(v[0], v[1]) {
			t.Errorf("%s: %v, want %v", name, v[0], v[1])
		}
	}
	if !slices.Equal(g.NearestDecoder, []int32{1, 0, 1}) {
		t.Errorf("nearest are %v", g.NearestDecoder)
	}
	if _, err := MeasureGeometry(t.Context(), []float32{1}, []float32{1}, 1); err == nil {
		t.Error("one latent has no other")
	}
}

// TestNeighboursInBlocks compares the blocked search with all pairs, over more rows than a block.
func TestNeighboursInBlocks(t *testing.T) {
	const f, d, k = 300, 5, 3
	x := make([]float64, f*d)
	for i, v := range normals(4, f*d) {
		x[i] = float64(v)
	}
	for i := range f {
		unitRow(x[i*d : (i+1)*d])
	}
	got, err := neighbours(t.Context(), x, d, k)
	if err != nil {
		t.Fatal(err)
	}
	for i := range f {
		cos := make([]float64, f)
		for j := range f {
			cos[j] = inner(x[i*d:(i+1)*d], x[j*d:(j+1)*d])
		}
		cos[i] = math.Inf(-1)
		for j, want := range falling(cos)[:k] {
			if got.index[i*k+j] != want || math.Abs(got.cosine[i*k+j]-cos[want]) > 1e-12 {
				t.Fatalf("neighbour %d of %d is %d (%v), want %d (%v)", j, i, got.index[i*k+j], got.cosine[i*k+j], want, cos[want])
			}
		}
	}
}

// TestPromptFirings: latent 0 fires on both tokens of prompt 0 and one of prompt 2, latent 1 once, latent 2 never; a prompt
// may go on in the next batch.
func TestPromptFirings(t *testing.T) {
	p := NewPromptFirings(3)
	for _, b := range []struct {
		lat    Latents
		prompt []int64
	}{
		{Latents{K: 1, Index: []int32{0}, Value: []float32{1}}, []int64{0}},
		{Latents{K: 1, Index: []int32{0, 1, 0}, Value: []float32{2, 1, 3}}, []int64{0, 1, 2}},
	} {
		if err := p.Add(b.lat, b.prompt); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.Consistent(); !slices.Equal(got, []float64{1.5, 1, 0}) {
		t.Errorf("got %v", got)
	}
	if err := p.Add(newLatents(1, 1), []int64{1}); err == nil {
		t.Error("prompt 1 after prompt 2")
	}
	if err := p.Add(newLatents(1, 1), nil); err == nil {
		t.Error("a row without a prompt")
	}
}

// TestExplainedSquaredMean: on two rows (1, 0), (3, 0) reconstructed as (1, 0), (2, 1), S = E|x|^2 = 5 and the "variance" is
// 5 - (5/2)^2, so that the bug gives 1 - 1 / (5 - 6.25); around a large mean it exceeds 1.
func TestExplainedSquaredMean(t *testing.T) {
	m := NewMetrics(2, 1)
	if err := m.Add([]float32{1, 0, 3, 0}, []float32{1, 0, 2, 1}, newLatents(2, 1)); err != nil {
		t.Fatal(err)
	}
	near(t, "explained", m.ExplainedSquaredMean(), 1+1/1.25, 1e-12)
}
