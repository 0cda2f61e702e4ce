package sae

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// ravelData has entities with two attributes of three values. With mix 0 each value has a latent of its own; with mix 1 every
// latent stands for a pair of values, so that none can be interchanged alone.
func ravelData(t *testing.T, mix bool) RavelData {
	t.Helper()
	const n, d, f = 300, 12, 9
	rng := rand.New(rand.NewPCG(2, 2))
	data := RavelData{Decoder: make([]float32, f*d), Value: [][]int{make([]int, n), make([]int, n)}, X: make([]float32, n*d)}
	acts := make([]float32, n*f)
	for i := range f {
		if mix { // latent 3a+b writes the directions of value a and of value b
			data.Decoder[i*d+i/3], data.Decoder[i*d+3+i%3] = 1, 1
		} else {
			data.Decoder[i*d+i] = 1
		}
	}
	for r := range n {
		a, b := rng.IntN(3), rng.IntN(3)
		data.Value[0][r], data.Value[1][r] = a, b
		if mix {
			acts[r*f+3*a+b] = 2 + rng.Float32()/4
		} else {
			acts[r*f+a], acts[r*f+3+b], acts[r*f+6+rng.IntN(3)] = 2+rng.Float32()/4, 2+rng.Float32()/4, 1
		}
		for i := range f {
			axpyPlain(acts[r*f+i], data.Decoder[i*d:(i+1)*d], data.X[r*d:(r+1)*d])
		}
	}
	var err error
	if data.Latents, err = SparseOf(acts, f); err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRavelPlanted: latents that hold two attributes apart score near 1 with exactly their own latents, latents that hold pairs
// of values score no better than changing both or neither.
func TestRavelPlanted(t *testing.T) {
	score := func(mix bool) []RavelScore {
		data := ravelData(t, mix)
		reader, err := FitLinearReader(t.Context(), data.X, data.Value)
		if err != nil {
			t.Fatal(err)
		}
		out, err := Ravel(t.Context(), data, reader, rand.New(rand.NewPCG(1, 2)), DefaultRavelConfig())
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for a, s := range score(false) {
		if s.Disentangle < 0.97 {
			t.Errorf("attribute %d: %+v", a, s)
		}
		for i := range int32(6) {
			if own := int(i)/3 == a; slices.Contains(s.Latents, i) != own {
				t.Errorf("attribute %d interchanges %v", a, s.Latents)
				break
			}
		}
	}
	for a, s := range score(true) {
		if s.Disentangle > 0.75 {
			t.Errorf("attribute %d of entangled latents: %+v", a, s)
		}
	}
}

// TestRavelScoreOfMasks: interchanging nothing isolates all and causes nothing; interchanging everything the reverse.
func TestRavelScoreOfMasks(t *testing.T) {
	data := ravelData(t, false)
	reader, err := FitLinearReader(t.Context(), data.X, data.Value)
	if err != nil {
		t.Fatal(err)
	}
	known, err := data.known(t.Context(), reader)
	if err != nil {
		t.Fatal(err)
	}
	pairs, err := data.pairs(known, 0, 100, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []float64{0, 1} {
		s, err := data.judge(t.Context(), reader, pairs, slices.Repeat([]float64{m}, 9), 0, 0.95)
		if err != nil {
			t.Fatal(err)
		}
		if s.Cause.Value != m || s.Isolation.Value != 1-m || s.Disentangle != 0.5 {
			t.Errorf("mask of %v: cause %v, isolation %v", m, s.Cause.Value, s.Isolation.Value)
		}
	}
}

// TestLinearReaderGradient compares the gradient with central differences of the mean negative log likelihood.
func TestLinearReaderGradient(t *testing.T) {
	data := ravelData(t, false)
	reader, err := FitLinearReader(t.Context(), data.X, data.Value)
	if err != nil {
		t.Fatal(err)
	}
	const d = 12
	x, want := slices.Clone(data.X[:2*d]), []int{1, 2}
	loss := func() float64 {
		sum := 0.0
		for i, w := range want {
			var scores []float32
			for _, p := range reader.probes[1] {
				s := p.Intercept
				for j, c := range p.Coef {
					s += c * float64(x[i*d+j])
				}
				scores = append(scores, float32(s))
			}
			sum += CrossEntropy(scores, int32(w)) / 2
		}
		return sum
	}
	_, grad, err := reader.Read(t.Context(), x, nil, 1, want)
	if err != nil {
		t.Fatal(err)
	}
	for i := range x {
		at := x[i]
		x[i] = at + 0.01
		up := loss()
		x[i] = at - 0.01
		down := loss()
		x[i] = at
		if g := (up - down) / 0.02; math.Abs(g-float64(grad[i])) > 1e-3 {
			t.Errorf("gradient %d is %v, differences give %v", i, grad[i], g)
		}
	}
}
