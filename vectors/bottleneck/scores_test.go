package bottleneck

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// TestScoresHand: two concepts and two texts by hand. Concept (3, 4) has length 5; text (1, 0) has cosine 0.6 with it and
// projection 3/25, text (0, 2) 0.8 and 8/25. Of two values the standardised ones are -1 and +1 over the square root of 2.
func TestScoresHand(t *testing.T) {
	b := Bank{Names: []string{"slant", "right"}, Vectors: mat.NewDense(2, 2, []float64{3, 4, 2, 0})}
	x := mat.NewDense(2, 2, []float64{1, 0, 0, 2})
	for measure, want := range map[string][]float64{Cosine: {0.6, 1, 0.8, 0}, Projection: {3. / 25, 0.5, 8. / 25, 0}} {
		s, err := FitScorer(b, x, measure)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := s.Raw(x)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range raw.RawMatrix().Data {
			nearly(t, measure, v, want[i], 1e-15)
		}
		scores, err := s.Apply(x)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range scores.RawMatrix().Data {
			nearly(t, measure+" standardised", v, []float64{-1, 1, 1, -1}[i]/math.Sqrt2, 1e-12)
		}
	}
}

// TestScoresPlanted: where texts hold concepts, every concept's score separates the texts with it from those without.
func TestScoresPlanted(t *testing.T) {
	p := plant(3, 300, 3, 2, 20, 0.1)
	s, err := FitScorer(p.bank, p.x, Cosine)
	if err != nil {
		t.Fatal(err)
	}
	scores, err := s.Apply(p.x)
	if err != nil {
		t.Fatal(err)
	}
	for j := range p.bank.Len() {
		least, most := math.Inf(1), math.Inf(-1)
		for i := range 300 {
			if p.presence.At(i, j) == 1 {
				least = min(least, scores.At(i, j))
			} else {
				most = max(most, scores.At(i, j))
			}
		}
		if least <= most {
			t.Errorf("concept %d: least score with it %.2f, most without %.2f", j, least, most)
		}
	}
}

// TestScoresInvariance: cosines do not depend on the lengths of texts and concepts, and a rotation of both changes no score.
func TestScoresInvariance(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	b := Bank{Names: []string{"a", "b", "c"}, Vectors: normal(rng, 3, 6)}
	x := normal(rng, 40, 6)
	var qr mat.QR
	qr.Factorize(normal(rng, 6, 6))
	var q, turned, turnedBank mat.Dense
	qr.QTo(&q)
	turned.Mul(x, &q)
	turned.Scale(7, &turned)
	turnedBank.Mul(b.Vectors, &q)
	turnedBank.Scale(0.1, &turnedBank)
	first, err := FitScorer(b, x, Cosine)
	if err != nil {
		t.Fatal(err)
	}
	second, err := FitScorer(Bank{b.Names, &turnedBank}, &turned, Cosine)
	if err != nil {
		t.Fatal(err)
	}
	u, err := first.Apply(x)
	if err != nil {
		t.Fatal(err)
	}
	v, err := second.Apply(&turned)
	if err != nil {
		t.Fatal(err)
	}
	if !mat.EqualApprox(u, v, 1e-10) {
		t.Error("a rotation changes the scores")
	}
}

func TestScoresRefuse(t *testing.T) {
	x := mat.NewDense(2, 2, []float64{1, 0, 0, 2})
	good := Bank{Names: []string{"a"}, Vectors: mat.NewDense(1, 2, []float64{1, 0})}
	for name, c := range map[string]struct {
		bank    Bank
		x       *mat.Dense
		measure string
		want    error
	}{
		"zero concept": {Bank{[]string{"a"}, mat.NewDense(1, 2, nil)}, x, Cosine, vectors.ErrArgument},
		"names":        {Bank{[]string{"a", "b"}, good.Vectors}, x, Cosine, vectors.ErrShape},
		"width":        {good, mat.NewDense(2, 3, nil), Cosine, vectors.ErrShape},
		"zero text":    {good, mat.NewDense(2, 2, []float64{1, 0, 0, 0}), Cosine, vectors.ErrArgument},
		"constant":     {good, mat.NewDense(2, 2, []float64{1, 0, 2, 0}), Cosine, vectors.ErrSingular},
		"not finite":   {good, mat.NewDense(2, 2, []float64{1, math.NaN(), 2, 0}), Cosine, vectors.ErrNotFinite},
		"one text":     {good, mat.NewDense(1, 2, []float64{1, 0}), Cosine, vectors.ErrShape},
		"measure":      {good, x, "angle", vectors.ErrArgument},
	} {
		if _, err := FitScorer(c.bank, c.x, c.measure); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBank: the controls keep the number of concepts; shuffling permutes names alone, and tells how.
func TestBank(t *testing.T) {
	p := plant(3, 10, 2, 3, 8, 0.1)
	random := RandomBank(p.bank, 1)
	if again := RandomBank(p.bank, 1); !mat.Equal(random.Vectors, again.Vectors) || mat.Equal(random.Vectors, RandomBank(p.bank, 2).Vectors) {
		t.Error("random directions do not follow the seed")
	}
	shuffled, from := ShuffleNames(p.bank, 4)
	for i, at := range from {
		if shuffled.Names[i] != p.bank.Names[at] {
			t.Errorf("concept %d is %s and not %s", i, shuffled.Names[i], p.bank.Names[at])
		}
	}
	sorted := slices.Sorted(slices.Values(from))
	if slices.Equal(from, sorted) || shuffled.Vectors != p.bank.Vectors {
		t.Errorf("from %v", from)
	}
	if two := p.bank.Take([]int{4, 1}); two.Names[0] != p.bank.Names[4] || two.Vectors.At(1, 1) != 1 {
		t.Errorf("%+v", two)
	}
}
