package bottleneck

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"loupe/vectors"
)

var losses = []string{LossL1, LossGumbel, LossContrastive}

// TestSparseGradients compares the derivatives of every loss with central differences, with equal noise.
func TestSparseGradients(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	s, y := normal(rng, 7, 4), []int{0, 1, 2, 0, 1, 2, 0}
	for _, loss := range losses {
		cfg := DefaultSparse(loss)
		cfg.Tau, cfg.Lambda = 0.7, 1.3
		model := &Sparse{Layer: normal(rng, 4, 4), Head: Head{Weights: normal(rng, 3, 4), Bias: []float64{0.1, -0.2, 0.3}}}
		at := func() sparseGradients {
			return (&sparseStep{model, cfg, rand.New(rand.NewPCG(9, 9))}).gradients(s, y)
		}
		g := at()
		for name, part := range map[string]struct{ w, g []float64 }{
			"layer": {model.Layer.RawMatrix().Data, g.layer.RawMatrix().Data}, "head": {model.Head.Weights.RawMatrix().Data, g.head.RawMatrix().Data},
			"bias": {model.Head.Bias, g.bias},
		} {
			for i := range part.w {
				const h = 1e-5
				part.w[i] += h
				up := at().value
				part.w[i] -= 2 * h
				down := at().value
				part.w[i] += h
				nearly(t, loss+" "+name, part.g[i], (up-down)/(2*h), 1e-7) // h² and rounding over h
			}
		}
	}
}

// TestGumbelLossFlat: without noise the published loss is least where all concepts are equal, with the logarithms of the
// numbers of concepts and texts, and sharper activations cost more.
func TestGumbelLossFlat(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	z := normal(rng, 5, 3)
	at := func(scale float64) float64 {
		var scaled mat.Dense
		scaled.Scale(scale, z)
		total := 0.0
		for range 2000 {
			total += gumbelLoss(&scaled, mat.NewDense(5, 3, nil), SparseConfig{Lambda: 1, Tau: 1}, rng)
		}
		return total / 2000
	}
	if flat, mild, sharp := at(0), at(1), at(5); !(flat < mild && mild < sharp) {
		t.Errorf("activations times 0, 1, 5 cost %.3f, %.3f, %.3f", flat, mild, sharp)
	}
	// softmax of two Gumbel deviates is uniform: -log p has mean 1, along either axis of a 2 x 2 batch
	square, total := mat.NewDense(2, 2, nil), 0.0
	for range 20_000 {
		total += gumbelLoss(square, mat.NewDense(2, 2, nil), SparseConfig{Lambda: 1, Tau: 1}, rng)
	}
	nearly(t, "mean at 0", total/20_000, 1, 0.02) // four standard errors of 20,000 batches
}

// TestContrastiveHand: two texts, two concepts, z = [[1, 0], [0, 1]], each text paired with its own: all four softmaxes give
// 1/(1+1/e); both texts paired with concept 0: the second text has 1/(1+e) along the concepts, and 1/(1+e) among the texts.
func TestContrastiveHand(t *testing.T) {
	z, cfg := mat.NewDense(2, 2, []float64{1, 0, 0, 1}), SparseConfig{Lambda: 1, Tau: 1}
	near, far := math.Log1p(math.Exp(-1)), math.Log1p(math.E)
	nearly(t, "own", contrastiveLoss(z, mat.NewDense(2, 2, nil), []int{0, 1}, cfg), near, 1e-15)
	nearly(t, "same", contrastiveLoss(z, mat.NewDense(2, 2, nil), []int{0, 0}, cfg), (near+far)/2, 1e-15)
}

// TestSparsePlanted: every loss learns planted concepts, weights of L1's layer are exactly 0 where nothing asks for them, and
// equal seeds give equal weights.
func TestSparsePlanted(t *testing.T) {
	p := plant(13, 300, 3, 2, 20, 0.15)
	s, err := FitScorer(p.bank, p.x, Cosine)
	if err != nil {
		t.Fatal(err)
	}
	scores, err := s.Apply(p.x)
	if err != nil {
		t.Fatal(err)
	}
	for _, loss := range losses {
		cfg := DefaultSparse(loss)
		if loss == LossL1 {
			cfg.Lambda = 0.5
		}
		fit, err := FitSparse(t.Context(), scores, p.y, 3, cfg, 1)
		if err != nil {
			t.Fatal(err)
		}
		logits, err := fit.Logits(scores)
		if err != nil {
			t.Fatal(err)
		}
		hits, err := Hits(logits, p.y)
		if err != nil {
			t.Fatal(err)
		}
		if a := mean(hits); a < 0.97 {
			t.Errorf("%s: accuracy %.3f", loss, a)
		}
		z, err := fit.Concepts(scores)
		if err != nil {
			t.Fatal(err)
		}
		for j := range 6 {
			if r := stat.Correlation(mat.Col(nil, j, z), mat.Col(nil, j, scores), nil); r < 0.5 {
				t.Errorf("%s: activation %d has correlation %.2f with its score", loss, j, r)
			}
		}
		zeros := floats.Count(func(w float64) bool { return w == 0 }, fit.Layer.RawMatrix().Data)
		if (loss == LossL1) != (zeros > 0) {
			t.Errorf("%s: %d weights of the layer are 0", loss, zeros)
		}
		again, err := FitSparse(t.Context(), scores, p.y, 3, cfg, 1)
		if err != nil || !mat.Equal(again.Layer, fit.Layer) {
			t.Errorf("%s: again: %v", loss, err)
		}
	}
}

func TestSparseRefuses(t *testing.T) {
	s := mat.NewDense(2, 1, []float64{1, -1})
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	bad := DefaultSparse(LossL1)
	bad.Loss = "hinge"
	for name, c := range map[string]struct {
		ctx  context.Context
		y    []int
		cfg  SparseConfig
		want error
	}{
		"labels":   {t.Context(), []int{0}, DefaultSparse(LossL1), vectors.ErrShape},
		"settings": {t.Context(), []int{0, 1}, bad, vectors.ErrArgument},
		"stopped":  {stopped, []int{0, 1}, DefaultSparse(LossGumbel), context.Canceled},
	} {
		if _, err := FitSparse(c.ctx, s, c.y, 2, c.cfg, 1); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGateGradients compares the gates' derivatives with central differences at fixed noise, away from where gates saturate.
func TestGateGradients(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 1))
	cfg := DefaultGates()
	cfg.Lambda = 0.3
	s, y, noise := normal(rng, 8, 3), []int{0, 1, 0, 1, 0, 1, 0, 1}, normal(rng, 1, 6).RawRowView(0)
	g := newGated(2, 3, cfg)
	copy(g.weights.RawMatrix().Data, normal(rng, 1, 6).RawRowView(0))
	for i := range g.logAlpha {
		g.logAlpha[i], noise[i] = 0.3*noise[i], noise[i]/2
	}
	g.gradients(s, y, noise)
	byWeight, byAlpha, byBias := mat.DenseCopyOf(g.byWeight).RawMatrix().Data, append([]float64(nil), g.byAlpha...), append([]float64(nil), g.byBias...)
	for name, part := range map[string]struct{ w, g []float64 }{"weights": {g.weights.RawMatrix().Data, byWeight}, "gates": {g.logAlpha, byAlpha}, "bias": {g.bias, byBias}} {
		for i := range part.w {
			const h = 1e-5
			part.w[i] += h
			up := g.gradients(s, y, noise)
			part.w[i] -= 2 * h
			down := g.gradients(s, y, noise)
			part.w[i] += h
			nearly(t, name, part.g[i], (up-down)/(2*h), 1e-7) // h² and rounding over h
		}
	}
}

// TestHardConcrete: the gate is half open at 0, closed from sigmoid = 1/12 down and open from 11/12 up, and the sampled gate
// is above 0 as often as the penalty says.
func TestHardConcrete(t *testing.T) {
	for logit, want := range map[float64]float64{0: 0.5, -3: 0, 3: 1, math.Log(1. / 11): 0} {
		gate, _ := hardConcrete(logit, 1)
		nearly(t, "gate", gate, want, 1e-12)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	cfg, open := DefaultGates(), 0
	const a, draws = -0.5, 40_000
	for range draws {
		if gate, _ := hardConcrete((a+gumbel(rng)-gumbel(rng))/cfg.Tau, 1); gate > 0 {
			open++
		}
	}
	nearly(t, "share that is open", float64(open)/draws, sigmoid(a-cfg.Tau*math.Log(0.1/1.1)), 0.01) // four standard errors
}

// TestGatesPlanted: gates keep open the concepts that tell the classes apart, and close those that are noise.
func TestGatesPlanted(t *testing.T) {
	p := plant(17, 400, 2, 2, 20, 0.15)
	bank := p.bank
	extra := RandomBank(Bank{Names: make([]string, 6), Vectors: mat.NewDense(6, 20, nil)}, 1)
	all := mat.NewDense(10, 20, nil)
	all.Stack(bank.Vectors, extra.Vectors)
	for i := 4; i < 10; i++ { // the noise is no mixture of the concepts
		for j := range 4 {
			all.Set(i, j, 0)
		}
	}
	s, err := FitScorer(Bank{Names: append(bank.Names, extra.Names...), Vectors: all}, p.x, Projection)
	if err != nil {
		t.Fatal(err)
	}
	scores, err := s.Apply(p.x)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultGates()
	cfg.Lambda = 0.01
	h, err := FitGates(t.Context(), scores, p.y, 2, cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	logits, err := h.Logits(scores)
	if err != nil {
		t.Fatal(err)
	}
	hits, err := Hits(logits, p.y)
	if err != nil {
		t.Fatal(err)
	}
	if a := mean(hits); a < 0.97 {
		t.Errorf("accuracy %.3f", a)
	}
	for j := range 10 {
		open := h.Weights.At(0, j) != 0 || h.Weights.At(1, j) != 0
		if open != (j < 4) {
			t.Errorf("concept %d has weights %v", j, mat.Col(nil, j, h.Weights))
		}
	}
	free := cfg
	free.Lambda = 0
	if h, err = FitGates(t.Context(), scores, p.y, 2, free, 1); err != nil || h.Nonzero()[0] != 10 {
		t.Errorf("%v: without a price %v weights are open", err, h.Nonzero())
	}
	if _, err := FitGates(t.Context(), scores, p.y, 2, GateConfig{}, 1); !errors.Is(err, vectors.ErrArgument) {
		t.Error(err)
	}
}
