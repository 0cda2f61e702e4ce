package vectors

import (
	"errors"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// TestFantope: shifts by hand, and the result is the nearest point: its eigenvalues lie in [0, 1] and sum to k, and no other
// member of the set is nearer.
func TestFantope(t *testing.T) {
	for _, c := range []struct {
		values []float64
		k      int
		want   []float64
	}{
		{[]float64{0.1, 0.5, 2}, 1, []float64{0, 0, 1}},
		{[]float64{0, 0.6, 0.6}, 1, []float64{0, 0.5, 0.5}},
		{[]float64{-1, 0, 0.2}, 2, []float64{0, 1, 1}},
	} {
		theta := fantopeShift(c.values, c.k)
		for i, v := range c.values {
			if got := min(1, max(0, v-theta)); math.Abs(got-c.want[i]) > 1e-12 {
				t.Errorf("%v to sum %d: value %d becomes %v", c.values, c.k, i, got)
			}
		}
	}
	a := symmetrised(normalRows(1, 6, 6))
	p, top, err := fantope(a, 2)
	if err != nil {
		t.Fatal(err)
	}
	s := ok(eigen(p))(t)
	if floats.Min(s.values) < -1e-12 || floats.Max(s.values) > 1+1e-12 || math.Abs(floats.Sum(s.values)-2) > 1e-12 {
		t.Errorf("eigenvalues %v", s.values)
	}
	closeTo(t, "leading eigenvectors are orthonormal", flat(product(top, top.T())), []float64{1, 0, 0, 1}, 1e-12)
	far := func(q mat.Symmetric) float64 {
		var diff mat.Dense
		diff.Sub(a, q)
		return mat.Norm(&diff, 2)
	}
	for seed := range uint64(50) {
		q, _, err := fantope(symmetrised(normalRows(2+seed, 6, 6)), 2)
		if err != nil {
			t.Fatal(err)
		}
		if far(q) < far(p)-1e-12 {
			t.Fatalf("another member is nearer: %v and %v", far(q), far(p))
		}
	}
}

// TestRLACEGradient: the gradient of the inner minimum against central differences along symmetric directions.
func TestRLACEGradient(t *testing.T) {
	for _, k := range []int{2, 3} {
		x, y, _ := planted(3, 60, 5, k, 2)
		g := adversary{t.Context(), x, y, k, 0.7}
		p, _, err := fantope(symmetrised(normalRows(1, 5, 5)), 2)
		if err != nil {
			t.Fatal(err)
		}
		_, gradient, err := g.at(p)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(4) {
			along := symmetrised(normalRows(9+seed, 5, 5))
			const h = 1e-5
			var ends [2]float64
			for i, s := range []float64{h, -h} {
				moved := mat.NewSymDense(5, nil)
				moved.ScaleSym(s, along)
				moved.AddSym(moved, p)
				if ends[i], _, err = g.at(moved); err != nil {
					t.Fatal(err)
				}
			}
			slope := 0.0
			for i := range 5 {
				for j := range 5 {
					slope += gradient.At(i, j) * along.At(i, j)
				}
			}
			closeTo(t, "slope", []float64{slope}, []float64{(ends[0] - ends[1]) / (2 * h)}, 1e-6)
		}
	}
}

// TestRLACEHand: the classes differ along the first axis alone, so that it is removed and nothing else.
func TestRLACEHand(t *testing.T) {
	x := rows([]float64{1, 1}, []float64{1, -1}, []float64{-1, 1}, []float64{-1, -1})
	fit := ok(RLACE(t.Context(), x, []int{1, 1, 0, 0}, DefaultRLACE()))(t)
	closeTo(t, "projection", flat(fit.Matrix()), []float64{0, 0, 0, 1}, 1e-6)
	closeTo(t, "loss", []float64{fit.Loss, fit.Constant, fit.Accuracy}, []float64{4 * math.Ln2, 4 * math.Ln2, 0.5}, 1e-9)
}

// TestRLACEPlanted: one direction takes a binary concept to the majority's share, where INLP's first does not; the losses
// ascend and never pass a constant's.
func TestRLACEPlanted(t *testing.T) {
	x, y, _ := planted(7, 400, 12, 2, 2.5)
	fit := ok(RLACE(t.Context(), x, y, DefaultRLACE()))(t)
	if !slices.IsSorted(fit.Losses) {
		t.Errorf("losses %v fall", fit.Losses)
	}
	if top := floats.Max(fit.Losses); top > fit.Constant*(1+1e-12) || fit.Loss < 0.999*top {
		t.Errorf("losses up to %v, after rounding %v, a constant's %v", top, fit.Loss, fit.Constant)
	}
	before := ok(ok(Logistic(t.Context(), x, y, 1))(t).Accuracy(x, y))(t)
	inlp := ok(INLP(t.Context(), x, y, INLPConfig{Rounds: 1, C: 1}))(t)
	rest := ok(inlp.Apply(x))(t)
	after := ok(ok(Logistic(t.Context(), rest, y, 1))(t).Accuracy(rest, y))(t)
	t.Logf("accuracy %.3f before, %.3f after one round of INLP, %.3f after R-LACE of rank %d; loss %.4f of a constant's", before, after, fit.Accuracy, fit.Rank(), fit.Loss/fit.Constant)
	if before < 0.85 || after < 0.6 || fit.Accuracy > 0.55 || fit.Loss < 0.995*fit.Constant {
		t.Error("R-LACE leaves more than it should")
	}
}

// TestRLACEClasses: three classes need two directions.
func TestRLACEClasses(t *testing.T) {
	x, y, _ := planted(9, 240, 8, 3, 3)
	cfg := DefaultRLACE()
	one := ok(RLACE(t.Context(), x, y, cfg))(t)
	cfg.Rank = 2
	two := ok(RLACE(t.Context(), x, y, cfg))(t)
	t.Logf("rank 1: accuracy %.3f, loss %.4f of a constant's; rank 2: %.3f, %.4f", one.Accuracy, one.Loss/one.Constant, two.Accuracy, two.Loss/two.Constant)
	if one.Accuracy < 0.5 || one.Loss > 0.9*one.Constant || two.Loss < 0.99*two.Constant {
		t.Error("two directions should be needed, and enough")
	}
}

// TestRLACENothing: labels that do not depend on the rows at all still give a projection, and a constant's loss.
func TestRLACENothing(t *testing.T) {
	x := rows([]float64{1, 1}, []float64{1, 1}, []float64{-1, 2}, []float64{-1, 2})
	fit := ok(RLACE(t.Context(), x, []int{1, 0, 0, 1}, DefaultRLACE()))(t)
	if fit.Rank() != 1 || math.Abs(fit.Loss-fit.Constant) > 1e-9 {
		t.Errorf("rank %d, loss %v of %v", fit.Rank(), fit.Loss, fit.Constant)
	}
}

func TestRLACERefuses(t *testing.T) {
	x, y, _ := planted(1, 20, 4, 2, 1)
	for what, try := range map[string]struct {
		cfg  RLACEConfig
		y    []int
		want error
	}{
		"rank 0": {RLACEConfig{C: 1, Rounds: 1, Tolerance: 0.1}, y, ErrArgument}, "full rank": {RLACEConfig{Rank: 4, C: 1, Rounds: 1, Tolerance: 0.1}, y, ErrArgument},
		"one class": {DefaultRLACE(), make([]int, 20), ErrClasses},
	} {
		if _, err := RLACE(t.Context(), x, try.y, try.cfg); !errors.Is(err, try.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
