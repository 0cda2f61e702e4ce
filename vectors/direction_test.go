package vectors

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Four points: class 0 at (0,0), (0,2), class 1 at (3,1), (5,1). Means (0,1) and (4,1); within-class sums of squares 2 and
// 2, so that the covariance within is I over n-2 and I/2 over n.
var (
	handX = rows([]float64{0, 0}, []float64{0, 2}, []float64{3, 1}, []float64{5, 1})
	handY = []int{0, 0, 1, 1}
)

func TestDirectionsHand(t *testing.T) {
	closeTo(t, "difference of means", ok(DiffOfMeans(handX, handY))(t), []float64{4, 0}, 1e-15)
	// total covariance over n-1: x: sum of (-2,-2,1,3)² = 18, /3 = 6; y: 2/3; whitened difference 4/sqrt 6
	closeTo(t, "whitened", ok(DiffOfMeansWhitened(handX, handY))(t), []float64{4 / math.Sqrt(6), 0}, 1e-14)
	closeTo(t, "within", flat(ok(WithinCovariance(handX, handY))(t)), []float64{1, 0, 0, 1}, 1e-15)
	mm := ok(MassMean(handX, handY))(t)
	closeTo(t, "mass-mean", append(mm.Weights, mm.Bias), []float64{4, 0, -8}, 1e-15)
	cov := ok(MassMeanCov(handX, handY, CovarianceOptions{}))(t)
	closeTo(t, "mass-mean with covariance", append(cov.Weights, cov.Bias), []float64{4, 0, -8}, 1e-14)
	lda := ok(LDA(handX, handY, false))(t)
	closeTo(t, "LDA", append(lda.Weights, lda.Bias), []float64{8, 0, -16}, 1e-14)
	closeTo(t, "scores", ok(lda.Scores(handX))(t), []float64{-16, -16, 8, 24}, 1e-14)
	if got := ok(lda.Accuracy(handX, handY))(t); got != 1 {
		t.Errorf("accuracy %v, want 1", got)
	}
	p := ok(FitPCA(handX, 2, Centred))(t)
	closeTo(t, "components", flat(p.Components), []float64{1, 0, 0, 1}, 1e-14)
	closeTo(t, "variance", p.Variance, []float64{6, 2.0 / 3}, 1e-14)
	closeTo(t, "ratio", p.Ratio, []float64{0.9, 0.1}, 1e-14)
	closeTo(t, "projected", flat(ok(p.Project(handX))(t)), []float64{-2, -1, -2, 1, 1, 0, 3, 0}, 1e-14)
}

func TestPriorOfUnequalClasses(t *testing.T) {
	x := rows([]float64{0, 0}, []float64{0, 2}, []float64{3, 1}, []float64{5, 1}, []float64{4, 1}, []float64{4, 1})
	y := []int{0, 0, 1, 1, 1, 1}
	without, with := ok(MassMeanCov(x, y, CovarianceOptions{}))(t), ok(MassMeanCov(x, y, CovarianceOptions{Prior: true}))(t)
	closeTo(t, "prior", []float64{with.Bias - without.Bias}, []float64{math.Log(2)}, 1e-14)
}

// TestUncentredPCA: far from the origin the first uncentred component is the mean.
func TestUncentredPCA(t *testing.T) {
	x := normalRows(1, 50, 3)
	for i := range 50 {
		floats.Add(x.RawRowView(i), []float64{0, 100, 0})
	}
	p := ok(FitPCA(x, 1, Uncentred))(t)
	if c := ok(Cosine(p.Components.RawRowView(0), []float64{0, 1, 0}))(t); c < 0.999 {
		t.Errorf("cosine to the mean %v", c)
	}
	if c := ok(FitPCA(x, 1, Centred))(t).Components.At(0, 1); math.Abs(c) > 0.9 {
		t.Errorf("the centred component has %v along the mean, which centring takes away", c)
	}
}

// TestPCAWideAndTall: fewer rows than dimensions and the reverse, against the eigenvalues of the covariance.
func TestPCAWideAndTall(t *testing.T) {
	for _, dims := range [][2]int{{6, 20}, {100, 7}} {
		x := normalRows(3, dims[0], dims[1])
		r := min(dims[0]-1, dims[1])
		p := ok(FitPCA(x, r, Centred))(t)
		s := ok(NewScatter(dims[1]))(t)
		if err := s.Update(x); err != nil {
			t.Fatal(err)
		}
		e := ok(eigen(ok(s.Covariance())(t)))(t)
		for j := range r {
			closeTo(t, "variance", p.Variance[j:j+1], []float64{e.values[dims[1]-1-j]}, 1e-12)
		}
		var gram mat.Dense
		gram.Mul(p.Components, p.Components.T())
		closeTo(t, "orthonormal", flat(&gram), flat(identity(r)), 1e-13)
	}
}

// TestPairPCALostGap is the regression test of repeng's pca_diff: with the same gap in every pair and noise along another
// direction, centring the differences takes the concept away; every other method finds it.
func TestPairPCALostGap(t *testing.T) {
	const n, d = 200, 64
	concept, nuisance := make([]float64, d), make([]float64, d)
	concept[3], nuisance[10] = 1, 1
	base, noise, along := normalRows(1, n, d), normalRows(2, n, d), normalRows(3, n, 1)
	p := Pairs{Pos: mat.DenseCopyOf(base), Neg: mat.DenseCopyOf(base)}
	for i := range n {
		floats.AddScaled(p.Pos.RawRowView(i), 2, concept)
		floats.AddScaled(p.Pos.RawRowView(i), 0.1, noise.RawRowView(i))
		floats.AddScaled(p.Neg.RawRowView(i), along.At(i, 0), nuisance)
	}
	for method, found := range map[PairMethod]bool{PairDiff: true, PairDiffCentred: false, PairCentre: true, RepE: true} {
		w := ok(PairPCA(p, method))(t)
		c := ok(Cosine(w, concept))(t)
		t.Logf("%-13s cosine to the concept %.4f", method, c)
		if found && c < 0.95 || !found && math.Abs(c) > 0.2 {
			t.Errorf("%s: cosine to the concept %.4f, found should be %v", method, c, found)
		}
		if norm := floats.Norm(w, 2); math.Abs(norm-1) > 1e-12 {
			t.Errorf("%s: norm %v", method, norm)
		}
	}
	if c := ok(Cosine(ok(CAA(p))(t), concept))(t); c < 0.99 {
		t.Errorf("CAA: cosine to the concept %.4f", c)
	}
	closeTo(t, "PairCentre equals PairDiff", ok(PairPCA(p, PairCentre))(t), ok(PairPCA(p, PairDiff))(t), 1e-12)
	swapped := ok(PairPCA(Pairs{Pos: p.Neg, Neg: p.Pos}, PairDiff))(t)
	floats.Scale(-1, swapped)
	closeTo(t, "swapping the halves flips the sign", swapped, ok(PairPCA(p, PairDiff))(t), 1e-12)
}

// TestDirectionsPlanted: with correlated noise, methods that know the covariance separate better than the difference of
// means, which itself points along the planted one in isotropic noise.
func TestDirectionsPlanted(t *testing.T) {
	all, labels, _ := planted(11, 8000, 12, 2, 2)
	x, held := all.Slice(0, 4000, 0, 12).(*mat.Dense), all.Slice(4000, 8000, 0, 12).(*mat.Dense)
	y, heldY := labels[:4000], labels[4000:]
	plain, cov := ok(MassMean(x, y))(t), ok(MassMeanCov(x, y, CovarianceOptions{}))(t)
	a, b := ok(plain.Accuracy(held, heldY))(t), ok(cov.Accuracy(held, heldY))(t)
	if b <= a+0.02 {
		t.Errorf("accuracy %v with the covariance and %v without", b, a)
	}
	iso := normalRows(21, 4000, 12)
	isoY := make([]int, 4000)
	want := make([]float64, 12)
	want[5] = 1
	for i := range isoY {
		isoY[i] = i % 2
		iso.Set(i, 5, iso.At(i, 5)+float64(isoY[i]))
	}
	for name, w := range map[string][]float64{"difference": ok(DiffOfMeans(iso, isoY))(t), "whitened": ok(DiffOfMeansWhitened(iso, isoY))(t), "LDA": ok(LDA(iso, isoY, false))(t).Weights} {
		if c := ok(Cosine(w, want))(t); c < 0.98 {
			t.Errorf("%s: cosine to the planted direction %.3f", name, c)
		}
	}
}

// TestAffineInvariance: under x -> x A + b the scores of probes with a covariance and the norm of the whitened difference
// stay.
func TestAffineInvariance(t *testing.T) {
	x, y, _ := planted(5, 300, 6, 2, 1)
	a := normalRows(9, 6, 6)
	var moved mat.Dense
	moved.Mul(x, a)
	for i := range 300 {
		floats.AddConst(3, moved.RawRowView(i))
	}
	for name, fit := range map[string]func(*mat.Dense) (Linear, error){
		"LDA":       func(x *mat.Dense) (Linear, error) { return LDA(x, y, false) },
		"mass-mean": func(x *mat.Dense) (Linear, error) { return MassMeanCov(x, y, CovarianceOptions{Prior: true}) },
	} {
		before, after := ok(fit(x))(t), ok(fit(&moved))(t)
		closeTo(t, name, ok(after.Scores(&moved))(t), ok(before.Scores(x))(t), 1e-9)
	}
	before, after := ok(DiffOfMeansWhitened(x, y))(t), ok(DiffOfMeansWhitened(&moved, y))(t)
	closeTo(t, "norm", []float64{floats.Norm(after, 2)}, []float64{floats.Norm(before, 2)}, 1e-9)
}

func TestRidge(t *testing.T) {
	// x = -1, 0, 1 and t = 1 + 3x: sum x² = 2, so w = 6/(2+lambda)
	x, target := rows([]float64{-1}, []float64{0}, []float64{1}), []float64{-2, 1, 4}
	for lambda, want := range map[float64]float64{0: 3, 1: 2, 4: 1} {
		l := ok(Ridge(x, target, lambda))(t)
		closeTo(t, "ridge", []float64{l.Weights[0], l.Bias}, []float64{want, 1}, 1e-14)
	}
	if r2 := ok(ok(Ridge(x, target, 0))(t).R2(x, target))(t); math.Abs(r2-1) > 1e-14 {
		t.Errorf("R² of an exact fit %v", r2)
	}
	wide := normalRows(4, 8, 30) // fewer rows than dimensions goes through the dual equations
	line := flat(normalRows(5, 8, 1))
	w := ok(Ridge(wide, line, 0.7))(t)
	c := centred(wide, columnMeans(wide))
	gram := mat.NewSymDense(30, nil)
	addGram(gram, c)
	right := mat.NewVecDense(30, nil)
	right.MulVec(c.T(), mat.NewVecDense(8, line))
	want := ok(solvePositive("primal", addDiagonal(gram, 0.7), right.RawVector().Data))(t)
	closeTo(t, "dual and primal", w.Weights, want, 1e-10)
}
