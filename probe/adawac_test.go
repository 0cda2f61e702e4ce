package probe

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"loupe/vectors"
)

// shifted draws rows whose concept lies along column 0 and, in a share of them, along column 1 too, which augmentations draw anew.
func shifted(t *testing.T, seed uint64, n, d int, agree float64) (x, first, second Rows, target Target) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	var values [3][]float32
	positive := make([]bool, n)
	for i := range n {
		positive[i] = i%2 == 1
		sign := -1.0
		if positive[i] {
			sign = 1
		}
		base := make([]float64, d)
		for j := range base {
			base[j] = 0.8 * rng.NormFloat64()
		}
		base[0] += sign
		for a := range values {
			row := make([]float32, d)
			for j, v := range base {
				row[j] = float32(v)
			}
			spurious := 3 * sign
			if a > 0 && rng.Float64() < 0.5 || a == 0 && rng.Float64() > agree {
				spurious = -spurious
			}
			row[1] += float32(spurious)
			values[a] = append(values[a], row...)
		}
	}
	var all [3]Rows
	for a := range values {
		r, err := NewRows(values[a], d)
		if err != nil {
			t.Fatal(err)
		}
		all[a] = r
	}
	return all[0], all[1], all[2], NewBinary("planted", positive)
}

// TestAdaWACShift: the concept and a spurious column agree in training and not later; the probe with consistency over
// augmentations holds on to the concept, the one without does not.
func TestAdaWACShift(t *testing.T) {
	x, first, second, target := shifted(t, 1, 200, 6, 0.99)
	later, _, _, truth := shifted(t, 2, 400, 6, 0.5)
	accuracy := func(lambda float64) float64 {
		cfg := DefaultAdaWAC()
		cfg.Lambda = lambda
		fit, err := FitAdaWAC(t.Context(), x, target, first, second, cfg)
		if err != nil {
			t.Fatal(err)
		}
		scores, err := fit.Scores(later)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, h := range Hits(truth, scores) {
			sum += h / 400
		}
		t.Logf("lambda %v: accuracy %.3f, weights %.2f and %.2f, gap %.2g of %.3f after %d rounds", lambda, sum, fit.Weights[0], fit.Weights[1], fit.Gap, fit.Objective, len(fit.Dual))
		return sum
	}
	plain, consistent := accuracy(0), accuracy(1)
	if consistent < plain+0.1 || consistent < 0.85 { // the concept's column alone gives Phi(1 / 0.8) = 0.89
		t.Errorf("accuracy after the shift: %.3f without consistency, %.3f with", plain, consistent)
	}
}

// TestAdaWACPlain: without consistency the sample weights go to 1, and the probe is the L2-penalised logistic one.
func TestAdaWACPlain(t *testing.T) {
	x, first, second, target := shifted(t, 3, 80, 3, 0.7)
	cfg := DefaultAdaWAC()
	cfg.Lambda, cfg.Tolerance, cfg.Rounds = 0, 1e-4, 400
	fit, err := FitAdaWAC(t.Context(), x, target, first, second, cfg)
	if err != nil {
		t.Fatal(err)
	}
	// mean loss + l2/2 |w|² is the logistic objective over n l2, with C = 1 / (n l2)
	want, err := Logistic(t.Context(), x, []Target{target}, LogisticConfig{C: 1 / (80 * cfg.L2), Standardize: true, Tolerance: 1e-9})
	if err != nil {
		t.Fatal(err)
	}
	for j, w := range want[0].Weights {
		if math.Abs(fit.Weights[j]-w) > 0.05*(1+math.Abs(w)) { // the sample weights reach 1 only in the limit
			t.Errorf("weight %d is %v, the logistic probe's %v", j, fit.Weights[j], w)
		}
	}
}

// TestAdaWACHand: one column, two rows at -1 and 1, augmentations that differ by nothing: consistency costs nothing, so every
// sample weight goes to 1 and the slope solves sigmoid(-w) = l2 w.
func TestAdaWACHand(t *testing.T) {
	x, err := NewRows([]float32{-1, 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultAdaWAC()
	cfg.L2, cfg.Tolerance, cfg.Rounds = 0.25, 1e-5, 500
	fit, err := FitAdaWAC(t.Context(), x, NewBinary("sign", []bool{false, true}), x, x, cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, deviation := x.spread(nil)
	w := fit.Weights[0] * deviation[0] // on standardised activations, whose values are ±1/deviation
	x1 := 1 / deviation[0]
	if slope := x1 * sigmoid(-w*x1); math.Abs(slope-cfg.L2*w) > 1e-3 || math.Abs(fit.Bias[0]) > 1e-6 {
		t.Errorf("w %v: the loss falls by %v and the penalty rises by %v; bias %v", w, slope, cfg.L2*w, fit.Bias[0])
	}
	for i, b := range fit.Sample {
		if b < 0.99 {
			t.Errorf("sample weight %d is %v", i, b)
		}
	}
}

// TestAdaWACSaddle: the gap is small and not negative, and the dual value that the search ends with is its best.
func TestAdaWACSaddle(t *testing.T) {
	x, first, second, target := shifted(t, 5, 100, 8, 0.8)
	fit, err := FitAdaWAC(t.Context(), x, target, first, second, DefaultAdaWAC())
	if err != nil {
		t.Fatal(err)
	}
	if fit.Gap < -1e-9 || fit.Gap > 0.05*fit.Objective {
		t.Errorf("gap %v of %v", fit.Gap, fit.Objective)
	}
	for i, b := range fit.Sample {
		if b < 0 || b > 1 {
			t.Errorf("sample weight %d is %v", i, b)
		}
	}
}

func TestAdaWACGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	const n, d = 5, 4
	p := &adaLoss{d: d, cfg: DefaultAdaWAC()}
	for range n * d {
		p.x, p.gap = append(p.x, rng.NormFloat64()), append(p.gap, rng.NormFloat64())
	}
	for i := range n {
		p.sign, p.beta = append(p.sign, float64(2*(i%2)-1)), append(p.beta, rng.Float64())
	}
	at := make([]float64, d+1)
	for j := range at {
		at[j] = rng.NormFloat64()
	}
	grad := make([]float64, d+1)
	p.eval(at, grad)
	const h = 1e-6
	for j := range at {
		old := at[j]
		at[j] = old + h
		up := p.eval(at, nil)
		at[j] = old - h
		down := p.eval(at, nil)
		at[j] = old
		if want := (up - down) / (2 * h); math.Abs(grad[j]-want) > 1e-8*(1+math.Abs(want)) {
			t.Errorf("derivative %d is %v, by differences %v", j, grad[j], want)
		}
	}
}

func TestAdaWACRefuses(t *testing.T) {
	x, first, second, target := shifted(t, 7, 10, 3, 1)
	for name, c := range map[string]struct {
		cfg    AdaWACConfig
		second Rows
		target Target
		want   error
	}{
		"no penalty":          {AdaWACConfig{Lambda: 1, Step: 1, Rounds: 1, Tolerance: 1}, second, target, vectors.ErrArgument},
		"fewer augmentations": {DefaultAdaWAC(), second.Take([]int{0, 1}), target, vectors.ErrShape},
		"a number":            {DefaultAdaWAC(), second, NewRegression("n", make([]float64, 10)), vectors.ErrArgument},
	} {
		if _, err := FitAdaWAC(t.Context(), x, c.target, first, c.second, c.cfg); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
