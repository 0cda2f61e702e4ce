package vectors

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/store"
)

// difference is the largest magnitude of a - b.
func difference(a, b mat.Matrix) float64 {
	var d mat.Dense
	d.Sub(a, b)
	return largest(flat(&d))
}

// TestLEACEHand: class means (0,1) and (4,1) with total covariance diag(6, 2/3): W whitens the axes, so that the first axis
// is removed about the mean (2,1).
func TestLEACEHand(t *testing.T) {
	z := ok(OneHot(handY, 2))(t)
	fit := ok(FitLEACE(handX, z, DefaultLEACE()))(t)
	closeTo(t, "P", flat(fit.Matrix()), []float64{0, 0, 0, 1}, 1e-14)
	closeTo(t, "erased", flat(ok(fit.Apply(handX))(t)), []float64{2, 0, 2, 2, 2, 1, 2, 1}, 1e-14)
	// Sxz = ±(4/3, 0) twice, whitened ±4/(3 sqrt 6): singular value sqrt 2 times that
	closeTo(t, "singular values", fit.Singular, []float64{4 * math.Sqrt2 / (3 * math.Sqrt(6)), 0}, 1e-14)
	oracle := ok(OracleLEACE(ok(jointMoments(handX, z))(t), 0))(t)
	closeTo(t, "oracle", flat(ok(oracle.Apply(handX, z))(t)), []float64{2, 0, 2, 2, 1, 1, 3, 1}, 1e-14)
}

// TestLEACETheorems: on the fitted rows cross-covariance is 0, class means coincide, the best linear predictor is a
// constant; the map is idempotent, of rank k-1, keeps the mean, and undoes no later change of z.
func TestLEACETheorems(t *testing.T) {
	for _, k := range []int{2, 3, 5} {
		x, y, _ := planted(uint64(k), 400, 12, k, 2)
		z := ok(OneHot(y, k))(t)
		for name, cfg := range map[string]LEACEConfig{
			"default": DefaultLEACE(), "shrinkage": {Affine: true, Shrinkage: true, RelativeTolerance: 1e-9}, "linear": {RelativeTolerance: 1e-9},
			"orthogonal": {Affine: true, Orthogonal: true, RelativeTolerance: 1e-9},
		} {
			fit := ok(FitLEACE(x, z, cfg))(t)
			erased := ok(fit.Apply(x))(t)
			if fit.Rank() != k-1 {
				t.Errorf("k=%d %s: rank %d", k, name, fit.Rank())
			}
			if c := largest(flat(ok(ok(jointMoments(erased, z))(t).CrossCovariance())(t))); c > 1e-13 {
				t.Errorf("k=%d %s: cross-covariance %.3g is left", k, name, c)
			}
			if d := difference(ok(fit.Apply(erased))(t), erased); d > 1e-11 {
				t.Errorf("k=%d %s: applying it twice moves by %.3g", k, name, d)
			}
			if drift := floats.Distance(columnMeans(erased), columnMeans(x), math.Inf(1)); cfg.Affine != (drift < 1e-12) {
				t.Errorf("k=%d %s: the mean moves by %.3g", k, name, drift)
			}
			soft := ok(Multinomial(t.Context(), erased, y, 10))(t)
			if w := largest(flat(soft.Weights)); w > 1e-9 {
				t.Errorf("k=%d %s: the best multinomial predictor has weight %.3g", k, name, w)
			}
			ridge := ok(Ridge(erased, mat.Col(nil, 0, z), 1))(t)
			if w := largest(ridge.Weights); w > 1e-10 {
				t.Errorf("k=%d %s: the best least-squares predictor has weight %.3g", k, name, w)
			}
		}
	}
}

// TestLEACELeastDamage: of the maps that erase, LEACE moves x least; the oracle, which sees z, moves it less; keeping the
// concept costs nothing.
func TestLEACELeastDamage(t *testing.T) {
	x, y, _ := planted(1, 500, 10, 3, 1.5)
	z := ok(OneHot(y, 3))(t)
	m := ok(jointMoments(x, z))(t)
	best := ok(LEACE(m, DefaultLEACE()))(t)
	damage := func(e *Eraser) float64 { return ok(Damage(x, ok(e.Apply(x))(t)))(t) }
	least := damage(best.Eraser)
	others := map[string]*Eraser{
		"SAL":             ok(SAL(m, 2))(t),
		"mean projection": ok(MeanProjection(x, y))(t),
		"linear LEACE":    ok(LEACE(m, LEACEConfig{RelativeTolerance: 1e-9}))(t).Eraser,
		"orthogonal":      ok(LEACE(m, LEACEConfig{Affine: true, Orthogonal: true, RelativeTolerance: 1e-9}))(t).Eraser,
	}
	for seed := range uint64(20) { // x - L (R L)^-1 R (x - mean) erases for every R, when L spans the cross-covariance
		right := normalRows(seed, 2, 10)
		right.Scale(0.03, right)
		right.Add(best.Right, right)
		var inside, inverse, left mat.Dense
		inside.Mul(right, best.Left)
		if err := inverse.Inverse(&inside); err != nil {
			t.Fatal(err)
		}
		left.Mul(best.Left, &inverse)
		e := &Eraser{Left: &left, Right: right, Bias: best.Bias}
		others["perturbed"] = e
		for name, other := range others {
			if left := largest(flat(ok(ok(jointMoments(ok(other.Apply(x))(t), z))(t).CrossCovariance())(t))); left > 1e-12 {
				t.Fatalf("%s does not erase: %.3g", name, left)
			}
			if d := damage(other); d <= least {
				t.Errorf("%s: damage %v, LEACE %v", name, d, least)
			}
		}
	}
	oracle := ok(ok(OracleLEACE(m, 0))(t).Apply(x, z))(t)
	if d := ok(Damage(x, oracle))(t); d >= least {
		t.Errorf("oracle damage %v, LEACE %v", d, least)
	}
	if left := largest(flat(ok(ok(jointMoments(oracle, z))(t).CrossCovariance())(t))); left > 1e-13 {
		t.Errorf("the oracle leaves %.3g", left)
	}
}

// TestLEACEInvariances: the eraser depends on the span of z's columns, not on their scale, offset or mixture, nor on the
// order or chunks of rows; rotating x rotates it.
func TestLEACEInvariances(t *testing.T) {
	x, y, _ := planted(7, 300, 8, 3, 1)
	z := ok(OneHot(y, 3))(t)
	want := ok(FitLEACE(x, z, DefaultLEACE()))(t).Matrix()
	var mixed mat.Dense
	mixed.Mul(z, rows([]float64{1e-4, 0}, []float64{3e-4, -1e-4}, []float64{0, 2e-4}))
	for i := range 300 {
		floats.AddConst(5, mixed.RawRowView(i))
	}
	if d := difference(ok(FitLEACE(x, &mixed, DefaultLEACE()))(t).Matrix(), want); d > 1e-9 {
		t.Errorf("small mixed columns of z change the map by %.3g", d)
	}
	if kept := ok(FitLEACE(x, &mixed, LEACEConfig{Affine: true, AbsoluteTolerance: 0.01}))(t); kept.Rank() != 0 {
		t.Errorf("concept-erasure's tolerance should keep a concept of small columns, but erased %d directions", kept.Rank())
	}
	streamed := ok(NewMoments(8, 3))(t)
	for lo := 290; lo >= 0; lo -= 10 {
		if err := streamed.Update(x.Slice(lo, lo+10, 0, 8).(*mat.Dense), z.Slice(lo, lo+10, 0, 3).(*mat.Dense)); err != nil {
			t.Fatal(err)
		}
	}
	if d := difference(ok(LEACE(streamed, DefaultLEACE()))(t).Matrix(), want); d > 1e-11 {
		t.Errorf("chunks in reverse order change the map by %.3g", d)
	}
	q := orthonormal(nil, normalRows(3, 8, 8))
	var turned, back, rotated mat.Dense
	turned.Mul(x, q)
	back.Mul(q.T(), want)
	rotated.Mul(&back, q)
	if d := difference(ok(FitLEACE(&turned, z, DefaultLEACE()))(t).Matrix(), &rotated); d > 1e-11 {
		t.Errorf("rotated rows give a map off by %.3g", d)
	}
}

// TestWhitenings: the Cholesky factor and the symmetric root give one map.
func TestWhitenings(t *testing.T) {
	x, y, _ := planted(6, 300, 9, 4, 1)
	m := ok(jointMoments(x, ok(OneHot(y, 4))(t)))(t)
	w := ok(m.whitening(false))(t)
	if _, fast := w.(cholesky); !fast {
		t.Fatalf("a well conditioned covariance is whitened by %T", w)
	}
	e := ok(eigen(ok(m.X.Covariance())(t)))(t)
	root, inverse := e.roots()
	cross := ok(m.CrossCovariance())(t)
	away := func(w whitening) *mat.Dense {
		u, singular, err := leftSingular(w.whiten(cross))
		if err != nil {
			t.Fatal(err)
		}
		if singular[3] > 1e-12 {
			t.Errorf("the null direction of one-hot columns has singular value %.3g", singular[3])
		}
		kept := mat.DenseCopyOf(u.Slice(0, 9, 0, 3))
		return product(w.restore(kept), w.whitenRows(kept).T())
	}
	if d := difference(away(w), away(symmetricRoot{root, inverse})); d > 1e-12 {
		t.Errorf("the maps differ by %.3g", d)
	}
}

// TestMomentsLongStream: more rows than a chunk, far from the origin, against two passes.
func TestMomentsLongStream(t *testing.T) {
	const n, d = 3000, 5
	x := normalRows(1, n, d)
	for i := range n {
		floats.AddConst(1e6, x.RawRowView(i))
	}
	z := normalRows(2, n, 2)
	m := ok(jointMoments(x, z))(t)
	c, cz := centred(x, columnMeans(x)), centred(z, columnMeans(z))
	var xx, xz mat.Dense
	xx.Mul(c.T(), c)
	xz.Mul(c.T(), cz)
	closeTo(t, "scatter", flat(m.X.Sum), flat(&xx), 1e-8)
	closeTo(t, "cross", flat(m.Cross), flat(&xz), 1e-8)
	if m.X.Count != n || m.Z.Count != n {
		t.Errorf("counts %d and %d", m.X.Count, m.Z.Count)
	}
}

// TestMomentsFromStore: a store's moments by class give the eraser that the rows give, with and without those of all rows.
func TestMomentsFromStore(t *testing.T) {
	x, y, _ := planted(9, 240, 6, 3, 1)
	fitter := ok(NewQuadraticFitter(6, 3))(t)
	if err := fitter.Update(x, y); err != nil {
		t.Fatal(err)
	}
	whole := ok(NewScatter(6))(t)
	if err := whole.Update(x); err != nil {
		t.Fatal(err)
	}
	stored := func(s *Scatter, class string, cross bool) *store.Moments {
		m := &store.Moments{Site: "blocks.0.hook_resid_post", Class: class, Count: int64(s.Count), Mean: s.Mean}
		if cross {
			m.Cross = flat(s.Sum)
		}
		return m
	}
	var plain, full []*store.Moments
	for c, s := range fitter.Classes {
		plain = append(plain, stored(s, string(rune('a'+c)), false))
		full = append(full, stored(s, string(rune('a'+c)), true))
	}
	want := ok(FitLEACE(x, ok(OneHot(y, 3))(t), DefaultLEACE()))(t).Matrix()
	for name, m := range map[string]*Moments{"all and means": ok(MomentsFromStore(stored(whole, "", true), plain))(t), "classes": ok(MomentsFromStore(nil, full))(t)} {
		if d := difference(ok(LEACE(m, DefaultLEACE()))(t).Matrix(), want); d > 1e-11 {
			t.Errorf("%s: map off by %.3g", name, d)
		}
		if z := ok(jointMoments(x, ok(OneHot(y, 3))(t)))(t).Z.Sum; difference(m.Z.Sum, z) > 1e-11 {
			t.Errorf("%s: scatter of z differs", name)
		}
	}
	partial := stored(whole, "", true)
	partial.Count++ // a row without a class
	if _, err := MomentsFromStore(partial, plain); err == nil {
		t.Error("classes that do not cover all rows and keep no cross moments were accepted")
	}
}

// TestFewRows: with fewer rows than dimensions LEACE still erases what the rows show.
func TestFewRows(t *testing.T) {
	x, y, _ := planted(2, 10, 30, 2, 3)
	z := ok(OneHot(y, 2))(t)
	for _, shrinkage := range []bool{false, true} {
		cfg := DefaultLEACE()
		cfg.Shrinkage = shrinkage
		erased := ok(ok(FitLEACE(x, z, cfg))(t).Apply(x))(t)
		if gap := largest(ok(DiffOfMeans(erased, y))(t)); gap > 1e-9 {
			t.Errorf("shrinkage %v: class means differ by %.3g", shrinkage, gap)
		}
	}
}

// TestQuadraticLeak: classes of one mean and different spreads. LEACE leaves them as they are, a probe of squares tells
// them apart, and quadratic LEACE leaves it nothing.
func TestQuadraticLeak(t *testing.T) {
	const n, d = 600, 5
	for _, k := range []int{2, 3} {
		x := normalRows(1, n, d)
		y := make([]int, n)
		for i := range y {
			y[i] = i % k
			x.RawRowView(i)[1] *= 1 + 2*float64(y[i])
			x.RawRowView(i)[2] += float64(y[i])
		}
		squares := func(x *mat.Dense) *mat.Dense {
			out := mat.NewDense(n, d*(d+1)/2+d, nil)
			for i := range n {
				row, at := out.RawRowView(i), d
				copy(row, x.RawRowView(i))
				for a := range d {
					for b := a; b < d; b++ {
						row[at] = x.At(i, a) * x.At(i, b)
						at++
					}
				}
			}
			return out
		}
		accuracy := func(x *mat.Dense) float64 {
			return ok(ok(Multinomial(t.Context(), squares(x), y, 1))(t).Accuracy(squares(x), y))(t)
		}
		linear := ok(ok(FitLEACE(x, ok(OneHot(y, k))(t), DefaultLEACE()))(t).Apply(x))(t)
		fitter := ok(NewQuadraticFitter(d, k))(t)
		if err := fitter.Update(x, y); err != nil {
			t.Fatal(err)
		}
		eraser := ok(fitter.Eraser(t.Context(), false))(t)
		quadratic := ok(eraser.Apply(x, y))(t)
		weights := largest(flat(ok(Multinomial(t.Context(), squares(quadratic), y, 1))(t).Weights))
		t.Logf("k=%d: probe of squares %.3f before, %.3f after LEACE, largest weight %.2g after quadratic LEACE", k, accuracy(x), accuracy(linear), weights)
		if chance := 1 / float64(k); accuracy(linear) < chance+0.15 {
			t.Errorf("k=%d: the planted leak is not there: %.3f", k, accuracy(linear))
		}
		if weights > 1e-6 {
			t.Errorf("k=%d: a probe of squares has weight %.3g after quadratic LEACE", k, weights)
		}
	}
}

// TestTransportHand: from diag(1, 4) to diag(9, 1) the map is diag(3, 1/2), the midpoint has standard deviations 2 and 1.5.
func TestTransportHand(t *testing.T) {
	a, b := mat.NewSymDense(2, []float64{1, 0, 0, 4}), mat.NewSymDense(2, []float64{9, 0, 0, 1})
	closeTo(t, "map", flat(ok(transportMap(a, b))(t)), []float64{3, 0, 0, 0.5}, 1e-14)
	closeTo(t, "midpoint", flat(ok(midpoint(a, b, 0.5, 0.5))(t)), []float64{4, 0, 0, 2.25}, 1e-14)
	closeTo(t, "barycentre", flat(ok(barycentre(t.Context(), []*mat.SymDense{a, b}, []float64{0.5, 0.5}))(t)), []float64{4, 0, 0, 2.25}, 1e-7)
}

// TestINLP: a planted subspace is gone after as many rounds as it has directions, and P is an orthogonal projection.
func TestINLP(t *testing.T) {
	x, y, _ := planted(3, 400, 8, 2, 3)
	fit := ok(INLP(t.Context(), x, y, INLPConfig{Rounds: 20, C: 1}))(t)
	if fit.Rank() != 8 || len(fit.Rounds) != 8 {
		t.Errorf("rank %d after %d rounds; 8 dimensions should be gone", fit.Rank(), len(fit.Rounds))
	}
	p := ok(fit.After(3))(t).Matrix()
	var twice mat.Dense
	twice.Mul(p, p)
	if difference(&twice, p) > 1e-13 || difference(p, p.T()) > 1e-15 {
		t.Error("P is not an orthogonal projection")
	}
	stopped := ok(INLP(t.Context(), x, y, INLPConfig{Rounds: 8, C: 1, MinAccuracy: 0.6}))(t)
	for _, round := range stopped.Rounds {
		if round.Accuracy <= 0.6 {
			t.Errorf("a round with accuracy %.3f was not left out", round.Accuracy)
		}
	}
	x3, y3, _ := planted(4, 300, 9, 3, 3)
	three := ok(INLP(t.Context(), x3, y3, INLPConfig{Rounds: 1, C: 1}))(t)
	if three.Rank() != 2 { // the rows of a softmax sum to zero
		t.Errorf("one round of three classes removes %d directions, want 2", three.Rank())
	}
}

// TestAblation: hand case, dependent directions, ablation about a point, and the random control.
func TestAblation(t *testing.T) {
	e := ok(Ablation(rows([]float64{0, 3, 0}, []float64{0, -1, 0}, []float64{1, 1, 0})))(t)
	closeTo(t, "ablated", flat(ok(e.Apply(rows([]float64{1, 2, 3})))(t)), []float64{0, 0, 3}, 1e-15)
	if e.Rank() != 2 {
		t.Errorf("rank %d, want 2", e.Rank())
	}
	about := ok(AblationAbout(rows([]float64{0, 2}), []float64{5, 7}))(t)
	closeTo(t, "about a point", flat(ok(about.Apply(rows([]float64{1, 2})))(t)), []float64{1, 7}, 1e-15)
	random := ok(RandomProjection(20, 6, 1))(t)
	if random.Rank() != 6 || difference(random.Matrix(), ok(RandomProjection(20, 6, 1))(t).Matrix()) != 0 {
		t.Error("the random control has another rank or changes between calls")
	}
	if difference(random.Matrix(), ok(RandomProjection(20, 6, 2))(t).Matrix()) == 0 {
		t.Error("two seeds give one subspace")
	}
}

// TestShrinkage: exact for a multiple of the identity, and nearer to the truth than the sample covariance for few rows.
func TestShrinkage(t *testing.T) {
	s := &Scatter{Count: 2, Mean: make([]float64, 2), Sum: mat.NewSymDense(2, []float64{4, 0, 0, 4})}
	closeTo(t, "identity", flat(ok(s.Shrunk())(t)), []float64{2, 0, 0, 2}, 1e-15)
	few := ok(NewScatter(30))(t)
	if err := few.Update(normalRows(1, 40, 30)); err != nil {
		t.Fatal(err)
	}
	truth := identity(30)
	shrunk, plain := difference(ok(few.Shrunk())(t), truth), difference(ok(few.Covariance())(t), truth)
	if shrunk > plain/2 {
		t.Errorf("largest error %.3f with shrinkage and %.3f without", shrunk, plain)
	}
}
