package bottleneck

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// TestHeadGradient compares the gradient of the smooth part with central differences.
func TestHeadGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	cfg := DefaultHead()
	cfg.Alpha, cfg.Lambda = 0.3, 0.7
	p := &headProblem{u: normal(rng, 9, 4), y: []int{0, 1, 2, 0, 1, 2, 0, 1, 2}, offset: normal(rng, 9, 3), n: 9, m: 4, k: 3, cfg: cfg, logits: mat.NewDense(9, 3, nil)}
	at, gradient := normal(rng, 1, 15).RawRowView(0), make([]float64, 15)
	p.smooth(at, gradient)
	const h = 1e-5
	for i := range at {
		moved := append([]float64(nil), at...)
		moved[i] += h
		up := p.smooth(moved, nil)
		moved[i] -= 2 * h
		nearly(t, "derivative", gradient[i], (up-p.smooth(moved, nil))/(2*h), 1e-8) // h² and rounding over h
	}
}

// TestHeadHand: one score of 1 for class 1 and -1 for class 0. By symmetry the weights are w and -w and the biases 0, and at the
// minimum p = softmax(2w) holds 1 - p = lambda alpha + lambda (1-alpha) w.
func TestHeadHand(t *testing.T) {
	u := mat.NewDense(2, 1, []float64{1, -1})
	cfg := HeadConfig{Lambda: 0.2, Alpha: 0.5, Tolerance: 1e-10, Steps: 10_000}
	h, err := FitHead(t.Context(), u, []int{1, 0}, 2, nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := h.Weights.At(1, 0)
	nearly(t, "opposite weight", h.Weights.At(0, 0), -w, 1e-8)
	nearly(t, "bias", h.Bias[0], 0, 1e-8)
	nearly(t, "optimum", 1/(1+math.Exp(2*w)), 0.1+0.1*w, 1e-8)

	// from the largest derivative at 0 on, 1/2, every weight is 0
	cfg.Alpha, cfg.Lambda = 1, 0.501
	if h, err = FitHead(t.Context(), u, []int{1, 0}, 2, nil, cfg); err != nil || h.Nonzero()[0]+h.Nonzero()[1] != 0 {
		t.Errorf("%v: %v", err, mat.Formatted(h.Weights))
	}
	cfg.Lambda = 0.499
	if h, err = FitHead(t.Context(), u, []int{1, 0}, 2, nil, cfg); err != nil || h.Nonzero()[0]+h.Nonzero()[1] != 2 {
		t.Errorf("%v: %v", err, mat.Formatted(h.Weights))
	}
}

// TestHeadOptimum checks the conditions of the minimum on random data with given logits: where a weight is not 0 its
// derivative is -lambda alpha times its sign, elsewhere it is within lambda alpha.
func TestHeadOptimum(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	n, m, k := 120, 15, 3
	u, offset, y := normal(rng, n, m), normal(rng, n, k), make([]int, n)
	for i := range y {
		y[i] = i % k
		u.Set(i, y[i], u.At(i, y[i])+2)
	}
	cfg := HeadConfig{Lambda: 0.05, Alpha: 0.9, Tolerance: 1e-9, Steps: 20_000}
	h, err := FitHead(t.Context(), u, y, k, offset, cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &headProblem{u: u, y: y, offset: offset, n: n, m: m, k: k, cfg: cfg, logits: mat.NewDense(n, k, nil)}
	at := append(append([]float64(nil), h.Weights.RawMatrix().Data...), h.Bias...)
	gradient := make([]float64, len(at))
	p.smooth(at, gradient)
	bound, zeros := cfg.Lambda*cfg.Alpha, 0
	for i, g := range gradient {
		switch {
		case i >= k*m:
			nearly(t, "bias", g, 0, 1e-7)
		case at[i] == 0:
			zeros++
			if math.Abs(g) > bound+1e-7 {
				t.Errorf("weight %d is 0 with derivative %v", i, g)
			}
		default:
			nearly(t, "derivative", g, -math.Copysign(bound, at[i]), 1e-7)
		}
	}
	if zeros < 10 || zeros > k*m-k {
		t.Errorf("%d of %d weights are 0", zeros, k*m)
	}
}

func TestHeadRefuses(t *testing.T) {
	u := mat.NewDense(2, 1, []float64{1, -1})
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	short := DefaultHead()
	short.Steps, short.Lambda = 1, 1e-6
	for name, c := range map[string]struct {
		ctx  context.Context
		y    []int
		k    int
		cfg  HeadConfig
		want error
	}{
		"labels":        {t.Context(), []int{0}, 2, DefaultHead(), vectors.ErrShape},
		"missing class": {t.Context(), []int{0, 0}, 2, DefaultHead(), vectors.ErrClasses},
		"label":         {t.Context(), []int{0, 2}, 2, DefaultHead(), vectors.ErrClasses},
		"one class":     {t.Context(), []int{0, 0}, 1, DefaultHead(), vectors.ErrClasses},
		"settings":      {t.Context(), []int{0, 1}, 2, HeadConfig{}, vectors.ErrArgument},
		"steps":         {t.Context(), []int{0, 1}, 2, short, vectors.ErrNotConverged},
		"stopped":       {stopped, []int{0, 1}, 2, DefaultHead(), context.Canceled},
	} {
		if _, err := FitHead(c.ctx, u, c.y, c.k, nil, c.cfg); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPostHocPlanted: the head of planted concepts is right, gives each class weight on its own concepts alone, and is sparse;
// a class that no concept tells apart is won back by the residual and only by it.
func TestPostHocPlanted(t *testing.T) {
	p := plant(11, 400, 4, 3, 30, 0.15)
	s, err := FitScorer(p.bank, p.x, Projection)
	if err != nil {
		t.Fatal(err)
	}
	fit, err := FitPostHoc(t.Context(), s, p.x, p.y, 4, DefaultPostHoc())
	if err != nil {
		t.Fatal(err)
	}
	logits, err := fit.Logits(p.x)
	if err != nil {
		t.Fatal(err)
	}
	hits, err := Hits(logits, p.y)
	if err != nil {
		t.Fatal(err)
	}
	if a := mean(hits); a < 0.98 {
		t.Errorf("accuracy %.3f", a)
	}
	for j, own := range p.of {
		weights := mat.Col(nil, j, fit.Head.Weights)
		if floats.MaxIdx(weights) != own {
			t.Errorf("concept %d of class %d has weights %.2f", j, own, weights)
		}
	}

	// labels that depend on a direction without a concept
	hidden := make([]int, 400)
	for i := range hidden {
		if p.x.At(i, 20) > 0 {
			hidden[i] = 1
		}
	}
	accuracy := map[bool]float64{}
	for _, residual := range []bool{false, true} {
		cfg := DefaultPostHoc()
		cfg.Residual, cfg.Rest.Lambda, cfg.Head.Lambda = residual, 1e-4, 0.05
		fit, err := FitPostHoc(t.Context(), s, p.x, hidden, 2, cfg)
		if err != nil {
			t.Fatal(err)
		}
		logits, err := fit.Logits(p.x)
		if err != nil {
			t.Fatal(err)
		}
		hits, err := Hits(logits, hidden)
		if err != nil {
			t.Fatal(err)
		}
		accuracy[residual] = mean(hits)
	}
	if accuracy[false] > 0.65 || accuracy[true] < 0.95 {
		t.Errorf("accuracy without and with residual: %v", accuracy)
	}
}
