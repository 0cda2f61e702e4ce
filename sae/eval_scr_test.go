package sae

import (
	"errors"
	"math/rand/v2"
	"testing"

	"loupe/internal/stats"
)

// scrData has two concepts, each written by a latent where it is there and another where it is not; the spurious one is three
// times as strong.
func scrData(n int, seed uint64) (x []float64, acts *Sparse, decoder []float64, target, spurious []bool) {
	const d, f = 6, 4
	rng := rand.New(rand.NewPCG(seed, 5))
	decoder = make([]float64, f*d)
	decoder[0*d], decoder[1*d], decoder[2*d+1], decoder[3*d+1] = 1, -1, 3, -3
	dense := make([]float64, n*f)
	for r := range n {
		target, spurious = append(target, r%2 == 0), append(spurious, r/2%2 == 0)
		t, s := 0, 2
		if !target[r] {
			t = 1
		}
		if !spurious[r] {
			s = 3
		}
		dense[r*f+t], dense[r*f+s] = 1, 1
		row := make([]float64, d)
		for j := range row {
			row[j] = decoder[t*d+j] + decoder[s*d+j] + rng.NormFloat64()/10 // the biased probe weighs the spurious direction three times as much
		}
		x = append(x, row...)
	}
	acts, _ = SparseOf(dense, f)
	return x, acts, decoder, target, spurious
}

// TestMeasureSCRPlanted: where latents hold the concepts apart, removing the spurious one repairs a biased probe; where each
// latent holds half of both, it does not.
func TestMeasureSCRPlanted(t *testing.T) {
	x, acts, decoder, target, spurious := scrData(1200, 1)
	r, err := MeasureSCR(t.Context(), x, acts, decoder, target, spurious, 2, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	if r.Target.Original > 0.8 || r.Target.Clean < 0.9 || r.Target.Score < 0.9 || r.Score != r.Target.Score {
		t.Errorf("concepts apart: %+v", r)
	}
	if r.Reverse.Original < 0.95 {
		t.Errorf("the biased probe should know the stronger concept: %+v", r.Reverse)
	}
	// The same activations in latents that stand for combinations.
	const d, f = 6, 4
	mixed := make([]float64, f*d)
	dense := make([]float64, acts.Rows()*f)
	for l, parts := range [][2]int{{0, 2}, {0, 3}, {1, 2}, {1, 3}} {
		for j := range d {
			mixed[l*d+j] = decoder[parts[0]*d+j] + decoder[parts[1]*d+j]
		}
	}
	for i := range acts.Rows() {
		l := 0
		if !target[i] {
			l += 2
		}
		if !spurious[i] {
			l++
		}
		dense[i*f+l] = 1
	}
	entangled, err := SparseOf(dense, f)
	if err != nil {
		t.Fatal(err)
	}
	m, err := MeasureSCR(t.Context(), x, entangled, mixed, target, spurious, 2, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	if m.Target.Score > r.Target.Score-0.4 {
		t.Errorf("entangled latents score %v and separate ones %v", m.Target.Score, r.Target.Score)
	}
	if _, err := MeasureSCR(t.Context(), x, acts, decoder, target, target, 2, 0.5); !errors.Is(err, stats.ErrDegenerate) {
		t.Errorf("concepts that always go together: %v", err)
	}
}
