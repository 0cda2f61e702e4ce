package probe

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// TestRidgeNormalEquations: at the minimum (X'X + lambda I) w = X't of centred rows; the chosen penalty is that of the
// criterion computed from the map H itself, over the grid, for more and for fewer rows than columns.
func TestRidgeNormalEquations(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	for _, n := range []int{60, 12} {
		const d = 20
		x := Rows{N: n, D: d, Values: normal32(rng, n*d)}
		values := make([]float64, n)
		for i := range values {
			values[i] = 3 + float64(x.Row(i)[0]) - 2*float64(x.Row(i)[1]) + 2*rng.NormFloat64()
		}
		fits, err := Ridge(x, []Target{NewRegression("t", values), NewRegression("t", values)}, RidgeConfig{})
		if err != nil {
			t.Fatal(err)
		}
		f := fits[0]
		if f.Lambda != fits[1].Lambda {
			t.Errorf("equal targets have penalties %v and %v", f.Lambda, fits[1].Lambda)
		}
		c := x.Dense()
		mean, _ := x.spread(nil)
		level := 0.0
		for i := range n {
			level += values[i] / float64(n)
			for j, m := range mean {
				c.Set(i, j, c.At(i, j)-m)
			}
		}
		r := mat.NewVecDense(n, nil)
		for i, v := range values {
			r.SetVec(i, v-level)
		}
		var gram mat.Dense
		gram.Mul(c.T(), c)
		criterion := func(lambda float64) float64 {
			a := mat.DenseCopyOf(&gram)
			for j := range d {
				a.Set(j, j, a.At(j, j)+lambda)
			}
			var inverse, h, fitted mat.Dense
			if err := inverse.Inverse(a); err != nil {
				t.Fatal(err)
			}
			h.Product(c, &inverse, c.T())
			fitted.Mul(&h, r)
			rest := 0.0
			for i := range n {
				rest += (r.AtVec(i) - fitted.At(i, 0)) * (r.AtVec(i) - fitted.At(i, 0))
			}
			free := float64(n) - mat.Trace(&h) - 1
			return float64(n) * rest / (free * free)
		}
		if got := criterion(f.Lambda); math.Abs(got-f.GCV) > 1e-6*got {
			t.Errorf("n %d: criterion %v, from H itself %v", n, f.GCV, got)
		}
		for _, other := range []float64{f.Lambda / 10, f.Lambda / 2, f.Lambda * 2, f.Lambda * 10} {
			if criterion(other) < f.GCV*(1-1e-9) {
				t.Errorf("n %d: penalty %v has a lower criterion than the chosen %v", n, other, f.Lambda)
			}
		}
		w := mat.NewVecDense(d, f.Weights)
		var left, right mat.VecDense
		left.MulVec(&gram, w)
		left.AddScaledVec(&left, f.Lambda, w)
		right.MulVec(c.T(), r)
		left.SubVec(&left, &right)
		if miss := mat.Norm(&left, math.Inf(1)); miss > 1e-9*mat.Norm(&right, math.Inf(1)) {
			t.Errorf("n %d: the normal equations are missed by %v", n, miss)
		}
	}
}

// TestLDAClosedForm: two classes give vectors.LDA, which is S^-1 (m1 - m0).
func TestLDAClosedForm(t *testing.T) {
	x, y, _ := plantedRows(200, 8)
	target := NewBinary("y", y)
	for name, shrinkage := range map[string]bool{"none": false, "optimal": true} {
		got, err := LDA(x, target, LDAConfig{Shrinkage: name})
		if err != nil {
			t.Fatal(err)
		}
		want, err := vectors.LDA(x.Dense(), target.Class, shrinkage)
		if err != nil {
			t.Fatal(err)
		}
		near(t, name+": weights", got.Weights, want.Weights, 1e-10)
		near(t, name+": bias", got.Bias, []float64{want.Bias}, 1e-8)
	}
	mass, err := MassMean(x, target, MassMeanConfig{Covariance: true})
	if err != nil {
		t.Fatal(err)
	}
	// the same direction, S over n-2 instead of n
	lda, err := LDA(x, target, LDAConfig{Shrinkage: "none"})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := vectors.Cosine(mass.Weights, lda.Weights); err != nil || c < 1-1e-12 {
		t.Errorf("cosine of mass-mean and LDA %v, %v", c, err)
	}
	plain, err := MassMean(x, target, MassMeanConfig{})
	if err != nil {
		t.Fatal(err)
	}
	dm, err := vectors.DiffOfMeans(x.Dense(), target.Class)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "mass-mean without covariance", plain.Weights, dm, 1e-12)
}

// TestLDAOfThree: planted means with one covariance: the scores' differences are the true log-odds.
func TestLDAOfThree(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 42))
	means := [][]float64{{0, 0}, {2, 0}, {0, 3}}
	x := Rows{N: 6000, D: 2}
	class := make([]int, x.N)
	for i := range class {
		class[i] = i % 3
		for j := range 2 {
			x.Values = append(x.Values, float32(means[class[i]][j]+rng.NormFloat64()))
		}
	}
	l, err := LDA(x, Target{Name: "c", Task: Multiclass, Class: class, Classes: []string{"a", "b", "c"}}, LDAConfig{Shrinkage: "none"})
	if err != nil {
		t.Fatal(err)
	}
	// unit covariance, equal shares: score_c = m_c.x - |m_c|²/2 + a constant; 0.1 is three standard errors
	for c, m := range means {
		for j := range 2 {
			if d := l.Weights[c*2+j] - l.Weights[j] - m[j]; math.Abs(d) > 0.15 {
				t.Errorf("class %d: weight %d is off by %v", c, j, d)
			}
		}
	}
}

// TestQuadratic: the sign of a product is in reach of products, and a score is that of the formula.
func TestQuadratic(t *testing.T) {
	x, y := xor(800, 6)
	q, err := FitQuadratic(t.Context(), x, []Target{NewBinary("xor", y)}, QuadraticConfig{Components: 6}, DefaultLogistic())
	if err != nil {
		t.Fatal(err)
	}
	scores, err := q[0].Scores(x)
	if err != nil {
		t.Fatal(err)
	}
	right := 0.0
	for i, s := range scores {
		right += share((s > 0) == y[i]) / float64(x.N)
	}
	t.Logf("accuracy %.3f", right)
	if right < 0.95 {
		t.Errorf("accuracy %.3f", right)
	}
	by := Quadratic{Mean: []float64{1, 0}, Components: []float64{2, 0, 0, 1}, Linear: Linear{D: 5, Weights: []float64{1, 10, 100, 1000, 10000}, Bias: []float64{0.5}}}
	s, err := by.Scores(Rows{N: 1, D: 2, Values: []float32{2, 3}}) // z = (2, 3): features 2, 3, 4, 6, 9
	if want := 0.5 + 2 + 30 + 400 + 6000 + 90000; err != nil || s[0] != want {
		t.Errorf("score %v, %v; want %v", s, err, want)
	}
	if _, err := by.Scores(Rows{N: 1, D: 3, Values: []float32{2, 3, 4}}); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("another width gives %v", err)
	}
}
