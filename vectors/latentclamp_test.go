package vectors

import (
	"errors"
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// TestLatentClampHand: with an orthonormal dictionary a clamp moves one coordinate: (0.8, 0.5) has activations 0.5 and 0.2
// over the threshold 0.3; the first to 2 adds 1.5, ablating it takes 0.5, and a silent latent is not scaled.
func TestLatentClampHand(t *testing.T) {
	s := reluSAE(1, 2, 2)
	copy(s.WEnc, []float32{1, 0, 0, 1})
	copy(s.WDec, []float32{1, 0, 0, 1})
	clear(s.BDec)
	x := rows([]float64{0.8, 0.5}, []float64{0.1, -3})
	for name, c := range map[string]struct {
		clamp LatentClamp
		want  []float64
	}{
		"set":    {LatentClamp{SAE: s, Latents: []int{0}, Value: 2}, []float64{2.3, 0.5, 2.1, -3}},
		"remove": {LatentClamp{SAE: s, Latents: []int{0, 1}}, []float64{0.3, 0.3, 0.1, -3}},
		"ablate": {LatentClamp{SAE: s, Latents: []int{0}, Active: true, Scale: -1}, []float64{0.3, 0.5, 0.1, -3}},
		"double": {LatentClamp{SAE: s, Latents: []int{1}, Active: true, Scale: 1}, []float64{0.8, 0.7, 0.1, -3}},
	} {
		closeTo(t, name, flat(ok(c.clamp.Apply(x))(t)), c.want, 1e-6)
	}
}

// TestLatentClampRemoves: clamping the planted latent to zero takes the concept to chance, and clamping another does not.
func TestLatentClampRemoves(t *testing.T) {
	const d, n, planted = 16, 200, 9
	s := reluSAE(4, d, 32)
	x, y := normalRows(2, n, d), make([]int, n)
	x.Scale(0.05, x)
	for i := range n {
		y[i] = i % 2
		for j := range d {
			x.Set(i, j, x.At(i, j)+float64(s.BDec[j])+float64(y[i])*float64(s.Decoder(planted)[j]))
		}
	}
	gap := func(x *mat.Dense) float64 {
		gap, decoder := ok(DiffOfMeans(x, y))(t), float64s(s.Decoder(planted))
		return gap[0]*decoder[0] + dotOf(gap[1:], decoder[1:])
	}
	before := gap(x)
	after := gap(ok(LatentClamp{SAE: s, Latents: []int{planted}}.Apply(x))(t))
	other := gap(ok(LatentClamp{SAE: s, Latents: []int{planted + 1}}.Apply(x))(t))
	if before < 0.9 || after > 0.35 || other < 0.8 { // the threshold of 0.3 stays
		t.Errorf("gap along the latent %.3f, clamped %.3f, another clamped %.3f", before, after, other)
	}
}

func dotOf(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

func TestLatentClampRefuses(t *testing.T) {
	s := reluSAE(1, 4, 6)
	x := normalRows(1, 3, 4)
	normed := *s
	normed.Normalize = "layer_norm"
	for what, c := range map[string]LatentClamp{
		"none": {SAE: s}, "twice": {SAE: s, Latents: []int{1, 1}}, "too large": {SAE: s, Latents: []int{6}}, "NaN": {SAE: s, Latents: []int{1}, Value: math.NaN()},
		"normalised": {SAE: &normed, Latents: []int{1}},
	} {
		if _, err := c.Apply(x); !errors.Is(err, ErrArgument) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := (LatentClamp{SAE: s, Latents: []int{1}}).Apply(normalRows(1, 3, 5)); !errors.Is(err, ErrShape) {
		t.Errorf("another width: %v", err)
	}
}
