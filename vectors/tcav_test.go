package vectors

import (
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/stats"
)

// TestTCAVHand: the CAV of the points -1 and 1 on the first axis is (1, 0).
func TestTCAVHand(t *testing.T) {
	x, y := rows([]float64{-1, 0}, []float64{1, 0}), []int{0, 1}
	gradients := rows([]float64{-3, 9}, []float64{-2, 0}, []float64{1, -5}, []float64{-4, 4})
	test := ok(TCAVFrom(t.Context(), x, y, gradients, 1, [][]int{{0, 1}, {1, 0}, {0, 1}}))(t)
	closeTo(t, "cav", test.CAV, []float64{1, 0}, 1e-12)
	closeTo(t, "directional", test.Directional, []float64{-3, -2, 1, -4}, 1e-12)
	// the losses fall by (3 + 2 - 1 + 4) / 4 on the mean; every null vector is (1, 0) or (-1, 0)
	closeTo(t, "sensitivity, its p, its null", append([]float64{test.Sensitivity, test.SensitivityP}, test.SensitivityNull...), []float64{2, 1, 2, -2, 2}, 1e-12)
	// the null of the swapped labels is 1/4, as far from 1/2 as 3/4
	closeTo(t, "score, magnitude, p, null", append([]float64{test.Score, test.Magnitude, test.P}, test.Null...), []float64{0.75, 0.9, 1, 0.75, 0.25, 0.75}, 1e-12)
}

// TestTCAVNull: without a concept p-values are uniform; with one they are small.
func TestTCAVNull(t *testing.T) {
	gradients := normalRows(1, 400, 6) // an even cloud, shifted: scores along random vectors spread around 1/2
	for i := range 400 {
		gradients.Set(i, 0, gradients.At(i, 0)-1)
	}
	cfg := TCAVConfig{C: 0.1, Permutations: 39}
	labels := make([]int, 40)
	for i := range labels {
		labels[i] = i % 2
	}
	var p, uniform []float64
	for i := range 150 {
		cfg.Seed = uint64(i)
		p = append(p, ok(TCAV(t.Context(), normalRows(uint64(1000+i), 40, 6), labels, gradients, cfg))(t).P)
		uniform = append(uniform, (float64(i)+0.5)/150)
	}
	ks := ok(stats.KolmogorovSmirnov(p, uniform))(t)
	t.Logf("KS distance of 150 null p-values from uniform %.3f, p %.2f", ks.D, ks.P)
	if ks.P < 0.01 {
		t.Errorf("p-values under the null are not uniform: KS p %.4f", ks.P)
	}
	concept := normalRows(5, 40, 6)
	for i, c := range labels {
		concept.Set(i, 0, concept.At(i, 0)+4*float64(c))
	}
	test := ok(TCAV(t.Context(), concept, labels, gradients, cfg))(t)
	if test.P > 0.1 || test.Score < 0.7 {
		t.Errorf("planted concept: score %v, p %v", test.Score, test.P)
	}
}

func TestAdjustP(t *testing.T) {
	got := ok(AdjustP([]float64{0.01, 0.04, 0.03}))(t)
	want := []Adjusted{{0.01, 0.03, 0.03}, {0.04, 0.06, 0.04}, {0.03, 0.06, 0.04}}
	for i := range want {
		closeTo(t, "adjusted", []float64{got[i].P, got[i].Holm, got[i].BH}, []float64{want[i].P, want[i].Holm, want[i].BH}, 1e-15)
	}
}

// TestTCAVGradientScale: scores do not depend on the length of gradients.
func TestTCAVGradientScale(t *testing.T) {
	x, y, _ := planted(2, 40, 5, 2, 1)
	g := normalRows(3, 30, 5)
	var longer mat.Dense
	longer.Scale(1e3, g)
	a, b := ok(TCAV(t.Context(), x, y, g, TCAVConfig{C: 1, Permutations: 9}))(t), ok(TCAV(t.Context(), x, y, &longer, TCAVConfig{C: 1, Permutations: 9}))(t)
	closeTo(t, "score, magnitude and p", []float64{b.Score, b.Magnitude, b.P}, []float64{a.Score, a.Magnitude, a.P}, 1e-12)
}

// TestTCAVAligned: gradients that point much the same way give every vector a score of 0 or 1, so that the score finds no concept;
// the sensitivity does, and stays quiet without one.
func TestTCAVAligned(t *testing.T) {
	gradients := normalRows(1, 200, 6)
	for i := range 200 {
		gradients.Set(i, 0, gradients.At(i, 0)-50)
	}
	labels := make([]int, 60)
	concept := normalRows(5, 60, 6)
	for i := range labels {
		labels[i] = i % 2
		concept.Set(i, 0, concept.At(i, 0)+4*float64(labels[i]))
	}
	cfg := TCAVConfig{C: 0.1, Permutations: 99}
	test := ok(TCAV(t.Context(), concept, labels, gradients, cfg))(t)
	if test.SensitivityP > 0.02 || test.P < 0.3 {
		t.Errorf("planted concept: p of the sensitivity %v, of the score %v", test.SensitivityP, test.P)
	}
	small := 0
	for i := range 60 {
		cfg.Seed, cfg.Permutations = uint64(i), 19
		if ok(TCAV(t.Context(), normalRows(uint64(100+i), 60, 6), labels, gradients, cfg))(t).SensitivityP <= 0.1 {
			small++
		}
	}
	if small > 13 { // 6 of 60 are expected; more than 13 come with probability 0.002
		t.Errorf("%d of 60 p-values without a concept are at most 0.1", small)
	}
}

// TestTCAVSpan: fewer rows than dimensions are fitted in the rows' span, to the same vector as in all dimensions.
func TestTCAVSpan(t *testing.T) {
	x, y, _ := planted(7, 12, 30, 2, 2)
	gradients := normalRows(8, 20, 30)
	test := ok(TCAV(t.Context(), x, y, gradients, TCAVConfig{C: 0.5, Permutations: 5}))(t)
	fit := ok(SquaredHinge(t.Context(), x, y, 0.5))(t)
	want := ok(Unit(fit.Weights))(t)
	closeTo(t, "cav", test.CAV, want, 1e-8)
	var directional mat.VecDense
	directional.MulVec(gradients, mat.NewVecDense(30, want))
	closeTo(t, "directional", test.Directional, directional.RawVector().Data, 1e-8)
}
