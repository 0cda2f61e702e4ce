package vectors

import (
	"errors"
	"math"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

func TestConceptVectorsHand(t *testing.T) {
	e := rows([]float64{1, 0}, []float64{0, 1}, []float64{1, 1}, []float64{-1, 0}, []float64{1, 0})
	// products with (1, 0): 1 0 1 -1 1, so that ties go to tokens 0, 2, 4 in order; with (0, 1): 0 1 1 0 0
	if top := ok(TopTokens(e, []float64{1, 0}, 4))(t); top[0] != 0 || top[1] != 2 || top[2] != 4 || top[3] != 1 {
		t.Errorf("top tokens %v", top)
	}
	change := ok(CompareVectors(t.Context(), e, rows([]float64{1, 0}), rows([]float64{0, 2}), 2))(t)[0] // {0, 2} and {1, 2}
	closeTo(t, "Jaccard, cosine, L2", []float64{change.Jaccard, change.Cosine, change.L2}, []float64{1.0 / 3, 0, math.Sqrt(5)}, 1e-15)
	closeTo(t, "purity", []float64{ok(Purity(e, []float64{1, 0}, []int{2, 3, 2}, 2))(t)}, []float64{0.5}, 1e-15)
}

// themed are embeddings of v tokens of which some share a theme, and candidates of which the first point at it.
func themed(v, d, n, planted int) (e, candidates *mat.Dense, lexicon []int) {
	e = normalRows(1, v, d)
	theme := flat(normalRows(2, 1, d))
	for i := range 25 {
		lexicon = append(lexicon, i*7)
		floats.AddScaled(e.RawRowView(i*7), 0.3, theme)
	}
	candidates = normalRows(3, n, d)
	for i := range planted {
		floats.AddScaled(candidates.RawRowView(i), 2, theme)
	}
	for i := range candidates.RawMatrix().Data[:d] {
		candidates.RawMatrix().Data[i] *= 1e-3 // the norm does not matter
	}
	return e, candidates, lexicon
}

// TestFindPlanted: vectors that point at a lexicon's embeddings are found, by the lexicon and by the coherence of their tokens in
// another space, and random ones are not.
func TestFindPlanted(t *testing.T) {
	const v, d, n, planted = 400, 48, 60, 6
	e, candidates, lexicon := themed(v, d, n, planted)
	space := normalRows(9, v, 20) // of another model, where the theme's tokens are alike
	for _, token := range lexicon {
		floats.AddScaled(space.RawRowView(token), 4, flat(normalRows(8, 1, 20)))
	}
	cluster := ok(ClusterCoherence("cluster", space))(t)
	purity := ok(LexiconPurity("theme", lexicon, v))(t)
	cfg := FindConfig{K: 20, Random: 499, Alpha: 0.05, Seed: 1}
	for _, statistic := range []TopStatistic{purity, cluster} {
		found := ok(FindVectors(t.Context(), e, candidates, []TopStatistic{statistic}, cfg))(t)
		right, wrong := 0, 0
		for i, f := range found {
			if f.Candidate < planted {
				right++
			} else {
				wrong++
			}
			if i > 0 && f.Value > found[i-1].Value || f.BH > cfg.Alpha || len(f.Top) != cfg.K || f.Statistic != statistic.Name {
				t.Errorf("find %d: %+v", i, f)
			}
		}
		if right != planted || wrong > 2 {
			t.Errorf("%s: %d of %d planted and %d others found", statistic.Name, right, planted, wrong)
		}
	}
	all := ok(topTests(t.Context(), e, candidates, []TopStatistic{purity, cluster}, cfg))(t)
	closeTo(t, "purity of candidate 3", []float64{all[3].Value}, []float64{ok(Purity(e, candidates.RawRowView(3), lexicon, 20))(t)}, 1e-15)
	if len(all) != 2*n || all[n].Statistic != "cluster" || all[n].Candidate != 0 {
		t.Errorf("%d tests", len(all))
	}
}

// TestFindNull: among random candidates a find at 5 % is rare.
func TestFindNull(t *testing.T) {
	e, _, lexicon := themed(300, 24, 1, 0)
	purity := ok(LexiconPurity("theme", lexicon, 300))(t)
	runs := 0
	for seed := range uint64(60) {
		if len(ok(FindVectors(t.Context(), e, normalRows(50+seed, 30, 24), []TopStatistic{purity}, FindConfig{K: 20, Random: 199, Alpha: 0.05, Seed: seed}))(t)) > 0 {
			runs++
		}
	}
	if runs > 10 { // of 60 at 0.05: 11 has a chance of 0.0002
		t.Errorf("%d of 60 runs without a planted vector find one", runs)
	}
}

// TestCoherenceHand: rows (1, 0), (0, 2), (3, 3) have pairwise cosines 0, 0.7071, 0.7071; a row of zeros is left out.
func TestCoherenceHand(t *testing.T) {
	s := ok(ClusterCoherence("c", rows([]float64{1, 0}, []float64{0, 2}, []float64{3, 3}, []float64{0, 0})))(t)
	closeTo(t, "coherence", []float64{s.Of([]int{0, 1, 2}), s.Of([]int{3, 0, 1, 2}), s.Of([]int{0, 3})}, []float64{math.Sqrt2 / 3, math.Sqrt2 / 3, 0}, 1e-14)
}

func TestFindRefuses(t *testing.T) {
	e := normalRows(1, 10, 3)
	purity := ok(LexiconPurity("l", []int{1}, 10))(t)
	if _, err := LexiconPurity("l", []int{10}, 10); !errors.Is(err, ErrArgument) {
		t.Errorf("token 10 of 10: %v", err)
	}
	for what, try := range map[string]struct {
		candidates *mat.Dense
		statistics []TopStatistic
		cfg        FindConfig
		want       error
	}{
		"width": {normalRows(1, 2, 4), []TopStatistic{purity}, FindConfig{K: 2, Random: 3, Alpha: 0.1}, ErrShape}, "no statistic": {normalRows(1, 2, 3), nil, FindConfig{K: 2, Random: 3, Alpha: 0.1}, ErrArgument},
		"k": {normalRows(1, 2, 3), []TopStatistic{purity}, FindConfig{K: 11, Random: 3, Alpha: 0.1}, ErrArgument}, "alpha": {normalRows(1, 2, 3), []TopStatistic{purity}, FindConfig{K: 2, Random: 3}, ErrArgument},
		"zero": {mat.NewDense(1, 3, nil), []TopStatistic{purity}, FindConfig{K: 2, Random: 3, Alpha: 0.1}, ErrArgument},
	} {
		if _, err := FindVectors(t.Context(), e, try.candidates, try.statistics, try.cfg); !errors.Is(err, try.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
