package vectors

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// mixture draws non-negative rows a [n, d] of r concepts: u w, with sparse weights u, and a little uniform noise.
func mixture(seed uint64, n, d, r int, noise float64) (a, u, w *mat.Dense) {
	rng := rand.New(rand.NewPCG(seed, 3))
	u, w = mat.NewDense(n, r, nil), mat.NewDense(r, d, nil)
	for _, m := range []*mat.Dense{u, w} {
		for i := range m.RawMatrix().Data {
			m.RawMatrix().Data[i] = max(0, rng.NormFloat64()-0.3)
		}
	}
	a = mat.NewDense(n, d, nil)
	a.Mul(u, w)
	for i := range a.RawMatrix().Data {
		a.RawMatrix().Data[i] += noise * rng.Float64()
	}
	return a, u, w
}

// TestHALSHand: a = 4 from U = W = 1: U = 4 / 1, then W = 16 / 16.
func TestHALSHand(t *testing.T) {
	one := mat.NewDense(1, 1, []float64{1})
	f := ok(HALS(t.Context(), mat.NewDense(1, 1, []float64{4}), one, one, HALSConfig{Rounds: 1, Sweeps: 1}))(t)
	closeTo(t, "U, W, error", []float64{f.U.At(0, 0), f.W.At(0, 0), f.Errors[0]}, []float64{4, 1, 0}, 1e-14)
	// rows (1, 0), (0, 2) with W = identity: the first sweep is exact
	f = ok(HALS(t.Context(), rows([]float64{1, 0}, []float64{0, 2}), rows([]float64{0, 0}, []float64{0, 0}), identity(2), HALSConfig{Rounds: 1, Sweeps: 1}))(t)
	closeTo(t, "U", flat(f.U), []float64{1, 0, 0, 2}, 1e-14)
}

// TestHALSPlanted: concepts are recovered; the error never rises and is that of the factors; from the same start and after as
// many passes it is below that of multiplicative updates.
func TestHALSPlanted(t *testing.T) {
	a, _, w := mixture(1, 300, 40, 5, 0.01)
	u0, w0, err := RandomFactors(a, 5, 2)
	if err != nil {
		t.Fatal(err)
	}
	f := ok(HALS(t.Context(), a, u0, w0, HALSConfig{Rounds: 100, Sweeps: 2}))(t)
	for i := 1; i < len(f.Errors); i++ {
		if f.Errors[i] > f.Errors[i-1]*(1+1e-9) {
			t.Fatalf("round %d raises the error from %v to %v", i, f.Errors[i-1], f.Errors[i])
		}
	}
	var left mat.Dense
	left.Mul(f.U, f.W)
	left.Sub(a, &left)
	closeTo(t, "error", f.Errors[len(f.Errors)-1:], []float64{mat.Norm(&left, 2)}, 1e-7)
	for c := range 5 {
		best := 0.0
		for k := range 5 {
			best = max(best, ok(Cosine(w.RawRowView(c), f.W.RawRowView(k)))(t))
		}
		if best < 0.99 {
			t.Errorf("concept %d: best cosine %.3f", c, best)
		}
	}
	updates := ok(NMF(t.Context(), a, u0, w0, 100))(t)
	if ours, theirs := f.Errors[99], updates.Errors[99]; ours > 0.5*theirs {
		t.Errorf("error %.4g after 100 rounds, and %.4g after 100 multiplicative updates", ours, theirs)
	}
}

// TestHALSOptimality: at the end no entry of U or W can move: its slope is 0, or it is 0 and its slope does not point inwards.
func TestHALSOptimality(t *testing.T) {
	a, _, _ := mixture(3, 60, 12, 3, 0.3)
	u0, w0, err := RandomFactors(a, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	f := ok(HALS(t.Context(), a, u0, w0, HALSConfig{Rounds: 4000, Sweeps: 2}))(t)
	var residual, slopeU, slopeW mat.Dense
	residual.Mul(f.U, f.W)
	residual.Sub(&residual, a)
	slopeU.Mul(&residual, f.W.T())
	slopeW.Mul(f.U.T(), &residual)
	scale := mat.Norm(a, 2)
	for name, pair := range map[string][2]*mat.Dense{"U": {f.U, &slopeU}, "W": {f.W, &slopeW}} {
		for i, v := range flat(pair[0]) {
			slope := flat(pair[1])[i] / scale
			if v > 0 && math.Abs(slope) > 1e-4 || v == 0 && slope < -1e-4 || v < 0 {
				t.Fatalf("%s entry %d is %v with slope %v", name, i, v, slope)
			}
		}
	}
}

// TestHALSRefuses: negative activations, other shapes, wrong settings.
func TestHALSRefuses(t *testing.T) {
	one := mat.NewDense(1, 1, []float64{1})
	for what, try := range map[string]func() (*Factors, error){
		"negative": func() (*Factors, error) { return HALS(t.Context(), scaled(-1, one), one, one, DefaultHALS()) },
		"rounds":   func() (*Factors, error) { return HALS(t.Context(), one, one, one, HALSConfig{Sweeps: 1}) },
		"tolerance": func() (*Factors, error) {
			return HALS(t.Context(), one, one, one, HALSConfig{Rounds: 1, Sweeps: 1, Tolerance: 1})
		},
	} {
		if _, err := try(); !errors.Is(err, ErrArgument) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := HALS(t.Context(), one, one, rows([]float64{1, 1}), DefaultHALS()); !errors.Is(err, ErrShape) {
		t.Errorf("shapes: %v", err)
	}
}
