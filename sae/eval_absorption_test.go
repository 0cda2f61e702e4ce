package sae

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"loupe/internal/stats"
)

// TestAbsorptionByHand has decoder rows e1 (main), (0.8, 0.6) and e2, and a probe along e1.
func TestAbsorptionByHand(t *testing.T) {
	align, err := AlignDecoder([]float64{1, 0, 0.8, 0.6, 0, 1}, []float64{5, 0})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name     string
		acts     []float64
		p        float64
		fraction float64
		full     bool
	}{
		{"main latent carries all", []float64{2, 0, 1}, 2, 0, false},
		{"nothing active", []float64{0, 0, 0}, 2, 0, false},
		{"wholly absorbed", []float64{0, 2, 0}, 1.6, 1, true},
		{"half absorbed", []float64{1, 1.25, 0}, 2, 0.5, false},
		{"absorbers beyond the gap count to the gap", []float64{1.5, 5, 0}, 2, 0.25, false},
		{"too small a share", []float64{0, 0.5, 0}, 2, 0, false},
		{"another latent without the direction", []float64{0, 0, 9}, 2, 0, false},
		{"the text has not the concept", []float64{0, 2, 0}, -1, 0, false},
	} {
		acts, err := SparseOf(test.acts, 3)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Absorption(acts, align, []float64{test.p}, []int32{0}, DefaultAbsorptionConfig())
		if err != nil {
			t.Fatal(err)
		}
		if diff := r.Fraction[0] - test.fraction; diff > 1e-12 || diff < -1e-12 || r.Full[0] != test.full {
			t.Errorf("%s: fraction %v, full %v; want %v, %v", test.name, r.Fraction[0], r.Full[0], test.fraction, test.full)
		}
	}
	if _, err := AlignDecoder([]float64{1, 0}, []float64{0, 0}); err == nil {
		t.Error("a probe of zeros has a direction")
	}
	if _, err := Absorption(&Sparse{Cols: 2, Start: []int{0}}, align, nil, nil, DefaultAbsorptionConfig()); err == nil {
		t.Error("no rows")
	}
}

// TestAbsorptionFollowsPlantedShare: where a share q of the texts has its concept in another latent, both measures find q,
// and scaling activations against decoder changes nothing.
func TestAbsorptionFollowsPlantedShare(t *testing.T) {
	const n, f, d = 400, 6, 5
	rng := rand.New(rand.NewPCG(6, 6))
	dec := make([]float32, f*d)
	for i := range f {
		dec[i*d+min(i, d-1)] = 1
	}
	dec[4*d], dec[4*d+4] = 0.8, 0.6 // the absorber
	for _, q := range []float64{0, 0.3, 0.8} {
		acts, x := make([]float32, n*f), make([]float32, n*d)
		taken := 0.0
		for r := range n {
			latent := 0
			if rng.Float64() < q {
				latent = 4
				taken += 1.0 / n
			}
			acts[r*f+latent], acts[r*f+1+rng.IntN(3)] = 1+rng.Float32(), rng.Float32()
			for i := range f {
				axpyPlain(acts[r*f+i], dec[i*d:(i+1)*d], x[r*d:(r+1)*d])
			}
		}
		for _, scale := range []float32{1, 8} {
			scaled, big := slices.Clone(acts), slices.Clone(dec)
			scaleBy(scaled, 1/scale)
			scaleBy(big, scale)
			s, err := SparseOf(scaled, f)
			if err != nil {
				t.Fatal(err)
			}
			probe := []float64{2, 0, 0, 0, 0}
			align, err := AlignDecoder(big, probe)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Project(x, probe)
			if err != nil {
				t.Fatal(err)
			}
			// a float32 sum may lie a rounding above the main latent's part: ask for a real gap
			for i := range p {
				p[i] -= 1e-5
			}
			r, err := Absorption(s, align, p, []int32{0}, DefaultAbsorptionConfig())
			if err != nil {
				t.Fatal(err)
			}
			near(t, "fraction", r.MeanFraction, taken, 1e-9)
			near(t, "full", r.FullRate, taken, 1e-9)
		}
	}
}

// TestMainLatents: a concept that two latents share is split over both; one with a single detector has one.
func TestMainLatents(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	const n, f = 400, 8
	one, two, y := make([]float32, n*f), make([]float32, n*f), make([]bool, n)
	for r := range n {
		y[r] = r%2 == 0
		for i := range f {
			if rng.IntN(5) == 0 {
				one[r*f+i] = rng.Float32() / 2
				two[r*f+i] = one[r*f+i]
			}
		}
		one[r*f+2], two[r*f+2], two[r*f+5] = 0, 0, 0
		if y[r] {
			one[r*f+2] = 2
			two[r*f+[]int{2, 5}[rng.IntN(2)]] = 2
		}
	}
	for want, acts := range map[int][]float32{1: one, 2: two} {
		x, err := SparseOf(acts, f)
		if err != nil {
			t.Fatal(err)
		}
		main, f1, err := MainLatents(t.Context(), x, y, 0.7, DefaultAbsorptionConfig())
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(main)
		if !slices.Equal(main, []int32{2, 5}[:want]) || f1 != 1 {
			t.Errorf("main latents %v with F1 %v, want %v", main, f1, []int32{2, 5}[:want])
		}
	}
}

// TestMeanAbsorption averages two of four concepts: one has a poor probe and one too few texts.
func TestMeanAbsorption(t *testing.T) {
	concept := func(name string, f1, fraction float64, texts int) ConceptAbsorption {
		return ConceptAbsorption{name, f1, AbsorptionReport{Full: make([]bool, texts), MeanFraction: fraction, FullRate: fraction / 2}}
	}
	all := []ConceptAbsorption{concept("a", 0.9, 0.2, 20), concept("b", 0.5, 1, 20), concept("c", 0.9, 1, 19), concept("d", 0.6, 0.4, 50)}
	s, err := MeanAbsorption(t.Context(), all, DefaultAbsorptionConfig(), percentile(100))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "fraction", s.Fraction.Value, 0.3, 1e-12)
	near(t, "full", s.Full.Value, 0.15, 1e-12)
	if !slices.Equal(s.Skipped, []string{"b", "c"}) {
		t.Errorf("skipped %v", s.Skipped)
	}
	if _, err := MeanAbsorption(t.Context(), all[1:3], DefaultAbsorptionConfig(), percentile(100)); !errors.Is(err, stats.ErrTooFew) {
		t.Errorf("no concept is left: %v", err)
	}
}
