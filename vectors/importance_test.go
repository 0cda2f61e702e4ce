package vectors

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// TestImportanceAgreesWhenLinear: in a last linear layer gradient x input, integrated gradients, occlusion and Shapley values are
// all g_k u_k to 1e-5, for every way to extract concepts, and Sobol's total indices are the shares of their squares.
func TestImportanceAgreesWhenLinear(t *testing.T) {
	const n, d, r = 20, 30, 5
	signed, _ := clustered(1, 80, d, r)
	mixed, _, _ := mixture(2, 80, d, r, 0.05)
	head := Linear{Weights: flat(normalRows(3, 1, d)), Bias: 0.7}
	worst := 0.0
	for _, c := range []struct {
		x Extractor
		a *mat.Dense
	}{
		{NMFExtractor{Config: DefaultHALS()}, mixed}, {SemiNMFExtractor{Config: DefaultHALS()}, signed},
		{KMeansExtractor{Starts: 10, Rounds: 20}, signed}, {PCAExtractor{}, signed}, {SAEExtractor{SAE: reluSAE(4, d, 12)}, signed},
	} {
		concepts := ok(c.x.Extract(t.Context(), c.a, r, 1))(t)
		u := mat.DenseCopyOf(concepts.U.Slice(0, n, 0, r))
		f := concepts.Score(head)
		slope := ok(f.Gradients(t.Context(), u))(t)
		var want mat.Dense
		want.MulElem(slope, u)
		for _, x := range []Importance{GradientImportance{}, IntegratedImportance{Points: 4}, OcclusionImportance{}, ShapleyImportance{Exact: 8}, ShapleyImportance{Permutations: 2}} {
			got := ok(x.Attribute(t.Context(), f, u, 1))(t)
			closeTo(t, c.x.Name()+": "+x.Name(), flat(got), flat(&want), 1e-5)
			got.Sub(got, &want)
			worst = max(worst, mat.Norm(got, math.Inf(1)))
		}
		sobol := ok(SobolImportance{Points: 1024}.Attribute(t.Context(), f, u, 1))(t)
		for i := range n {
			square := make([]float64, r)
			floats.MulTo(square, want.RawRowView(i), want.RawRowView(i))
			if all := floats.Sum(square); all > 1e-12 {
				floats.Scale(1/all, square)
			}
			closeTo(t, c.x.Name()+": sobol", sobol.RawRowView(i), square, 0.02)
		}
	}
	t.Logf("largest difference %.1e", worst)
}

// TestImportanceHand: f = u1 u2. Gradients and occlusion give each the whole, integrated gradients and Shapley half. With
// masks in [0, 1] the variance of m1 m2 is 7/144 and the total index of each is (1/3)(1/12)/(7/144) = 4/7.
func TestImportanceHand(t *testing.T) {
	f := ScoreFunc{
		Value:    func(u []float64) float64 { return u[0] * u[1] },
		Gradient: func(u []float64) []float64 { return []float64{u[1], u[0]} },
	}
	u := rows([]float64{2, 3}, []float64{0, 5})
	for _, c := range []struct {
		x    Importance
		want []float64
		tol  float64
	}{
		{GradientImportance{}, []float64{6, 6, 0, 0}, 1e-14}, {IntegratedImportance{Points: 1}, []float64{3, 3, 0, 0}, 1e-14},
		{OcclusionImportance{}, []float64{6, 6, 0, 0}, 1e-14}, {ShapleyImportance{Exact: 2}, []float64{3, 3, 0, 0}, 1e-14},
		{ShapleyImportance{Permutations: 1}, []float64{3, 3, 0, 0}, 1e-14}, {SobolImportance{Points: 2048}, []float64{4. / 7, 4. / 7, 0, 0}, 0.02},
	} {
		closeTo(t, c.x.Name(), flat(ok(c.x.Attribute(t.Context(), f, u, 1))(t)), c.want, c.tol)
	}
	vote := ScoreFunc{Value: func(u []float64) float64 { // two of three
		if floats.Sum(u) >= 2 {
			return 1
		}
		return 0
	}}
	closeTo(t, "vote", flat(ok(ShapleyImportance{Exact: 3}.Attribute(t.Context(), vote, rows([]float64{1, 1, 1}), 0))(t)), []float64{1. / 3, 1. / 3, 1. / 3}, 1e-14)
	if _, err := (GradientImportance{}).Attribute(t.Context(), vote, u, 0); !errors.Is(err, ErrArgument) {
		t.Errorf("no gradient: %v", err)
	}
}

// TestSobolImportanceIshigami: Ishigami's function of masks has its analytic total indices to 0.02.
func TestSobolImportanceIshigami(t *testing.T) {
	f := ScoreFunc{Value: func(m []float64) float64 {
		return ishigami(math.Pi*(2*m[0]-1), math.Pi*(2*m[1]-1), math.Pi*(2*m[2]-1))
	}}
	for seed := range uint64(5) {
		got := ok(SobolImportance{Points: 2048}.Attribute(t.Context(), f, rows([]float64{1, 1, 1}), seed))(t)
		for k, want := range []float64{0.5576, 0.4424, 0.2437} {
			if math.Abs(got.At(0, k)-want) > 0.02 {
				t.Errorf("seed %d: index %d is %.4f, want %.4f", seed, k, got.At(0, k), want)
			}
		}
	}
}

// network is a two-layer tanh network of r inputs.
func network(r int) ScoreFunc {
	in, out := normalRows(11, 7, r), flat(normalRows(12, 1, 7))
	hidden := func(u []float64) []float64 {
		h := make([]float64, 7)
		for j := range h {
			h[j] = math.Tanh(floats.Dot(in.RawRowView(j), u) + 0.1)
		}
		return h
	}
	return ScoreFunc{
		Value: func(u []float64) float64 { return floats.Dot(hidden(u), out) },
		Gradient: func(u []float64) []float64 {
			g := make([]float64, r)
			for j, h := range hidden(u) {
				floats.AddScaled(g, out[j]*(1-h*h), in.RawRowView(j))
			}
			return g
		},
	}
}

// TestImportanceComplete: integrated gradients and Shapley values sum to f(u) - f(0) in a network; sampled Shapley values
// come near the exact ones, and a network with all inputs equal gives equal values.
func TestImportanceComplete(t *testing.T) {
	const n, r = 6, 6
	f, u := network(r), normalRows(5, n, r)
	at, none := ok(f.Values(t.Context(), u))(t), f.Value(make([]float64, r))
	exact := ok(ShapleyImportance{Exact: r}.Attribute(t.Context(), f, u, 1))(t)
	sampled := ok(ShapleyImportance{Permutations: 1500}.Attribute(t.Context(), f, u, 1))(t)
	path := ok(IntegratedImportance{Points: 32}.Attribute(t.Context(), f, u, 1))(t)
	for i := range n {
		for what, m := range map[string]*mat.Dense{"exact": exact, "sampled": sampled} {
			closeTo(t, what, []float64{floats.Sum(m.RawRowView(i))}, []float64{at[i] - none}, 1e-12)
		}
		closeTo(t, "integrated gradients", []float64{floats.Sum(path.RawRowView(i))}, []float64{at[i] - none}, 1e-6)
	}
	closeTo(t, "sampled and exact", flat(sampled), flat(exact), 0.03)
	if floats.EqualApprox(flat(path), flat(exact), 0.01) {
		t.Error("integrated gradients are Shapley values here; the network is no test")
	}
	even := ScoreFunc{Value: func(u []float64) float64 { return math.Tanh(floats.Sum(u)) }}
	got := ok(ShapleyImportance{Exact: 4}.Attribute(t.Context(), even, rows([]float64{1, 1, 1, 1}), 1))(t)
	closeTo(t, "equal inputs", flat(got), slices.Repeat([]float64{math.Tanh(4) / 4}, 4), 1e-12)
}

// TestDeletionHand: f = u1 + 2 u2 at (1, 1): without the second concept 1 is left, with it alone 2 is there.
func TestDeletionHand(t *testing.T) {
	f := Linear{Weights: []float64{1, 2}}
	u, importance := rows([]float64{1, 1}), rows([]float64{1, 2})
	down, up := ok(Deletion(t.Context(), f, u, importance))(t), ok(Insertion(t.Context(), f, u, importance))(t)
	closeTo(t, "deletion", flat(down), []float64{3, 1, 0}, 1e-14)
	closeTo(t, "insertion", flat(up), []float64{0, 2, 3}, 1e-14)
	closeTo(t, "areas", append(ok(AreaUnder(down))(t), ok(AreaUnder(up))(t)...), []float64{1.25, 1.75}, 1e-14)
}

// TestDeletionOptimal: in a linear layer no order of concepts has less area under deletion, or more under insertion, than
// that of g_k u_k.
func TestDeletionOptimal(t *testing.T) {
	const r = 5
	f := Linear{Weights: flat(normalRows(1, 1, r))}
	u := normalRows(2, 4, r)
	best := ok(GradientImportance{}.Attribute(t.Context(), f, u, 0))(t)
	area := func(curve func(context.Context, Score, *mat.Dense, *mat.Dense) (*mat.Dense, error), importance *mat.Dense) []float64 {
		return ok(AreaUnder(ok(curve(t.Context(), f, u, importance))(t)))(t)
	}
	down, up := area(Deletion, best), area(Insertion, best)
	worse := 0
	for seed := range uint64(200) {
		other := normalRows(100+seed, 4, r)
		for i, a := range area(Deletion, other) {
			if a < down[i]-1e-12 {
				t.Fatalf("row %d: deletion %v below %v", i, a, down[i])
			}
			if a > down[i]+1e-6 {
				worse++
			}
		}
		for i, a := range area(Insertion, other) {
			if a > up[i]+1e-12 {
				t.Fatalf("row %d: insertion %v above %v", i, a, up[i])
			}
		}
	}
	if worse == 0 {
		t.Error("every order has the same area")
	}
}

// TestConceptQualityHand: (3, -1) and (1, 1) on the axes, codes >= 0: (3, 0) and (1, 1).
func TestConceptQualityHand(t *testing.T) {
	a := rows([]float64{3, -1}, []float64{1, 1})
	c := ok(nonNegative(t.Context(), "axes", a, identity(2), 2))(t)
	f := ok(c.Quality(t.Context(), a))(t)
	got := []float64{f.Relative, f.FVU, f.Zero, f.Sparsity, f.Abundance}
	closeTo(t, "fit", got, []float64{1 / math.Sqrt(12), 0.25, 0.25, 0.5, 1.5}, 1e-14)
}

// TestStability: halves of planted clusters give the same concepts; halves of noise do not.
func TestStability(t *testing.T) {
	planted, _ := clustered(3, 200, 20, 4)
	for _, x := range []Extractor{KMeansExtractor{Starts: 10, Rounds: 30}, SemiNMFExtractor{Config: DefaultHALS()}, PCAExtractor{}} {
		got, noise := ok(Stability(t.Context(), x, planted, 4, 3, 1))(t), ok(Stability(t.Context(), x, normalRows(4, 200, 20), 4, 3, 1))(t)
		t.Logf("%-8s planted %.3f, noise %.3f", x.Name(), got, noise)
		if x.Name() != "pca" && floats.Min(got) < 0.9 || floats.Max(noise) > 0.75 {
			t.Errorf("%s: %.3f of clusters, %.3f of noise", x.Name(), got, noise)
		}
	}
	shuffled := ShuffleColumns(planted, 1)
	for j := range 20 {
		was, is := mat.Col(nil, j, planted), mat.Col(nil, j, shuffled)
		slices.Sort(was)
		moved := !slices.Equal(mat.Col(nil, j, planted), is)
		if slices.Sort(is); !moved || !slices.Equal(was, is) {
			t.Errorf("column %d is not itself in another order", j)
		}
	}
	if _, err := Stability(t.Context(), PCAExtractor{}, planted, 4, 0, 1); !errors.Is(err, ErrArgument) {
		t.Errorf("no splits: %v", err)
	}
}

// TestSoftmaxScores: a class's probability and its gradient, by differences; its margin is its logit less the mean of the others'.
func TestSoftmaxScores(t *testing.T) {
	s := &Softmax{Weights: normalRows(1, 4, 6), Bias: []float64{0.1, -0.4, 0.3, 0}}
	x, f, h := normalRows(2, 3, 6), ClassProbability{s, 2}, 1e-6
	g := ok(f.Gradients(t.Context(), x))(t)
	for j := range 6 {
		up, down := mat.DenseCopyOf(x), mat.DenseCopyOf(x)
		for i := range 3 {
			up.Set(i, j, x.At(i, j)+h)
			down.Set(i, j, x.At(i, j)-h)
		}
		a, b := ok(f.Values(t.Context(), up))(t), ok(f.Values(t.Context(), down))(t)
		for i := range 3 {
			closeTo(t, "gradient", []float64{g.At(i, j)}, []float64{(a[i] - b[i]) / (2 * h)}, 1e-7)
		}
	}
	logits := product(x, s.Weights.T())
	for i, v := range ok(ok(s.Margin(2))(t).Values(t.Context(), x))(t) {
		l := logits.RawRowView(i)
		floats.Add(l, s.Bias)
		closeTo(t, "margin", []float64{v}, []float64{l[2] - (l[0]+l[1]+l[3])/3}, 1e-12)
	}
	if _, err := s.Margin(4); !errors.Is(err, ErrArgument) {
		t.Errorf("a class that is not there: %v", err)
	}
}
