package vectors

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/graphtest"
	"loupe/sae"
)

// TestAssign: the least sum over all permutations, found by trying them.
func TestAssign(t *testing.T) {
	for seed := range uint64(30) {
		cost := normalRows(seed, 4, 6)
		total := func(pick []int) float64 {
			sum := 0.0
			for i, j := range pick {
				sum += cost.At(i, j)
			}
			return sum
		}
		best := math.Inf(1)
		var try func(pick []int)
		try = func(pick []int) {
			if len(pick) == 4 {
				best = min(best, total(pick))
				return
			}
			for j := range 6 {
				if !slices.Contains(pick, j) {
					try(append(slices.Clone(pick), j))
				}
			}
		}
		try(nil)
		got := assign(cost)
		closeTo(t, "least sum", []float64{total(got)}, []float64{best}, 1e-12)
		slices.Sort(got)
		if len(slices.Compact(got)) != 4 {
			t.Errorf("a column is used twice: %v", got)
		}
	}
	partner, cosine, err := MatchCosines(rows([]float64{1, 0}, []float64{0, 3}), rows([]float64{0, 2}, []float64{1, 1}, []float64{5, 0}), false)
	if err != nil || partner[0] != 2 || partner[1] != 0 || cosine[0] != 1 || cosine[1] != 1 {
		t.Errorf("partners %v, cosines %v, %v", partner, cosine, err)
	}
	_, cosine, err = MatchCosines(rows([]float64{1, 0}), rows([]float64{-2, 0}, []float64{1, 2}), true)
	if err != nil || cosine[0] != 1 {
		t.Errorf("either sign: cosine %v, %v", cosine, err)
	}
}

// TestNNLSHand: (3, -1) on (1, 0) and (0, 1) is (3, 0); on (1, 1) alone it is the mean, 1.
func TestNNLSHand(t *testing.T) {
	closeTo(t, "u", flat(ok(NNLS(t.Context(), rows([]float64{3, -1}), identity(2)))(t)), []float64{3, 0}, 1e-14)
	closeTo(t, "u", flat(ok(NNLS(t.Context(), rows([]float64{3, -1}), rows([]float64{1, 1})))(t)), []float64{1}, 1e-14)
	closeTo(t, "derivative", flat(ok(NNLSJacobian([]float64{3, 0}, identity(2)))(t)), []float64{1, 0, 0, 0}, 1e-14)
}

// TestNNLSOptimality: slopes are 0 on the support and not negative off it, for concepts of either sign and more of them.
func TestNNLSOptimality(t *testing.T) {
	for _, r := range []int{1, 3, 9} {
		a, w := normalRows(1, 80, 12), normalRows(2, r, 12)
		u := ok(NNLS(t.Context(), a, w))(t)
		var residual, slope mat.Dense
		residual.Mul(u, w)
		residual.Sub(&residual, a)
		slope.Mul(&residual, w.T())
		support := 0
		for i := range 80 {
			for k := range r {
				v, s := u.At(i, k), slope.At(i, k)
				if v < 0 || v > 0 && math.Abs(s) > 1e-10 || v == 0 && s < -1e-10 {
					t.Fatalf("row %d, concept %d: %v with slope %v", i, k, v, s)
				}
				if v > 0 {
					support++
				}
			}
		}
		if support == 0 || support == 80*r {
			t.Errorf("%d of %d entries are above 0; the test needs both", support, 80*r)
		}
	}
}

// TestJacobians: the derivative of every smooth code against central differences.
func TestJacobians(t *testing.T) {
	s := reluSAE(1, 7, 9)
	for _, x := range []Extractor{NMFExtractor{Config: DefaultHALS()}, SemiNMFExtractor{Config: DefaultHALS()}, PCAExtractor{}, SAEExtractor{SAE: s}, SAEExtractor{SAE: gatedSAE(2, 7, 9)}, SAEExtractor{SAE: rescaledSAE(3, 7, 9)}} {
		a := normalRows(4, 40, 7)
		if x.Name() == "nmf" {
			a, _, _ = mixture(4, 40, 7, 3, 0.1)
		}
		c := ok(x.Extract(t.Context(), a, 3, 1))(t)
		// float32 latents resolve a difference of 1e-2 to some 1e-5; within it the NNLS support must not change either
		h, tol := 1e-6, 1e-6
		if x.Name() == "sae" {
			h, tol = 1e-2, 1e-4
		}
		checked := 0
		for i := range 12 {
			j := ok(c.Jacobian(c.U.RawRowView(i)))(t)
			moved := mat.NewDense(2, 7, nil)
			for axis := range 7 {
				moved.SetRow(0, a.RawRowView(i))
				moved.SetRow(1, a.RawRowView(i))
				moved.Set(0, axis, moved.At(0, axis)+h)
				moved.Set(1, axis, moved.At(1, axis)-h)
				u := ok(c.Encode(t.Context(), moved))(t)
				for k := range 3 {
					edge := x.Name() != "pca" && ((u.At(0, k) > 0) != (u.At(1, k) > 0) || (u.At(0, k) > 0) != (c.U.At(i, k) > 0))
					if edge {
						continue
					}
					want := (u.At(0, k) - u.At(1, k)) / (2 * h)
					if math.Abs(j.At(k, axis)-want) > tol*(1+math.Abs(want)) {
						t.Fatalf("%s: row %d, concept %d, axis %d: %v, want %v", x.Name(), i, k, axis, j.At(k, axis), want)
					}
					checked++
				}
			}
		}
		if checked < 200 {
			t.Errorf("%s: only %d derivatives lie off the edges", x.Name(), checked)
		}
	}
	if _, err := ok(KMeansExtractor{Starts: 10, Rounds: 5}.Extract(t.Context(), normalRows(1, 9, 2), 2, 1))(t).Jacobian([]float64{1, 0}); !errors.Is(err, ErrArgument) {
		t.Errorf("k-means: %v", err)
	}
}

// gatedSAE lets latents through by biases of their own and scales them.
func gatedSAE(seed uint64, d, f int) *sae.SAE {
	s := reluSAE(seed, d, f)
	s.Arch, s.BGate, s.BMag, s.RMag, s.BEnc = sae.ArchGated, make([]float32, f), make([]float32, f), make([]float32, f), nil
	for l := range f {
		s.BGate[l], s.BMag[l], s.RMag[l] = 0.1, 0.3, float32(l)/10-0.4
	}
	return s
}

// rescaledSAE multiplies scores by the norms of the decoder rows, which differ.
func rescaledSAE(seed uint64, d, f int) *sae.SAE {
	s := reluSAE(seed, d, f)
	s.Arch, s.K, s.RescaleByDecoder = sae.ArchTopK, 3, true
	for l := range f {
		for j := range d {
			s.WDec[l*d+j] *= 1 + float32(l)/3
		}
	}
	return s
}

// TestSAEConceptsDecode: with all latents as concepts Decode is the autoencoder's reconstruction; an architecture whose decoder does more
// than add is refused.
func TestSAEConceptsDecode(t *testing.T) {
	a := normalRows(4, 40, 7)
	for name, s := range map[string]*sae.SAE{"relu": reluSAE(1, 7, 9), "gated": gatedSAE(2, 7, 9), "rescaled": rescaledSAE(3, 7, 9)} {
		c := ok(SAEExtractor{SAE: s}.Extract(t.Context(), a, 9, 0))(t)
		_, want, err := s.Reconstruct(float32s(flat(a)))
		if err != nil {
			t.Fatal(err)
		}
		closeTo(t, name, flat(ok(c.Decode(c.U))(t)), float64s(want), 1e-5)
	}
	s := reluSAE(1, 7, 9)
	s.Arch = sae.ArchMatchingPursuit
	if _, err := (SAEExtractor{SAE: s}).Extract(t.Context(), a, 3, 0); !errors.Is(err, ErrArgument) {
		t.Errorf("matching pursuit: %v", err)
	}
}

// clustered are rows near one of r far apart, signed directions.
func clustered(seed uint64, n, d, r int) (a, centres *mat.Dense) {
	rng := rand.New(rand.NewPCG(seed, 6))
	centres = normalRows(seed+50, r, d)
	a = normalRows(seed+51, n, d)
	a.Scale(0.2, a)
	for i := range n {
		floats.AddScaled(a.RawRowView(i), 1.5+rng.Float64(), centres.RawRowView(i%r))
	}
	return a, centres
}

// TestExtractorsPlanted: each method recovers what fits its own model: k-means, semi-NMF and an SAE rows of one signed
// direction each, NMF mixtures of non-negative ones, PCA the span. Codes of the fitted rows are those of Encode, equal seeds
// give equal concepts, and the reconstruction is better than the mean.
func TestExtractorsPlanted(t *testing.T) {
	const n, d, r = 240, 24, 4
	signed, centres := clustered(1, n, d, r)
	mixed, _, parts := mixture(2, n, d, r, 0.02)
	train := sae.DefaultConfig()
	train.K, train.Tokens, train.Batch, train.LR, train.Engine, train.DeadTokens = 1, 9_600, 120, 5e-3, sae.EngineHost, 1200
	for _, c := range []struct {
		x     Extractor
		a     *mat.Dense
		truth *mat.Dense
		least float64
	}{
		{NMFExtractor{Config: HALSConfig{Rounds: 300, Sweeps: 2}}, mixed, parts, 0.97},
		{SemiNMFExtractor{Config: DefaultHALS()}, signed, centres, 0.95}, // its solution is not unique
		{KMeansExtractor{Starts: 10, Rounds: 50}, signed, centres, 0.97},
		{PCAExtractor{}, signed, nil, 0},
		{SAEExtractor{Backend: graphtest.Backend(t), Config: train}, signed, centres, 0.9},
	} {
		got := ok(c.x.Extract(t.Context(), c.a, r, 3))(t)
		if got.Method != c.x.Name() {
			t.Errorf("method %q of %q", got.Method, c.x.Name())
		}
		if c.truth != nil {
			truth := scaled(2, c.truth) // as far as the rows lie out, which counts where the concepts' origin is not 0
			_, cosine, err := MatchCosines(centred(truth, got.Centre), got.W, false)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%-8s cosines %.3f", c.x.Name(), cosine)
			if slices.Sort(cosine); c.x.Name() == "sae" {
				cosine = cosine[1:] // b_dec can hold one of the clusters
			}
			if floats.Min(cosine) < c.least {
				t.Errorf("%s recovers with cosines %.3f", c.x.Name(), cosine)
			}
		}
		closeTo(t, c.x.Name()+" codes", flat(got.U), flat(ok(got.Encode(t.Context(), c.a))(t)), 1e-9)
		again := ok(c.x.Extract(t.Context(), c.a, r, 3))(t)
		closeTo(t, c.x.Name()+" again", flat(again.W), flat(got.W), 0)
		back := ok(got.Decode(got.U))(t)
		back.Sub(c.a, back)
		if left, all := mat.Norm(back, 2), mat.Norm(centred(c.a, columnMeans(c.a)), 2); left > 0.8*all {
			t.Errorf("%s: error %.3f of %.3f about the mean", c.x.Name(), left, all)
		}
		if _, err := got.Encode(t.Context(), normalRows(1, 2, d+1)); !errors.Is(err, ErrShape) {
			t.Errorf("%s: another width: %v", c.x.Name(), err)
		}
		if _, err := c.x.Extract(t.Context(), c.a, n+1, 1); !errors.Is(err, ErrArgument) {
			t.Errorf("%s: more concepts than rows: %v", c.x.Name(), err)
		}
		bad := mat.DenseCopyOf(c.a)
		bad.Set(3, 2, math.NaN())
		if _, err := c.x.Extract(t.Context(), bad, r, 1); !errors.Is(err, ErrNotFinite) {
			t.Errorf("%s: NaN: %v", c.x.Name(), err)
		}
	}
}

// TestKMeansHand: rows 0, 1, 10, 11 make clusters at 0.5 and 10.5; a given start of NMF decides the order of its concepts.
func TestKMeansHand(t *testing.T) {
	a := rows([]float64{0}, []float64{1}, []float64{10}, []float64{11})
	c := ok(KMeansExtractor{Starts: 10, Rounds: 10}.Extract(t.Context(), a, 2, 1))(t)
	centres := []float64{c.W.At(0, 0), c.W.At(1, 0)}
	slices.Sort(centres)
	closeTo(t, "centres", centres, []float64{0.5, 10.5}, 1e-14)
	for _, swap := range []bool{false, true} {
		start := rows([]float64{1, 0.1}, []float64{0.1, 1})
		if swap {
			start = rows([]float64{0.1, 1}, []float64{1, 0.1})
		}
		f := ok(NMFExtractor{Config: HALSConfig{Rounds: 50, Sweeps: 2}, W: start}.Extract(t.Context(), rows([]float64{2, 0}, []float64{0, 3}, []float64{4, 3}), 2, 0))(t)
		if first := f.W.At(0, 0) > f.W.At(0, 1); first == swap {
			t.Errorf("swapped %v: concepts %v", swap, flat(f.W))
		}
	}
	closeTo(t, "split signs", flat(SplitSigns(rows([]float64{1, -2}))), []float64{1, 0, 0, 2}, 0)
}

// TestSignedNMF: signed concepts without a common entry are found in their mixtures; about the mean, a shift of all rows moves
// the centre alone.
func TestSignedNMF(t *testing.T) {
	truth := rows([]float64{1, -2, 0, 0, 0, 0}, []float64{0, 0, 1, 3, 0, 0}, []float64{0, 0, 0, 0, -1, 2})
	_, u, _ := mixture(3, 60, 8, 3, 0)
	a := product(u, truth)
	c := ok(NMFExtractor{Config: DefaultHALS(), Signed: true}.Extract(t.Context(), a, 3, 1))(t)
	_, cosine, err := MatchCosines(truth, c.W, false)
	if err != nil || floats.Min(cosine) < 0.999 {
		t.Errorf("cosines %.4f, %v", cosine, err)
	}
	shifted := mat.DenseCopyOf(a)
	shifted.Apply(func(_, _ int, v float64) float64 { return v + 7 }, shifted)
	for _, x := range []Extractor{NMFExtractor{Config: DefaultHALS(), Signed: true}, SemiNMFExtractor{Config: DefaultHALS()}, DefaultKMeans()} {
		here, there := ok(AboutMean{x}.Extract(t.Context(), a, 3, 1))(t), ok(AboutMean{x}.Extract(t.Context(), shifted, 3, 1))(t)
		closeTo(t, x.Name()+": concepts", flat(there.W), flat(here.W), 1e-6)
		closeTo(t, x.Name()+": centre", there.Centre, flat(centred(mat.NewDense(1, 6, append([]float64(nil), here.Centre...)), slices.Repeat([]float64{-7}, 6))), 1e-9)
		closeTo(t, x.Name()+": codes", flat(ok(there.Encode(t.Context(), shifted))(t)), flat(here.U), 1e-6)
	}
}
