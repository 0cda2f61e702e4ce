package erase_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/probe/store"
	"loupe/vectors"
)

// texts are rows as of a text encoder: a common mean, a part of low rank, and noise.
type texts struct {
	r     *rand.Rand
	d     int
	mean  []float64
	basis *mat.Dense
}

func newTexts(seed uint64, d, rank int) *texts {
	t := &texts{r: rand.New(rand.NewPCG(seed, 0)), d: d}
	t.mean, t.basis = make([]float64, d), t.normal(rank, d, 1/math.Sqrt(float64(rank)))
	for i := range t.mean {
		t.mean[i] = 1.5 * t.r.NormFloat64()
	}
	return t
}

func (t *texts) normal(n, d int, scale float64) *mat.Dense {
	m := mat.NewDense(n, d, nil)
	for i := range m.RawMatrix().Data {
		m.RawMatrix().Data[i] = scale * t.r.NormFloat64()
	}
	return m
}

func (t *texts) rows(n int) *mat.Dense {
	rank, _ := t.basis.Dims()
	x := t.normal(n, t.d, 0.2)
	var low mat.Dense
	low.Mul(t.normal(n, rank, 1), t.basis)
	x.Add(x, &low)
	for i := range n {
		for j, v := range t.mean {
			x.Set(i, j, x.At(i, j)+v)
		}
	}
	return x
}

func (t *texts) request(erased, preserved int) erase.Request {
	r := erase.Request{Concepts: t.rows(erased), Anchors: t.rows(erased), HeldOut: t.rows(40)}
	if preserved > 0 {
		r.Preserve = t.rows(preserved)
	}
	return r
}

func get[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func furthest(a, b mat.Matrix) float64 {
	var gap mat.Dense
	gap.Sub(a, b)
	return mat.Max(absolute(&gap))
}

func absolute(m *mat.Dense) *mat.Dense {
	var out mat.Dense
	out.Apply(func(_, _ int, v float64) float64 { return math.Abs(v) }, m)
	return &out
}

// direct is the published loop: outer products for one matrix, and one inverse.
func direct(t *testing.T, w *mat.Dense, r erase.Request, cfg erase.UCEConfig) *mat.Dense {
	t.Helper()
	_, d := w.Dims()
	var left, value mat.Dense
	left.Scale(cfg.Lambda, w)
	right := mat.NewDense(d, d, nil)
	for i := range d {
		right.Set(i, i, cfg.Lambda)
	}
	add := func(from, to mat.Vector, scale float64) {
		value.Mul(w, to)
		var outer mat.Dense
		outer.Outer(scale, value.ColView(0), from)
		left.Add(&left, &outer)
		right.RankOne(right, scale, from, from)
	}
	n, _ := r.Concepts.Dims()
	for i := range n {
		add(r.Concepts.RowView(i), r.Anchors.RowView(i), cfg.EraseScale)
	}
	if r.Preserve != nil {
		m, _ := r.Preserve.Dims()
		for i := range m {
			add(r.Preserve.RowView(i), r.Preserve.RowView(i), cfg.PreserveScale)
		}
	}
	var inverse, out mat.Dense
	if err := inverse.Inverse(right); err != nil {
		t.Fatal(err)
	}
	out.Mul(&left, &inverse)
	return &out
}

// TestUCEHand: d = 2, c = (1, 0), g = (0, 1), lambda = e = 1: A = diag(2, 1), E = I + (g-c) c' A^-1 = [[1/2, 0], [1/2, 1]].
func TestUCEHand(t *testing.T) {
	r := erase.Request{Concepts: mat.NewDense(1, 2, []float64{1, 0}), Anchors: mat.NewDense(1, 2, []float64{0, 1})}
	edit := get[*erase.Edit](t)(erase.UCE(r, erase.UCEConfig{Lambda: 1, EraseScale: 1}))
	if gap := furthest(edit.Matrix(), mat.NewDense(2, 2, []float64{0.5, 0, 0.5, 1})); gap > 1e-15 {
		t.Errorf("E = %v", mat.Formatted(edit.Matrix()))
	}
	// E^-1 = [[2, 0], [-1, 1]]: x = (2, -1)
	attack := get[*erase.Inverse](t)(edit.Invert(r.Concepts))
	if gap := furthest(attack.X, mat.NewDense(1, 2, []float64{2, -1})); gap > 1e-14 || math.Abs(attack.NormRatio[0]-math.Sqrt(5)) > 1e-14 || math.Abs(attack.LogDet-math.Log(0.5)) > 1e-14 || attack.Rank != 1 {
		t.Errorf("attack %+v", attack)
	}
}

// TestEMap: W' = W E to 1e-10 for many matrices, by the small and by the full system, in float32, composed, and as an eraser.
func TestEMap(t *testing.T) {
	x := newTexts(1, 24, 6)
	for _, preserved := range []int{0, 6, 60} { // without, in fewer rows than d (the small system), in more
		r := x.request(3, preserved)
		cfg := erase.DefaultUCE()
		edit := get[*erase.Edit](t)(erase.UCE(r, cfg))
		var all *mat.Dense
		for range 4 {
			w := x.normal(20, 24, 0.3)
			want := direct(t, w, r, cfg)
			got := get[*mat.Dense](t)(edit.Weights(w))
			if gap := furthest(got, want); gap > 1e-10 {
				t.Errorf("%d preserved: W E is off by %.3g", preserved, gap)
			}
			all = got
			narrow, after := make([]float32, 20*24), make([]float32, 20*24)
			for i, v := range w.RawMatrix().Data {
				narrow[i] = float32(v)
			}
			if err := edit.WeightsFloat32(after, narrow); err != nil {
				t.Fatal(err)
			}
			for i, v := range flatten(want) {
				if math.Abs(float64(after[i])-v) > 1e-5 {
					t.Fatalf("float32: value %d is %v, want %v", i, after[i], v)
				}
			}
		}
		other := get[*erase.Edit](t)(erase.UCE(x.request(2, preserved), cfg))
		both := get[*erase.Map](t)(edit.Then(other.Map))
		if gap := furthest(get[*mat.Dense](t)(other.Weights(all)), get[*mat.Dense](t)(both.Weights(directSource(t, edit, all)))); gap > 1e-9 {
			t.Errorf("composition is off by %.3g", gap)
		}
		rows := x.rows(5)
		if gap := furthest(get[*mat.Dense](t)(edit.Apply(rows)), get[*mat.Dense](t)(edit.Eraser().Apply(rows))); gap > 1e-12 {
			t.Errorf("the eraser differs by %.3g", gap)
		}
	}
}

// directSource undoes a map of weights by solving with its full matrix.
func directSource(t *testing.T, m *erase.Edit, w *mat.Dense) *mat.Dense {
	t.Helper()
	var out mat.Dense
	if err := out.Solve(m.Matrix().T(), w.T()); err != nil {
		t.Fatal(err)
	}
	return mat.DenseCopyOf(out.T())
}

// TestInverseReachesErased: the attack's embeddings give the erased matrices' old outputs.
func TestInverseReachesErased(t *testing.T) {
	x := newTexts(2, 32, 6)
	r := x.request(4, 20)
	edit := get[*erase.Edit](t)(erase.UCE(r, erase.DefaultUCE()))
	attack := get[*erase.Inverse](t)(edit.Invert(r.Concepts))
	w := x.normal(16, 32, 0.2)
	after := get[*mat.Dense](t)(edit.Weights(w))
	old, erased := targets(r.Concepts, w), targets(r.Concepts, after)
	if gap := furthest(targets(attack.X, after), old); gap > 1e-9 {
		t.Errorf("W' x differs from W c by %.3g", gap)
	}
	if gap := furthest(erased, old); gap < 0.1 {
		t.Errorf("the edit itself moved the outputs by %.3g only", gap)
	}
	t.Logf("cond %.3g, |x|/|c| %.3g", attack.Condition, attack.NormRatio)
	var svd mat.SVD // of the full matrix
	svd.Factorize(edit.Matrix(), mat.SVDNone)
	if s := svd.Values(nil); math.Abs(s[0]/s[31]-attack.Condition) > 1e-9*attack.Condition {
		t.Errorf("cond is %v, by the full matrix %v", attack.Condition, s[0]/s[31])
	}
	// a map that projects c away has no inverse
	projection := erase.Request{Concepts: mat.NewDense(1, 2, []float64{1, 0}), Anchors: mat.NewDense(1, 2, []float64{0, 1})}
	flat := get[*erase.Edit](t)(erase.UCE(projection, erase.UCEConfig{Lambda: 1e-300, EraseScale: 1}))
	if _, err := flat.Invert(projection.Concepts); !errors.Is(err, erase.ErrSingular) {
		t.Errorf("a singular map: %v", err)
	}
}

// TestPreserveIsNeeded: without rows to preserve, or a prior, one edit moves text that it does not name by tens of percent
// (texts share a large mean); with 50 rows, or the prior, it does not.
func TestPreserveIsNeeded(t *testing.T) {
	x := newTexts(3, 192, 8)
	r := x.request(1, 50)
	with := get[*erase.Edit](t)(erase.UCE(r, erase.DefaultUCE()))
	kept := r.Preserve
	r.Preserve = nil
	without := get[*erase.Edit](t)(erase.UCE(r, erase.DefaultUCE()))
	r.Prior = get[*erase.Prior](t)(erase.PriorFromRows(kept))
	cfg := erase.DefaultUCE()
	cfg.PriorScale = 50
	prior := get[*erase.Edit](t)(erase.UCE(r, cfg))
	t.Logf("held-out drift: nothing preserved %.3f, 50 rows %.3f, their moment %.3f; erased error %.2g, %.2g", without.Errors.HeldOut, with.Errors.HeldOut, prior.Errors.HeldOut, without.Errors.Erased, with.Errors.Erased)
	if without.Errors.HeldOut < 0.2 || with.Errors.HeldOut > 0.1 {
		t.Error("expected above 0.2 and below 0.1")
	}
	if gap := furthest(prior.Matrix(), with.Matrix()); gap > 1e-9 {
		t.Errorf("the moment of the rows gives another map than the rows: %.3g", gap)
	}
	if len(without.Warnings) != 1 || !strings.Contains(without.Warnings[0], "nothing is preserved") || with.Warnings != nil || prior.Warnings != nil {
		t.Errorf("warnings %q, %q, %q", without.Warnings, with.Warnings, prior.Warnings)
	}
}

// TestRECERecovery: after RECE the best embedding brings back less than after UCE, by 1.5 times the error or more, the rest
// staying within twice UCE's drift; without rows to preserve, RECE destroys everything.
func TestRECERecovery(t *testing.T) {
	x := newTexts(4, 192, 8)
	r := x.request(1, 50)
	var w []*mat.Dense
	for range 4 { // 32 outputs for each input, of variance 1/d each, as in Stable Diffusion 1.4
		w = append(w, x.normal(8*192, 192, 1/math.Sqrt(192)))
	}
	gram := get[*mat.SymDense](t)(erase.Gram(w...))
	cfg := erase.DefaultRECE()
	cfg.Derivation.Reg = 1e-3 // as published for styles
	edit := get[*erase.RECEEdit](t)(erase.RECE(t.Context(), r, gram, cfg))
	first := edit.Epochs[0].Recovery
	t.Logf("recovery error %.3f before the first epoch, %.3f after the last; held-out drift %.3f, UCE's %.3f", first, edit.Recovery, edit.Errors.HeldOut, edit.Start.Errors.HeldOut)
	if edit.Recovery < 1.5*first {
		t.Error("the recovery error did not grow by half")
	}
	if edit.Errors.HeldOut > 2*edit.Start.Errors.HeldOut {
		t.Error("the drift more than doubled")
	}
	// from the matrices themselves, as published
	start := get[*mat.Dense](t)(edit.Start.Weights(w[0]))
	var miss, was float64
	for _, m := range w {
		now := get[*mat.Dense](t)(edit.Start.Weights(m))
		a, b := targets(edit.Epochs[0].Derived, now), targets(r.Concepts, m)
		was += math.Pow(mat.Norm(b, 2), 2)
		a.Sub(a, b)
		miss += math.Pow(mat.Norm(a, 2), 2)
	}
	if got := math.Sqrt(miss / was); math.Abs(got-first) > 1e-9 {
		t.Errorf("recovery error by the matrices %v, by the Gram matrix %v", got, first)
	}
	step := r
	step.Concepts = edit.Epochs[0].Derived
	if gap := furthest(direct(t, start, step, cfg.UCE), get[*mat.Dense](t)(edit.Epochs[0].Map.Weights(w[0]))); gap > 1e-8 {
		t.Errorf("the first epoch differs from the published loop by %.3g", gap)
	}
	r.Preserve = nil
	bare := get[*erase.RECEEdit](t)(erase.RECE(t.Context(), r, gram, cfg))
	t.Logf("nothing preserved: held-out drift %.3f", bare.Errors.HeldOut)
	if bare.Errors.HeldOut < 0.5 || len(bare.Warnings) == 0 {
		t.Errorf("expected drift above 0.5 and a warning, got %q", bare.Warnings)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := erase.RECE(stopped, r, gram, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestTRCEMapsSentences: the first end-of-text embedding of a sentence goes to its twin's, keywords go to the twin's last token,
// and ordinary text stays.
func TestTRCEMapsSentences(t *testing.T) {
	x := newTexts(5, 24, 6)
	ordinary := x.rows(400)
	prior := get[*erase.Prior](t)(erase.PriorFromRows(ordinary))
	var pairs []erase.TRCEPair
	for range 4 {
		pairs = append(pairs, erase.TRCEPair{Malicious: x.rows(8), Safe: x.rows(8), FirstEOT: 5, Keywords: []int{2}})
	}
	cfg := erase.DefaultTRCE()
	edit := get[*erase.Edit](t)(erase.TRCE(pairs, prior, cfg))
	if edit.Errors.Erased > 0.1 || edit.Warnings != nil {
		t.Errorf("erased error %.3g, warnings %q", edit.Errors.Erased, edit.Warnings)
	}
	moved := get[*mat.Dense](t)(edit.Apply(ordinary))
	before := get[vectors.Change](t)(vectors.MeasureChange(ordinary, moved))
	cfg.PriorScale = 1
	strong := get[*mat.Dense](t)(get[*erase.Edit](t)(erase.TRCE(pairs, prior, cfg)).Apply(ordinary))
	if now := get[vectors.Change](t)(vectors.MeasureChange(ordinary, strong)); now.Squared >= before.Squared {
		t.Errorf("a stronger prior moved ordinary text more: %v, %v", now.Squared, before.Squared)
	}
	// a keyword alone
	cfg = erase.TRCEConfig{Keyword: 1, Lambda: 1e-6}
	edit = get[*erase.Edit](t)(erase.TRCE(pairs[:1], nil, cfg))
	word := pairs[0].Malicious.Slice(2, 3, 0, 24).(*mat.Dense)
	if gap := furthest(get[*mat.Dense](t)(edit.Apply(word)), pairs[0].Safe.Slice(7, 8, 0, 24)); gap > 1e-5 {
		t.Errorf("the keyword misses the twin's last token by %.3g", gap)
	}
	if _, err := erase.TRCE(pairs[:1], nil, erase.TRCEConfig{FirstEOT: 1}); !errors.Is(err, erase.ErrSingular) || !strings.Contains(err.Error(), "raise lambda by") {
		t.Errorf("no prior and no lambda: %v", err)
	}
}

// TestRealEraReachesNeighbours: embeddings near a concept that the fit never saw go to the anchor, where UCE on the concept alone
// moves them less; what lies beyond stays.
func TestRealEraReachesNeighbours(t *testing.T) {
	x := newTexts(6, 16, 4)
	e, anchor := x.normal(1, 16, 2), x.normal(1, 16, 2)
	h := erase.Neighbourhood{Distance: 3, MinCosine: 0.9, MaxCosine: 1}
	mined := get[*erase.Mined](t)(erase.Mine(e.RawRowView(0), get[*mat.Dense](t)(erase.SampleNoise(400, 16, 0.05, 2, 1)), h))
	prior := get[*erase.Prior](t)(erase.PriorFromRows(x.normal(200, 16, 1)))
	cfg := erase.DefaultRealEra()
	cfg.Beta = 0.1
	edit := get[*erase.Edit](t)(erase.RealEra(mined, anchor.RawRowView(0), prior, cfg))
	alone := get[*erase.Edit](t)(erase.UCE(erase.Request{Concepts: e, Anchors: anchor, Prior: prior}, erase.DefaultUCE()))
	fresh := get[*erase.Mined](t)(erase.Mine(e.RawRowView(0), get[*mat.Dense](t)(erase.SampleNoise(400, 16, 0.3, 0.6, 2)), h))
	miss := func(m *erase.Map) (sum float64) {
		after := get[*mat.Dense](t)(m.Apply(fresh.Candidates))
		for i, near := range fresh.Near {
			if near {
				var gap mat.VecDense
				gap.SubVec(after.RowView(i), anchor.RowView(0))
				sum += mat.Norm(&gap, 2)
			}
		}
		return sum
	}
	t.Logf("distance of unseen near ones from the anchor: RealEra %.4g, UCE on the concept %.4g", miss(edit.Map), miss(alone.Map))
	if miss(edit.Map) >= miss(alone.Map) {
		t.Error("RealEra is not nearer")
	}
	same := get[erase.Neighbourhood](t)(erase.CalibrateNeighbourhood(mat.NewDense(2, 2, []float64{1, 0, 0, 2}), mat.NewDense(2, 2, []float64{1, 1, 0, 5}), 1))
	if same.Distance != 3 || math.Abs(same.MinCosine-math.Sqrt(0.5)) > 1e-12 {
		t.Errorf("calibrated %+v", same)
	}
	if _, err := erase.RealEra(mined, make([]float64, 3), prior, cfg); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("anchor of another width: %v", err)
	}
	h.Distance = 1e-6
	none := get[*erase.Mined](t)(erase.Mine(e.RawRowView(0), x.normal(4, 16, 1), h))
	if _, err := erase.RealEra(none, anchor.RawRowView(0), prior, cfg); err == nil || !strings.Contains(err.Error(), "raise distance") {
		t.Errorf("none near: %v", err)
	}
}

// TestPriorFromStore: a store's moments, which are kept about the mean, give the sum over the rows.
func TestPriorFromStore(t *testing.T) {
	x := newTexts(7, 5, 2).rows(30)
	want := get[*erase.Prior](t)(erase.PriorFromRows(x))
	mean, cross := make([]float64, 5), make([]float64, 25)
	for i := range 30 {
		for j, v := range x.RawRowView(i) {
			mean[j] += v / 30
		}
	}
	m2 := make([]float64, 5)
	for i := range 30 {
		for j := range 5 {
			m2[j] += (x.At(i, j) - mean[j]) * (x.At(i, j) - mean[j])
			for k := range 5 {
				cross[j*5+k] += (x.At(i, j) - mean[j]) * (x.At(i, k) - mean[k])
			}
		}
	}
	got := get[*erase.Prior](t)(erase.PriorFromStore(&store.Moments{Count: 30, Mean: mean, M2: m2, Cross: cross}))
	if gap := furthest(got.Sum, want.Sum); gap > 1e-9 || got.Count != 30 {
		t.Errorf("off by %.3g, count %d", gap, got.Count)
	}
	if _, err := erase.PriorFromStore(&store.Moments{Count: 30, Mean: mean, M2: m2}); err == nil {
		t.Error("moments without cross moments were taken")
	}
}

func TestClosedFormErrors(t *testing.T) {
	x := newTexts(8, 6, 3)
	good := x.request(2, 4)
	nan := mat.DenseCopyOf(good.Concepts)
	nan.Set(1, 2, math.NaN())
	for name, test := range map[string]struct {
		change func(*erase.Request, *erase.UCEConfig)
		want   error
		text   string
	}{
		"anchor":   {func(r *erase.Request, _ *erase.UCEConfig) { r.Anchors = r.Concepts }, erase.ErrAnchor, "concept 0"},
		"nan":      {func(r *erase.Request, _ *erase.UCEConfig) { r.Concepts = nan }, vectors.ErrNotFinite, "concepts, row 1: entry 2"},
		"anchors":  {func(r *erase.Request, _ *erase.UCEConfig) { r.Anchors = x.rows(3) }, vectors.ErrShape, "3 anchors for 2 concepts"},
		"width":    {func(r *erase.Request, _ *erase.UCEConfig) { r.Preserve = newTexts(1, 5, 2).rows(2) }, vectors.ErrShape, "width 5 and needs 6"},
		"none":     {func(r *erase.Request, _ *erase.UCEConfig) { r.Concepts = nil }, vectors.ErrShape, "no rows"},
		"singular": {func(_ *erase.Request, c *erase.UCEConfig) { c.Lambda = 0; c.PreserveScale = 0 }, erase.ErrSingular, "raise lambda by"},
		"negative": {func(_ *erase.Request, c *erase.UCEConfig) { c.Lambda = -1 }, vectors.ErrArgument, "lambda is -1"},
		"prior": {func(r *erase.Request, _ *erase.UCEConfig) {
			r.Prior = &erase.Prior{Sum: mat.NewSymDense(2, nil), Count: 1}
		}, vectors.ErrShape, "prior"},
	} {
		r, cfg := good, erase.DefaultUCE()
		test.change(&r, &cfg)
		if _, err := erase.UCE(r, cfg); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	edit := get[*erase.Edit](t)(erase.UCE(good, erase.DefaultUCE()))
	if _, err := edit.Weights(mat.NewDense(3, 5, nil)); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("K/V of another width: %v", err)
	}
	if err := edit.WeightsFloat32(make([]float32, 7), make([]float32, 7)); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("float32 K/V of another width: %v", err)
	}
	if _, err := erase.Gram(mat.NewDense(3, 6, nil), mat.NewDense(3, 5, nil)); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("K/V matrices of two widths: %v", err)
	}
	thin := get[*mat.SymDense](t)(erase.Gram(x.normal(2, 6, 1)))
	for _, how := range []erase.Derivation{{Regulariser: erase.RegZero}, {Regulariser: erase.RegSurrogate, Reg: 1}} {
		if _, err := erase.Derive(edit.Map, thin, good.Concepts, good.Concepts, how); !errors.Is(err, erase.ErrSingular) || !strings.Contains(err.Error(), "raise reg") {
			t.Errorf("%s on a Gram matrix of rank 2: %v", how.Regulariser, err)
		}
	}
	if err := (erase.Derivation{Regulariser: "none"}).Validate(); err == nil || !strings.Contains(err.Error(), "regzero, standardreg") {
		t.Errorf("unknown regulariser: %v", err)
	}
}
