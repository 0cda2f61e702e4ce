package entanglement

import (
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/study/studytest"
)

// TestRelation: a fall that follows the similarity is found, one that does not has a p-value that is spread over (0, 1].
func TestRelation(t *testing.T) {
	const k = 7
	rng := rand.New(rand.NewPCG(1, 1))
	small := 0
	for draw := range 40 {
		similarity, fall := mat.NewSymDense(k, nil), mat.NewDense(k, k, nil)
		for i := range k {
			for j := range k {
				fall.Set(i, j, rng.NormFloat64())
				if i < j {
					similarity.SetSym(i, j, rng.NormFloat64())
				}
			}
		}
		got, err := relation(t.Context(), similarity, fall, 99, int64(draw))
		if err != nil {
			t.Fatal(err)
		}
		if got.p <= 0.1 {
			small++
		}
		if draw > 0 {
			continue
		}
		for i := range k {
			for j := range k {
				fall.Set(i, j, fall.At(i, j)/10+similarity.At(i, j))
			}
		}
		if got, err = relation(t.Context(), similarity, fall, 99, 1); err != nil || got.rho.Value < 0.9 || got.p > 0.02 {
			t.Errorf("planted relation: %+v, %v", got, err)
		}
	}
	if small > 10 { // 4 of 40 are expected; more than 10 come with probability 0.002
		t.Errorf("%d of 40 p-values without a relation are at most 0.1", small)
	}
}

// TestStudy: a small run with three concepts.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"smollm2"}, "concepts=[animals, food, music]", "sentences=6", "neutral=8", "clozes=2", "random=1", "permutations=19", "resamples=20")
	if v := studytest.Number(t, r, "similarity.significant").Value; v < 0 || v > 1 {
		t.Errorf("share of significant pairs %v", v)
	}
	for _, name := range []string{"spearman.block2", "spearman.block20"} {
		if v := studytest.Number(t, r, name); v.Value < -1 || v.Value > 1 || *v.Low > v.Value || *v.High < v.Value {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
