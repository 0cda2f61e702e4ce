package bottleneck

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// TestChooseDPPHand: qualities 2, 1.8, 1 along (1,0), (1,0), (0,1). The first item has the largest diagonal, 4; the second is its
// double and adds nothing; the third adds 1. Log determinants log 4 and log 4.
func TestChooseDPPHand(t *testing.T) {
	b := Bank{Names: []string{"a", "double", "other"}, Vectors: mat.NewDense(3, 2, []float64{1, 0, 3, 0, 0, 2})}
	kernel, err := ConceptKernel(b, []float64{2, 1.8, 1})
	if err != nil {
		t.Fatal(err)
	}
	got, err := ChooseDPP(kernel, 2)
	if err != nil || !slices.Equal(got.Items, []int{0, 2}) {
		t.Fatalf("%v, %+v", err, got)
	}
	nearly(t, "first", got.LogDet[0], math.Log(4), 1e-14)
	nearly(t, "second", got.LogDet[1], math.Log(4), 1e-14)
	if got, err = ChooseDPP(kernel, 3); !errors.Is(err, vectors.ErrSingular) || len(got.Items) != 2 {
		t.Errorf("three of two dimensions: %v, %+v", err, got)
	}
	if _, err = ChooseDPP(kernel, 4); !errors.Is(err, vectors.ErrArgument) {
		t.Error(err)
	}
	if _, err := ConceptKernel(b, []float64{1, -1, 1}); err == nil {
		t.Error("a negative quality is taken")
	}
}

// logDet is the log determinant of a kernel on some items, by gonum's own Cholesky factorisation.
func logDet(t *testing.T, kernel *mat.SymDense, items []int) float64 {
	t.Helper()
	sub := mat.NewSymDense(len(items), nil)
	for a, i := range items {
		for b, j := range items {
			sub.SetSym(a, b, kernel.At(i, j))
		}
	}
	var c mat.Cholesky
	if !c.Factorize(sub) {
		return math.Inf(-1)
	}
	return c.LogDet()
}

// TestChooseDPPExact: on random kernels every choice is the best next one by brute force, the log determinants are those of a
// factorisation, and the greedy pair and triple lie between the best of all sets and the mean of them.
func TestChooseDPPExact(t *testing.T) {
	for seed := range uint64(5) {
		rng := rand.New(rand.NewPCG(seed, 3))
		names := make([]string, 9)
		quality := make([]float64, 9)
		for i := range quality {
			quality[i] = 0.5 + rng.Float64()
		}
		kernel, err := ConceptKernel(Bank{names, normal(rng, 9, 5)}, quality)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ChooseDPP(kernel, 5)
		if err != nil {
			t.Fatal(err)
		}
		for step := range got.Items {
			nearly(t, "log determinant", got.LogDet[step], logDet(t, kernel, got.Items[:step+1]), 1e-9)
			for i := range 9 {
				if other := append(slices.Clone(got.Items[:step]), i); !slices.Contains(got.Items[:step], i) && logDet(t, kernel, other) > got.LogDet[step]+1e-9 {
					t.Errorf("seed %d, step %d: item %d would have been better", seed, step, i)
				}
			}
		}
		best, sum, sets := math.Inf(-1), 0.0, 0.0
		for a := range 9 {
			for b := range a {
				for c := range b {
					v := logDet(t, kernel, []int{a, b, c})
					best, sum, sets = max(best, v), sum+v, sets+1
				}
			}
		}
		if got.LogDet[2] > best+1e-9 || got.LogDet[2] < sum/sets {
			t.Errorf("seed %d: greedy triple %.3f, best %.3f, mean %.3f", seed, got.LogDet[2], best, sum/sets)
		}
	}
}

// TestChooseDPPPlanted: of concepts in tight groups, as many items as groups are one of each; a permutation of the concepts
// permutes the choice.
func TestChooseDPPPlanted(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 3))
	centres, x := normal(rng, 6, 30), mat.NewDense(24, 30, nil)
	for i := range 24 {
		for j := range 30 {
			x.Set(i, j, centres.At(i/4, j)+0.2*rng.NormFloat64())
		}
	}
	quality := make([]float64, 24)
	for i := range quality {
		quality[i] = 1 + rng.Float64()/10
	}
	b := Bank{make([]string, 24), x}
	kernel, err := ConceptKernel(b, quality)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ChooseDPP(kernel, 6)
	if err != nil {
		t.Fatal(err)
	}
	groups := map[int]bool{}
	for _, i := range got.Items {
		groups[i/4] = true
	}
	if len(groups) != 6 {
		t.Errorf("six items are of %d of six groups", len(groups))
	}
	order := rng.Perm(24)
	permuted, err := ConceptKernel(b.Take(order), pick(quality, order))
	if err != nil {
		t.Fatal(err)
	}
	again, err := ChooseDPP(permuted, 6)
	if err != nil || !slices.Equal(pick(order, again.Items), got.Items) {
		t.Errorf("%v: %v and %v", err, got.Items, pick(order, again.Items))
	}
}
