package vectors

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// crossed are rows whose label is the sign of the product of two of their entries, which no plane separates.
func crossed(seed uint64, n, d int) (x *mat.Dense, y []int) {
	rng := rand.New(rand.NewPCG(seed, 4))
	x, y = mat.NewDense(n, d, nil), make([]int, n)
	for i := range n {
		row := x.RawRowView(i)
		for j := range row {
			row[j] = 0.3 * rng.NormFloat64()
		}
		a, b := i%2, i/2%2
		row[0] += float64(2*a - 1)
		row[1] += float64(2*b - 1)
		if a == b {
			y[i] = 1
		}
	}
	return x, y
}

// TestRegionHand: rows -1 and 1 with a linear kernel and C = 1: f(x) = w x with w the minimum of w²/2 + 2 (1-w)², 0.8.
func TestRegionHand(t *testing.T) {
	r := ok(fitRegion(t.Context(), rows([]float64{-1}, []float64{1}), []int{0, 1}, RegionConfig{Kernel: Kernel{Kind: KernelLinear}, C: 1}))(t)
	closeTo(t, "scores", ok(r.Scores(rows([]float64{1}, []float64{-2})))(t), []float64{0.8, -1.6}, 1e-14)
	// radial: K = [1, k; k, 1], so weights are -+a with a (1-k) = f and a = 2C (1-f)
	r = ok(fitRegion(t.Context(), rows([]float64{-1}, []float64{1}), []int{0, 1}, RegionConfig{Kernel: Kernel{Kind: KernelRBF, Gamma: 0.5}, C: 1}))(t)
	k := math.Exp(-2)
	a := 2 / (1 + 2*(1-k))
	closeTo(t, "weights", r.Weights, []float64{-a, a}, 1e-14)
	closeTo(t, "default gamma", []float64{ok(Kernel{Kind: KernelRBF}.fitted(rows([]float64{-1, 1}, []float64{3, 1})))(t).Gamma}, []float64{0.25}, 1e-14)
}

// TestRegionLinear: with a linear kernel the region is the half space of SquaredHinge.
func TestRegionLinear(t *testing.T) {
	x, y, _ := planted(5, 80, 6, 2, 1)
	want := ok(SquaredHinge(t.Context(), x, y, 0.3))(t)
	r := ok(fitRegion(t.Context(), x, y, RegionConfig{Kernel: Kernel{Kind: KernelLinear}, C: 0.3}))(t)
	closeTo(t, "scores", ok(r.Scores(x))(t), ok(want.Scores(x))(t), 1e-9)
}

// TestRegionOptimum: at the optimum every weight is 2 C s max(0, 1 - s f), and they sum to 0; rotating and moving the rows
// changes no score.
func TestRegionOptimum(t *testing.T) {
	x, y := crossed(1, 90, 5)
	cfg := RegionConfig{Kernel: Kernel{Kind: KernelRBF}, C: 2}
	r := ok(fitRegion(t.Context(), x, y, cfg))(t)
	f, sum := ok(r.Scores(x))(t), 0.0
	for i, s := range signs(y) {
		if want := 4 * s * max(0, 1-s*f[i]); math.Abs(r.Weights[i]-want) > 1e-9 {
			t.Fatalf("weight %d is %v, want %v", i, r.Weights[i], want)
		}
		sum += r.Weights[i]
	}
	if math.Abs(sum) > 1e-9 {
		t.Errorf("weights sum to %g", sum)
	}
	var qr mat.QR
	qr.Factorize(normalRows(3, 5, 5))
	var q, turned mat.Dense
	qr.QTo(&q)
	turned.Mul(x, &q)
	turned.Apply(func(_, j int, v float64) float64 { return v + float64(j) }, &turned)
	cfg.Kernel.Gamma = r.Kernel.Gamma // the variance over all entries changes with the shift
	other := ok(fitRegion(t.Context(), &turned, y, cfg))(t)
	closeTo(t, "turned", ok(other.Scores(&turned))(t), f, 1e-8)
}

// TestRegionPlanted: a concept that is a product of two entries has a region and no vector; TCAR is near 1 for examples inside,
// near 0 outside, with small p-values, and an ordinary one for examples drawn like all rows.
func TestRegionPlanted(t *testing.T) {
	x, y := crossed(2, 120, 8)
	if cav := ok(FitCAV(t.Context(), x, y, DefaultCAV()))(t); cav.Separates {
		t.Errorf("a plane separates: %+v", cav.HeldOut)
	}
	cfg := DefaultRegion()
	cfg.Permutations = 99
	if r := ok(FitRegion(t.Context(), x, y, cfg))(t); !r.Separates || r.HeldOut.Value < 0.9 {
		t.Errorf("held-out accuracy %+v over %v", r.HeldOut, r.Majority)
	}
	fresh, labels := crossed(3, 80, 8)
	byClass := [2][]int{}
	for i, c := range labels {
		byClass[c] = append(byClass[c], i)
	}
	for c, want := range []float64{0, 1} {
		examples, _ := selectRows(fresh, labels, byClass[c])
		test := ok(TCAR(t.Context(), x, y, examples, cfg))(t)
		if math.Abs(test.Score-want) > 0.15 || test.P > 0.02 {
			t.Errorf("class %d: score %v, p %v", c, test.Score, test.P)
		}
	}
	if test := ok(TCAR(t.Context(), x, y, fresh, cfg))(t); test.P < 0.05 {
		t.Errorf("examples of both classes: score %v, p %v", test.Score, test.P)
	}
}

// TestTCARNull: with labels that mean nothing p-values are not small more often than they should be.
func TestTCARNull(t *testing.T) {
	cfg := DefaultRegion()
	cfg.Permutations = 19
	small := 0
	for seed := range uint64(60) {
		x, y := normalRows(10*seed+1, 24, 4), make([]int, 24)
		for i := range y {
			y[i] = i % 2
		}
		cfg.Seed = seed
		if ok(TCAR(t.Context(), x, y, normalRows(10*seed+2, 15, 4), cfg))(t).P <= 0.1 {
			small++
		}
	}
	if small > 14 { // of 60 at 0.1: 15 has a chance of 0.001
		t.Errorf("%d of 60 null tests have p <= 0.1", small)
	}
}

func TestRegionRefuses(t *testing.T) {
	x, y := crossed(1, 16, 3)
	for what, try := range map[string]struct {
		call func() error
		want error
	}{
		"one class": {func() error { _, err := FitRegion(t.Context(), x, make([]int, 16), DefaultRegion()); return err }, ErrClasses},
		"kernel": {func() error {
			_, err := FitRegion(t.Context(), x, y, RegionConfig{C: 1, HeldOut: 0.3, Level: 0.9, Permutations: 1})
			return err
		}, ErrArgument},
		"width": {func() error { _, err := TCAR(t.Context(), x, y, normalRows(1, 3, 4), DefaultRegion()); return err }, ErrShape},
		"constant": {func() error {
			_, err := FitRegion(t.Context(), mat.NewDense(16, 2, nil), y, DefaultRegion())
			return err
		}, ErrSingular},
	} {
		if err := try.call(); !errors.Is(err, try.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
