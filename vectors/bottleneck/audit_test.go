package bottleneck

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"loupe/vectors"
)

// TestAuditHand: of 2, -1, 1 (and a special token's 9, which does not count) the planted second and third hold 2/4 in magnitude,
// 1/3 of what is positive, and are 2 of 3 tokens.
func TestAuditHand(t *testing.T) {
	a := Attribution{Scores: []float64{9, 2, -1, 1}}
	m, err := Audit(a, []bool{false, false, true, true}, []bool{true, false, false, false}, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	nearly(t, "share", m.Share, 0.5, 1e-15)
	nearly(t, "positive", m.Positive, 1./3, 1e-15)
	nearly(t, "uniform", m.Uniform, 2./3, 1e-15)
	if !slices.Contains([]float64{0.5, 0.75}, m.Shuffled) {
		t.Errorf("shuffled %v", m.Shuffled)
	}
	special := []bool{true, false, false, false}
	if _, err := Audit(a, make([]bool, 4), special, rand.New(rand.NewPCG(1, 1))); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("nothing planted: %v", err)
	}
	if _, err := Audit(Attribution{Scores: make([]float64, 4)}, []bool{false, true, false, false}, special, rand.New(rand.NewPCG(1, 1))); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("no attribution: %v", err)
	}
	if _, err := Audit(a, nil, special, rand.New(rand.NewPCG(1, 1))); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("no marks: %v", err)
	}
}

// TestAuditShuffled: over many permutations, the shuffled share has the uniform share as its mean.
func TestAuditShuffled(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	a := Attribution{Scores: []float64{5, 0.1, -0.2, 0.4, 1}}
	total := 0.0
	var m Mass
	for range 20_000 {
		var err error
		if m, err = Audit(a, []bool{true, false, false, true, false}, make([]bool, 5), rng); err != nil {
			t.Fatal(err)
		}
		total += m.Shuffled
	}
	nearly(t, "mean shuffled share", total/20_000, m.Uniform, 0.01) // four standard errors
}

func TestWithin(t *testing.T) {
	x := Tokens{IDs: make([]int32, 5), Offsets: [][2]int{{0, 0}, {0, 3}, {4, 7}, {7, 9}, {0, 0}}, Special: []bool{true, false, false, false, true}}
	if got := x.Within(5, 9); !slices.Equal(got, []bool{false, false, true, true, false}) {
		t.Error(got)
	}
	if got := x.Within(3, 4); slices.Contains(got, true) {
		t.Error(got)
	}
}
