package vectors

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// TestNMFPlanted: concepts with separate supports are recovered up to order and scale, and the error never rises.
func TestNMFPlanted(t *testing.T) {
	const n, d, r = 120, 24, 4
	rng := rand.New(rand.NewPCG(1, 1))
	w, u := mat.NewDense(r, d, nil), mat.NewDense(n, r, nil)
	for j := range d {
		w.Set(j%r, j, 0.5+rng.Float64())
	}
	for i := range n {
		u.Set(i, rng.IntN(r), 1+rng.Float64())
		u.Set(i, i%r, 0.5+rng.Float64())
	}
	var a mat.Dense
	a.Mul(u, w)
	u0, w0, err := RandomFactors(&a, r, 5)
	if err != nil {
		t.Fatal(err)
	}
	f := ok(NMF(t.Context(), &a, u0, w0, 400))(t)
	for i := 1; i < len(f.Errors); i++ {
		if f.Errors[i] > f.Errors[i-1]*(1+1e-12) {
			t.Fatalf("update %d raises the error from %v to %v", i, f.Errors[i-1], f.Errors[i])
		}
	}
	for c := range r {
		best := 0.0
		for k := range r {
			best = max(best, ok(Cosine(w.RawRowView(c), f.W.RawRowView(k)))(t))
		}
		if best < 0.98 {
			t.Errorf("concept %d: best cosine %.3f", c, best)
		}
	}
	if left := f.Errors[len(f.Errors)-1] / mat.Norm(&a, 2); left > 0.02 {
		t.Errorf("relative error %.3f", left)
	}
}

// TestNMFHand: from U = W = 1 one update of a = 4 gives U = 4 and leaves W = 1.
func TestNMFHand(t *testing.T) {
	one := mat.NewDense(1, 1, []float64{1})
	f := ok(NMF(t.Context(), mat.NewDense(1, 1, []float64{4}), one, one, 1))(t)
	closeTo(t, "U, W, error", []float64{f.U.At(0, 0), f.W.At(0, 0), f.Errors[0]}, []float64{4, 1, 0}, 1e-8)
}

// ishigami is sin x1 + 7 sin² x2 + 0.1 x3⁴ sin x1; on [-pi, pi]³ its total indices are .5576, .4424, .2437 and its first-order
// ones .3139, .4424, 0.
func ishigami(x1, x2, x3 float64) float64 {
	return math.Sin(x1) + 7*math.Pow(math.Sin(x2), 2) + 0.1*math.Pow(x3, 4)*math.Sin(x1)
}

// TestSobolIshigami: plain random samples.
func TestSobolIshigami(t *testing.T) {
	const n = 1 << 15
	uniform := func(seed uint64) *mat.Dense {
		rng := rand.New(rand.NewPCG(seed, 2))
		m := mat.NewDense(n, 3, nil)
		for i := range m.RawMatrix().Data {
			m.RawMatrix().Data[i] = (2*rng.Float64() - 1) * math.Pi
		}
		return m
	}
	f := func(x *mat.Dense) ([]float64, error) {
		out := make([]float64, n)
		for i := range out {
			r := x.RawRowView(i)
			out[i] = ishigami(r[0], r[1], r[2])
		}
		return out, nil
	}
	s := ok(SobolIndices(t.Context(), f, uniform(1), uniform(2)))(t)
	for i, want := range []float64{0.5576, 0.4424, 0.2437} {
		if math.Abs(s.Total[i]-want) > 0.02 {
			t.Errorf("total index %d is %.4f, want %.4f", i, s.Total[i], want)
		}
	}
	for i, want := range []float64{0.3139, 0.4424, 0} {
		if math.Abs(s.First[i]-want) > 0.03 {
			t.Errorf("first-order index %d is %.4f, want %.4f", i, s.First[i], want)
		}
	}
}

// TestSobolAdditive: for a sum of inputs, Jansen's total index of a constant input is exactly 0.
func TestSobolAdditive(t *testing.T) {
	f := func(x *mat.Dense) ([]float64, error) { return mat.Col(nil, 0, x), nil }
	s := ok(SobolIndices(t.Context(), f, normalRows(1, 64, 2), normalRows(2, 64, 2)))(t)
	if s.Total[1] != 0 || s.First[1] != 0 || s.Total[0] < 0.5 {
		t.Errorf("indices %v and %v", s.Total, s.First)
	}
	constant := func(x *mat.Dense) ([]float64, error) { return make([]float64, 64), nil }
	if _, err := SobolIndices(t.Context(), constant, normalRows(1, 64, 2), normalRows(2, 64, 2)); err == nil {
		t.Error("a constant function has indices")
	}
}

// TestLensHand: two tokens with logits 0 and ln 3 have probabilities 1/4 and 3/4.
func TestLensHand(t *testing.T) {
	lens := &Lens{Norm: NoNorm, Unembed: rows([]float64{0, 1, 0}), Bias: []float64{0, 0, math.Inf(-1)}}
	lens.Bias[2] = -800 // a token of probability 0
	r := ok(lens.Read(rows([]float64{math.Log(3)}), 2))(t)
	if r.Top[0][0] != 1 || r.Top[0][1] != 0 {
		t.Errorf("top tokens %v", r.Top)
	}
	closeTo(t, "log-probabilities", r.LogProb.RawRowView(0)[:2], []float64{math.Log(0.25), math.Log(0.75)}, 1e-14)
	closeTo(t, "entropy", r.Entropy, []float64{-0.25*math.Log(0.25) - 0.75*math.Log(0.75)}, 1e-14)
	other := ok(lens.Read(rows([]float64{0}), 1))(t)
	closeTo(t, "KL", ok(KL(r, other))(t), []float64{0.25*math.Log(0.5) + 0.75*math.Log(1.5)}, 1e-14)
	closeTo(t, "KL to itself", ok(KL(r, r))(t), []float64{0}, 1e-15)
	// norms of (1, -1, 1, -1): mean 0 and mean square 1
	h := rows([]float64{1, -1, 1, -1})
	for _, kind := range []NormKind{LayerNorm, RMSNorm} {
		l := &Lens{Norm: kind, Eps: 3, Gamma: []float64{2, 2, 2, 2}, Beta: []float64{1, 1, 1, 1}, Unembed: identity(4)}
		want := []float64{1, -1, 1, -1}
		if kind == LayerNorm {
			want = []float64{2, 0, 2, 0}
		}
		closeTo(t, string(kind), flat(ok(l.Logits(h))(t)), want, 1e-15)
	}
}

// TestAttributionSums: parts sum to the logit under every norm; a missing component is an error.
func TestAttributionSums(t *testing.T) {
	for _, kind := range []NormKind{LayerNorm, RMSNorm, NoNorm} {
		lens := &Lens{Norm: kind, Eps: 1e-5, Gamma: flat(normalRows(1, 1, 8)), Beta: flat(normalRows(2, 1, 8)), Unembed: normalRows(3, 8, 20), Bias: flat(normalRows(4, 1, 20))}
		components := []*mat.Dense{normalRows(5, 3, 8), normalRows(6, 3, 8), normalRows(7, 3, 8)}
		residual := mat.NewDense(3, 8, nil)
		for _, c := range components {
			residual.Add(residual, c)
		}
		a := ok(lens.Attribute(residual, components, []int{0, 19, 5}))(t)
		for i := range 3 {
			closeTo(t, string(kind), []float64{a.Constant[i] + floats.Sum(mat.Col(nil, i, a.Parts))}, a.Logit[i:i+1], 1e-13)
		}
		if a.Gap > 1e-12 {
			t.Errorf("%s: gap %.3g", kind, a.Gap)
		}
		if _, err := lens.Attribute(residual, components[:2], []int{0, 19, 5}); err == nil {
			t.Errorf("%s: a missing component was not noticed", kind)
		}
		if _, err := lens.Attribute(residual, components, []int{0, 20, 5}); err == nil {
			t.Errorf("%s: token 20 of 20 was accepted", kind)
		}
	}
}

// TestLargestIndices: the quick way agrees with sorting, ties included.
func TestLargestIndices(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	v := make([]float64, 500)
	for range 50 {
		for i := range v {
			v[i] = float64(rng.IntN(40))
		}
		k := 1 + rng.IntN(60)
		if got, want := largestIndices(v, k), sortedIndices(v)[:k]; !slices.Equal(got, want) {
			t.Fatalf("top %d is %v, want %v", k, got, want)
		}
	}
}
