package sae

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTPPByHand: class 0's ablation costs its probe 0.4 and the other 0.1, class 1's 0.2 and 0.1.
func TestTPPByHand(t *testing.T) {
	s, err := TPP([]float64{0.9, 0.8}, []float64{0.5, 0.8, 0.7, 0.6})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "intended", s.Intended, 0.3, 1e-12)
	near(t, "unintended", s.Unintended, 0.1, 1e-12)
	near(t, "TPP", s.TPP, 0.2, 1e-12)
	if _, err := TPP([]float64{1}, []float64{1}); err == nil {
		t.Error("one class")
	}
	if got := SCR(0.6, 0.7, 0.8); got < 0.5-1e-12 || got > 0.5+1e-12 {
		t.Errorf("SCR is %v", got)
	}
	if SCR(0.6, 0.7, 0.6005) != 0 {
		t.Error("a gap below 0.001 scores 0")
	}
}

// TestMeasureTPPPlanted: with one latent a class on orthogonal directions the ablation is precise; with a decoder whose rows
// all write the same mixture it is not.
func TestMeasureTPPPlanted(t *testing.T) {
	const n, k, d = 300, 3, 3
	rng := rand.New(rand.NewPCG(1, 4))
	class, acts := make([]int, n), make([]float32, n*k)
	for r := range n {
		class[r] = rng.IntN(k)
		acts[r*k+class[r]] = 2 + rng.Float32()
	}
	s, err := SparseOf(acts, k)
	if err != nil {
		t.Fatal(err)
	}
	score := func(dec []float32) TPPScore {
		x := make([]float32, n*d)
		for r := range n {
			for j := range d {
				x[r*d+j] = float32(rng.NormFloat64() / 10)
			}
			axpyPlain(acts[r*k+class[r]], dec[class[r]*d:(class[r]+1)*d], x[r*d:(r+1)*d])
		}
		got, err := MeasureTPP(t.Context(), x, s, dec, class, k, 1, 0.7)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := score([]float32{1, 0, 0, 0, 1, 0, 0, 0, 1}); got.TPP < 0.25 || got.Unintended > 0.02 {
		t.Errorf("orthogonal: %+v", got)
	}
	if a, b := score([]float32{1, 0, 0, 0, 1, 0, 0, 0, 1}), score([]float32{1, 0.8, 0.8, 0.8, 1, 0.8, 0.8, 0.8, 1}); b.TPP >= a.TPP {
		t.Errorf("entangled %+v is as good as orthogonal %+v", b, a)
	}
}

// TestAblateLatents: ablating every latent leaves the error, ablating none everything.
func TestAblateLatents(t *testing.T) {
	dec := []float64{1, 2, 3, -1}
	acts, err := SparseOf([]float64{2, 1, 0, 3}, 2)
	if err != nil {
		t.Fatal(err)
	}
	x := []float64{6, 4, 10, -2} // reconstructions (5, 3), (9, -3), errors 1
	for _, test := range []struct {
		latents []int32
		want    []float64
	}{{nil, x}, {[]int32{0, 1}, []float64{1, 1, 1, 1}}, {[]int32{0}, []float64{4, 0, 10, -2}}} {
		got, err := AblateLatents(x, acts, dec, test.latents)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("without %v: %v, %v; want %v", test.latents, got, err, test.want)
		}
	}
	if _, err := AblateLatents(x, acts, dec, []int32{2}); err == nil {
		t.Error("latent 2 of 2")
	}
	effect, err := AttributionEffects(acts, []bool{true, false}, dec, []float64{1, 0})
	if err != nil || !slices.Equal(effect, []float64{2, -6}) {
		t.Errorf("effects %v, %v; want 2 and -6", effect, err)
	}
}
