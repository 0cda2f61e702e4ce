package stats_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/stats"
)

var (
	nan = math.NaN()
	inf = math.Inf(1)
	ctx = context.Background()
)

// near fails unless got is within tolerance of want, absolutely or relative to want.
func near(t testing.TB, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*max(1, math.Abs(want))) {
		t.Errorf("%s = %.15g, want %.15g", what, got, want)
	}
}

// between fails unless low <= got <= high.
func between(t testing.TB, what string, got, low, high float64) {
	t.Helper()
	if !(got >= low && got <= high) {
		t.Errorf("%s = %.4g, want it in [%.4g, %.4g]", what, got, low, high)
		return
	}
	t.Logf("%s = %.4g, in [%.4g, %.4g]", what, got, low, high)
}

// drop turns a function of two results into its error.
func drop[T any](_ T, err error) error { return err }

func TestRefusedInput(t *testing.T) {
	good, other := []float64{1, 2, 3, 5}, []float64{2, 1, 4, 4}
	bad, endless := []float64{1, 2, nan, 5}, []float64{1, inf, 3, 5}
	flat := []float64{2, 2, 2, 2}
	labels := []bool{true, false, true, false}
	boot, perm := stats.DefaultBootstrap(), stats.DefaultPermutation()
	percentile := boot
	percentile.Method = stats.Percentile
	first := func(i []int) float64 { return float64(i[0]) }
	rows := func(n, d int, v ...float64) *mat.Dense { return mat.NewDense(n, d, v) }
	tests := []struct {
		name  string
		err   error
		is    error
		holds string
	}{
		{"pearson empty", drop(stats.Pearson(nil, nil)), stats.ErrTooFew, "x has 0"},
		{"pearson lengths", drop(stats.Pearson(good, good[:3])), stats.ErrArgument, "4 values and y has 3"},
		{"pearson NaN", drop(stats.Pearson(good, bad)), stats.ErrNotFinite, "y[2] is NaN"},
		{"pearson infinity", drop(stats.Pearson(endless, good)), stats.ErrNotFinite, "x[1] is +Inf"},
		{"pearson constant", drop(stats.Pearson(good, flat)), stats.ErrDegenerate, "constant"},
		{"spearman NaN", drop(stats.Spearman(bad, good)), stats.ErrNotFinite, "x[2]"},
		{"kendall two", drop(stats.KendallTauB(good[:2], good[:2])), stats.ErrTooFew, "x has 2"},
		{"kendall constant", drop(stats.KendallTauB(flat, good)), stats.ErrDegenerate, "constant"},
		{"welch one", drop(stats.Welch(good, good[:1])), stats.ErrTooFew, "b has 1"},
		{"welch constant", drop(stats.Welch(flat, flat[:2])), stats.ErrDegenerate, "constant"},
		{"welch NaN", drop(stats.Welch(bad, good)), stats.ErrNotFinite, "a[2]"},
		{"welch overflow", drop(stats.Welch([]float64{1e300, -1e300}, good)), stats.ErrDegenerate, "rescale"},
		{"hedges constant", drop(stats.Hedges(flat, flat, 0.95)), stats.ErrDegenerate, "constant"},
		{"hedges level", drop(stats.Hedges(good, other, 95)), stats.ErrArgument, "level is 95"},
		{"wilson none", drop(stats.Wilson(0, 0, 0.95)), stats.ErrTooFew, "0 trials"},
		{"wilson more", drop(stats.Wilson(3, 2, 0.95)), stats.ErrArgument, "3 successes of 2"},
		{"wilson level", drop(stats.Wilson(1, 2, nan)), stats.ErrArgument, "NaN"},
		{"mann-whitney empty", drop(stats.MannWhitney(nil, good)), stats.ErrTooFew, "a has 0"},
		{"mann-whitney equal", drop(stats.MannWhitney(flat, flat)), stats.ErrDegenerate, "all equal"},
		{"ks empty", drop(stats.KolmogorovSmirnov(good, nil)), stats.ErrTooFew, "b has 0"},
		{"ks NaN", drop(stats.KolmogorovSmirnov(good, bad)), stats.ErrNotFinite, "b[2]"},
		{"jonckheere one group", drop(stats.Jonckheere([][]float64{good})), stats.ErrTooFew, "1 groups"},
		{"jonckheere empty group", drop(stats.Jonckheere([][]float64{good, {}})), stats.ErrTooFew, "group 1 has 0"},
		{"jonckheere NaN", drop(stats.Jonckheere([][]float64{good, bad})), stats.ErrNotFinite, "group 1[2]"},
		{"jonckheere equal", drop(stats.Jonckheere([][]float64{flat, flat})), stats.ErrDegenerate, "all equal"},
		{"jonckheere two values", drop(stats.Jonckheere([][]float64{{1}, {2}})), stats.ErrTooFew, "union"},
		{"holm empty", drop(stats.Holm(nil)), stats.ErrTooFew, "p-values has 0"},
		{"holm range", drop(stats.Holm([]float64{0.1, 1.5})), stats.ErrArgument, "p[1] is 1.5"},
		{"bh NaN", drop(stats.BenjaminiHochberg([]float64{nan})), stats.ErrNotFinite, "p[0]"},
		{"by negative", drop(stats.BenjaminiYekutieli([]float64{-0.1})), stats.ErrArgument, "p[0]"},
		{"auc one class", drop(stats.AUC(good, []bool{true, true, true, true})), stats.ErrTooFew, "negative class has 0"},
		{"auc lengths", drop(stats.AUC(good, labels[:2])), stats.ErrArgument, "scores has 4"},
		{"auc NaN", drop(stats.AUC(bad, labels)), stats.ErrNotFinite, "scores[2]"},
		{"delong separated", drop(stats.AUCDeLong(good, []bool{false, false, true, true}, 0.95)), stats.ErrDegenerate, "AUCNewcombe"},
		{"delong one positive", drop(stats.AUCDeLong(good, []bool{false, false, false, true}, 0.95)), stats.ErrTooFew, "positive class has 1"},
		{"auc bootstrap one positive", drop(stats.AUCBootstrap(ctx, good, []bool{false, false, false, true}, boot)), stats.ErrTooFew, "positive class has 1"},
		{"bootstrap negative", drop(stats.Bootstrap(ctx, -1, first, boot)), stats.ErrTooFew, "sample has 0"},
		{"bootstrap zero config", drop(stats.Bootstrap(ctx, 4, first, stats.BootstrapConfig{})), stats.ErrArgument, "resamples is 0"},
		{"bootstrap method", drop(stats.Bootstrap(ctx, 4, first, stats.BootstrapConfig{Resamples: 10, Level: 0.9, Method: "t"})), stats.ErrArgument, `"t"`},
		{"bootstrap level", drop(stats.Bootstrap(ctx, 4, first, stats.BootstrapConfig{Resamples: 10, Level: 1, Method: stats.BCa})), stats.ErrArgument, "level is 1"},
		{"bootstrap NaN statistic", drop(stats.Bootstrap(ctx, 4, stats.MeanOf(bad), boot)), stats.ErrNotFinite, "whole sample"},
		{"bootstrap NaN replicate", drop(stats.Bootstrap(ctx, 4, func(i []int) float64 { return 1 / float64(i[0]-i[1]) * 0 }, percentile)), stats.ErrNotFinite, "resample"},
		{"bca of a constant", drop(stats.Bootstrap(ctx, 4, stats.MeanOf(flat), boot)), stats.ErrDegenerate, `"percentile"`},
		{"strata of one", drop(stats.BootstrapStrata(ctx, []int{7, 7, 9}, first, boot)), stats.ErrTooFew, "labelled 9"},
		{"one cluster", drop(stats.BootstrapClusters(ctx, []int{1, 1, 1}, first, boot)), stats.ErrTooFew, "clusters has 1"},
		{"crossed bca", drop(stats.BootstrapCrossed(ctx, 3, 3, nil, boot)), stats.ErrArgument, `"bca"`},
		{"crossed one row", drop(stats.BootstrapCrossed(ctx, 1, 3, nil, percentile)), stats.ErrTooFew, "rows has 1"},
		{"resample out of range", drop(stats.BootstrapFrom(ctx, 4, [][]int{{0, 1}, {2, 4}}, first, boot)), stats.ErrArgument, "resample 1 names example 4 of 4"},
		{"resample empty", drop(stats.BootstrapFrom(ctx, 4, [][]int{{0, 1}, {}}, first, boot)), stats.ErrTooFew, "resample 1 has 0"},
		{"permute empty", drop(stats.PermuteMeans(ctx, nil, good, stats.TwoSided, perm)), stats.ErrTooFew, "a has 0"},
		{"permute NaN", drop(stats.PermuteMeans(ctx, bad, good, stats.TwoSided, perm)), stats.ErrNotFinite, "a[2]"},
		{"permute alternative", drop(stats.PermuteMeans(ctx, good, good, "both", perm)), stats.ErrArgument, `"both"`},
		{"permute zero config", drop(stats.PermuteMeans(ctx, good, good, stats.Less, stats.PermutationConfig{})), stats.ErrArgument, "resamples is 0"},
		{"signs empty", drop(stats.PermuteSigns(ctx, nil, stats.TwoSided, perm)), stats.ErrTooFew, "differences has 0"},
		{"signs NaN", drop(stats.PermuteSigns(ctx, bad, stats.TwoSided, perm)), stats.ErrNotFinite, "d[2]"},
		{"permuted statistic", drop(stats.PermuteTwoSample(ctx, good, other, func(a, b []float64) float64 { return nan }, perm)), stats.ErrNotFinite, "on the data"},
		{"pairing of one", drop(stats.PermutePairing(ctx, 1, func([]int) float64 { return 0 }, perm)), stats.ErrTooFew, "pairs has 1"},
		{"cka rows", drop(stats.LinearCKA(rows(2, 2, 1, 2, 3, 4), rows(1, 2, 1, 2))), stats.ErrArgument, "2 rows with 1 rows"},
		{"cka one row", drop(stats.LinearCKA(rows(1, 2, 1, 2), rows(1, 2, 1, 2))), stats.ErrTooFew, "rows has 1"},
		{"cka equal rows", drop(stats.LinearCKA(rows(2, 2, 1, 2, 1, 2), rows(2, 1, 1, 2))), stats.ErrDegenerate, "rows of x are equal"},
		{"cka NaN", drop(stats.LinearCKA(rows(2, 1, 1, 2), rows(2, 2, 1, 2, 3, nan))), stats.ErrNotFinite, "column 1 of y[1]"},
		{"vendi zero row", drop(stats.VendiCosine(rows(2, 2, 1, 2, 0, 0), 1)), stats.ErrDegenerate, "row 1 is zero"},
		{"vendi NaN", drop(stats.VendiCosine(rows(1, 2, 1, nan), 1)), stats.ErrNotFinite, "row 0[1]"},
		{"vendi order", drop(stats.VendiCosine(rows(1, 2, 1, 2), 0)), stats.ErrArgument, "order"},
		{"vendi diagonal", drop(stats.Vendi(mat.NewSymDense(1, []float64{2}), 1)), stats.ErrArgument, "[0, 0] is 2"},
		{"vendi indefinite", drop(stats.Vendi(mat.NewSymDense(2, []float64{1, 3, 3, 1}), 1)), stats.ErrArgument, "eigenvalue -1"},
		{"vendi empty", drop(stats.Vendi(&mat.SymDense{}, 1)), stats.ErrTooFew, "diagonal has 0"},
		{"cosine one row", drop(stats.MeanCosineDistance(rows(1, 2, 1, 2))), stats.ErrTooFew, "rows has 1"},
		{"cosine empty", drop(stats.MeanCosineDistance(&mat.Dense{})), stats.ErrTooFew, "rows has 0"},
		{"n-grams zero", drop(stats.CountNGrams([][]string{{"a"}}, 0)), stats.ErrArgument, "length 0"},
		{"n-grams none", drop(stats.CountNGrams([][]string{{"a"}}, 2)), stats.ErrTooFew, "has 2 tokens"},
		{"ead vocabulary", drop(stats.NGrams{Distinct: 1, Total: 1}.ExpectationAdjusted(0)), stats.ErrArgument, "vocabulary of 0"},
		{"rouge zero", drop(stats.RougeN(nil, nil, 0)), stats.ErrArgument, "ROUGE-0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if !errors.Is(test.err, test.is) || !strings.Contains(test.err.Error(), test.holds) {
				t.Errorf("error %v; want %v with %q", test.err, test.is, test.holds)
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	x := []float64{1, 2, 3, 4, 5, 6, 7, 8}
	for name, err := range map[string]error{
		"bootstrap":   drop(stats.Bootstrap(ended, len(x), stats.MeanOf(x), stats.DefaultBootstrap())),
		"permutation": drop(stats.PermuteSigns(ended, x, stats.TwoSided, stats.DefaultPermutation())),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want it to wrap context.Canceled", name, err)
		}
	}
}

// TestInputsAreKept calls what sorts or shuffles inside.
func TestInputsAreKept(t *testing.T) {
	a, b := []float64{3, 1, 2, 9}, []float64{7, 4, 4, 1}
	keepA, keepB := slices.Clone(a), slices.Clone(b)
	cfg := stats.PermutationConfig{Resamples: 20}
	for name, err := range map[string]error{
		"ks":          drop(stats.KolmogorovSmirnov(a, b)),
		"jonckheere":  drop(stats.Jonckheere([][]float64{a, b})),
		"kendall":     drop(stats.KendallTauB(a, b)),
		"permutation": drop(stats.PermuteTwoSample(ctx, a, b, func(x, y []float64) float64 { x[0] = 0; return y[0] }, cfg)),
		"delong":      drop(stats.AUCDeLong(a, []bool{true, false, true, false}, 0.9)),
	} {
		if err != nil || !slices.Equal(a, keepA) || !slices.Equal(b, keepB) {
			t.Errorf("%s: error %v, a %v, b %v", name, err, a, b)
		}
	}
}
