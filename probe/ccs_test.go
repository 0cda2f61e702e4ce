package probe

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"loupe/vectors"
)

// plantedPairs are statements put as true and as false: a truth direction with the sign of the truth, a large offset that
// tells the phrasing, and nuisance that both sides share.
func plantedPairs(n, d int) (yes, no Rows, positive []bool, truth []float64) {
	rng := rand.New(rand.NewPCG(51, 52))
	yes, no = Rows{N: n, D: d}, Rows{N: n, D: d}
	truth = make([]float64, d)
	for j := range truth {
		truth[j] = rng.NormFloat64() / math.Sqrt(float64(d))
	}
	positive = make([]bool, n)
	for i := range n {
		positive[i] = rng.IntN(2) == 1
		sign := -1.0
		if positive[i] {
			sign = 1
		}
		for j := range d {
			shared := 0.7 * rng.NormFloat64()
			offset := 3 * math.Sin(float64(j))
			yes.Values = append(yes.Values, float32(4*sign*truth[j]+shared+offset+0.3*rng.NormFloat64()))
			no.Values = append(no.Values, float32(-4*sign*truth[j]+shared-offset+0.3*rng.NormFloat64()))
		}
	}
	return yes, no, positive, truth
}

// TestCCSFindsTheTruth: without labels the planted direction is found and tells held-out pairs.
func TestCCSFindsTheTruth(t *testing.T) {
	yes, no, positive, truth := plantedPairs(400, 16)
	train, test := upTo(300), upTo(400)[300:]
	c, err := FitCCS(t.Context(), yes.Take(train), no.Take(train), DefaultCCS(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Orient(yes.Take(train[:20]), no.Take(train[:20]), positive[:20]); err != nil {
		t.Fatal(err)
	}
	s, err := c.Scores(yes.Take(test), no.Take(test))
	if err != nil {
		t.Fatal(err)
	}
	right := 0.0
	for i, v := range s {
		right += share((v > 0) == positive[test[i]]) / float64(len(s))
	}
	cosine, err := vectors.Cosine(c.Yes.Weights, truth)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("held-out accuracy %.3f, cosine with the planted direction %.3f, consistency %.4f, confidence %.4f, losses %.3f", right, cosine, c.Consistency, c.Confidence, c.Losses)
	if right < 0.95 || cosine < 0.8 {
		t.Errorf("accuracy %.3f, cosine %.3f; want 0.95 and 0.8", right, cosine)
	}
}

// TestCCSNormalisesEachSide: an offset of one side changes nothing.
func TestCCSNormalisesEachSide(t *testing.T) {
	yes, no, _, _ := plantedPairs(100, 6)
	a, err := FitCCS(t.Context(), yes, no, DefaultCCS(), 1)
	if err != nil {
		t.Fatal(err)
	}
	moved := Rows{N: no.N, D: no.D}
	for i, v := range no.Values {
		moved.Values = append(moved.Values, 2*v+float32(i%no.D))
	}
	b, err := FitCCS(t.Context(), yes, moved, DefaultCCS(), 1)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "weights", b.Yes.Weights, a.Yes.Weights, 1e-3)
}

func TestCCSGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(61, 62))
	p := &pairLoss{d: 4, l2: 0.3}
	for side := range p.x {
		for range 10 * p.d {
			p.x[side] = append(p.x[side], rng.NormFloat64())
		}
	}
	at, grad := make([]float64, 5), make([]float64, 5)
	for i := range at {
		at[i] = rng.NormFloat64()
	}
	p.eval(at, grad)
	for i := range at {
		const h = 1e-6
		old := at[i]
		at[i] = old + h
		up, _, _ := p.eval(at, nil)
		at[i] = old - h
		down, _, _ := p.eval(at, nil)
		at[i] = old
		if want := (up - down) / (2 * h); math.Abs(grad[i]-want) > 1e-8 {
			t.Errorf("gradient[%d] is %v, finite difference %v", i, grad[i], want)
		}
	}
}

// TestCCSLossByHand: p = 1/2 on both sides costs 0 in consistency and 1/4 in confidence.
func TestCCSLossByHand(t *testing.T) {
	p := &pairLoss{d: 1, x: [2][]float64{{1}, {-1}}}
	if v, consistency, confidence := p.eval([]float64{0, 0}, nil); v != 0.25 || consistency != 0 || confidence != 0.25 {
		t.Errorf("loss %v = %v + %v", v, consistency, confidence)
	}
	// w = ln 3: p = 3/4 and 1/4
	if v, consistency, confidence := p.eval([]float64{math.Log(3), 0}, nil); math.Abs(consistency) > 1e-15 || math.Abs(confidence-1.0/16) > 1e-15 || v != consistency+confidence {
		t.Errorf("loss %v = %v + %v", v, consistency, confidence)
	}
	if _, err := FitCCS(t.Context(), Rows{N: 1, D: 1, Values: []float32{1}}, Rows{N: 1, D: 1, Values: []float32{1}}, DefaultCCS(), 1); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("one pair gives %v", err)
	}
}
