package bottleneck

import (
	"errors"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// TestContributionsHand: weights (2, 0, 1) and (0, 0, -1) have means (1, 0, 0); the first text goes to class 0 with contributions
// (1*3, 0, 1*1), the second to class 1 with (-1*-1, 0, -1*-2).
func TestContributionsHand(t *testing.T) {
	h := Head{Weights: mat.NewDense(2, 3, []float64{2, 0, 1, 0, 0, -1}), Bias: []float64{0, 0}}
	z := mat.NewDense(2, 3, []float64{3, 5, 1, -1, 4, -2})
	decision, contributions, err := Contributions(h, z)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(decision, []int{0, 1}) || !mat.Equal(contributions, mat.NewDense(2, 3, []float64{3, 0, 1, 1, 0, 2})) {
		t.Errorf("%v, %v", decision, mat.Formatted(contributions))
	}
	kept, err := KeepTop(z, contributions, 1)
	if err != nil || !mat.Equal(kept, mat.NewDense(2, 3, []float64{3, 0, 0, 0, 0, -2})) {
		t.Errorf("%v: kept %v", err, mat.Formatted(kept))
	}
	dropped, err := DropTop(z, contributions, 1)
	if err != nil || !mat.Equal(dropped, mat.NewDense(2, 3, []float64{0, 5, 1, -1, 4, 0})) {
		t.Errorf("%v: dropped %v", err, mat.Formatted(dropped))
	}
	// of the concepts that are used, which leaves the second alone
	for seed := range uint64(20) {
		random, err := DropRandom(z, contributions, 1, seed)
		if err != nil || random.At(0, 1) != 5 || random.At(1, 1) != 4 || mat.Equal(random, z) {
			t.Errorf("%v: %v", err, mat.Formatted(random))
		}
	}
	if all, err := KeepTop(z, contributions, 3); err != nil || !mat.Equal(all, z) {
		t.Errorf("%v: all kept: %v", err, mat.Formatted(all))
	}
	if _, err := KeepTop(z, contributions, 4); !errors.Is(err, vectors.ErrArgument) {
		t.Error(err)
	}
}

// TestInterventionHand: a concept is 3 and 5 where present and 1 where not: the true values are 4 and 1.
func TestInterventionHand(t *testing.T) {
	z, presence := mat.NewDense(3, 2, []float64{3, 7, 1, 8, 5, 9}), mat.NewDense(3, 2, []float64{1, 0, 0, 1, 1, 0})
	v, err := FitIntervention(z, presence)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Apply(z, presence, []int{0})
	if err != nil || !mat.Equal(got, mat.NewDense(3, 2, []float64{4, 7, 1, 8, 4, 9})) {
		t.Errorf("%v: %v", err, mat.Formatted(got))
	}
	if v.On[1] != 8 || v.Off[1] != 8 {
		t.Errorf("%+v", v)
	}
	if _, err := FitIntervention(z, mat.NewDense(3, 2, []float64{1, 0, 1, 1, 1, 0})); !errors.Is(err, vectors.ErrClasses) {
		t.Errorf("always present: %v", err)
	}
	if _, err := FitIntervention(z, mat.NewDense(3, 2, []float64{1, 0, .5, 1, 1, 0})); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("half present: %v", err)
	}
	if _, err := v.Apply(z, presence, []int{2}); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("third of two: %v", err)
	}
}

// TestInterventionPlanted: with noisy activations, each concept that is set to its true value brings decisions nearer to the
// labels; with the concepts' presence mixed up it does not.
func TestInterventionPlanted(t *testing.T) {
	p := plant(19, 400, 4, 3, 30, 0.5)
	s, err := FitScorer(p.bank, p.x, Projection)
	if err != nil {
		t.Fatal(err)
	}
	fit, err := FitPostHoc(t.Context(), s, p.x, p.y, 4, DefaultPostHoc())
	if err != nil {
		t.Fatal(err)
	}
	z, err := s.Apply(p.x)
	if err != nil {
		t.Fatal(err)
	}
	v, err := FitIntervention(z, p.presence)
	if err != nil {
		t.Fatal(err)
	}
	accuracy := func(presence *mat.Dense, concepts []int) float64 {
		set, err := v.Apply(z, presence, concepts)
		if err != nil {
			t.Fatal(err)
		}
		logits, err := fit.Head.Logits(set)
		if err != nil {
			t.Fatal(err)
		}
		hits, err := Hits(logits, p.y)
		if err != nil {
			t.Fatal(err)
		}
		return mean(hits)
	}
	all := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	none, half, whole := accuracy(p.presence, nil), accuracy(p.presence, all[:6]), accuracy(p.presence, all)
	wrong := mat.NewDense(400, 12, nil)
	for i := range 400 {
		wrong.SetRow(i, p.presence.RawRowView((i+1)%400)) // of a text of another class
	}
	if !(none < half && half < whole) || whole < 0.99 || accuracy(wrong, all) > none/2 {
		t.Errorf("none %.3f, half %.3f, all %.3f, wrong %.3f", none, half, whole, accuracy(wrong, all))
	}
}
