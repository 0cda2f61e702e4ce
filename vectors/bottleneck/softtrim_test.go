package bottleneck

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// TestSoftTrimHand: of 0, 3, 4, 5, 6 the median is 4 and the MAD 1; 0 lies beyond 2.5 of it, so rho = 1/5, kappa = log 4 and the
// weights are 1/(1+4^(4-s)): 1/257, 1/5, 1/2, 4/5, 16/17. Without an outlier kappa is 4.
func TestSoftTrimHand(t *testing.T) {
	got, err := SoftTrim([]float64{0, 3, 4, 5, 6})
	if err != nil {
		t.Fatal(err)
	}
	w := []float64{1. / 257, 1. / 5, 1. / 2, 4. / 5, 16. / 17}
	total := w[0] + w[1] + w[2] + w[3] + w[4]
	nearly(t, "kappa", got.Kappa, math.Log(4), 1e-14)
	nearly(t, "vote", got.Vote, (3*w[1]+4*w[2]+5*w[3]+6*w[4])/total, 1e-14)
	for j := range w {
		nearly(t, "weight", got.Weights[j], w[j]/total, 1e-14)
	}
	if got, err = SoftTrim([]float64{3, 4, 5}); err != nil || got.Kappa != 4 {
		t.Errorf("%v, %+v", err, got)
	}
	nearly(t, "one value", mustTrim(t, []float64{7}).Vote, 7, 0)
	// more than half are equal: the MAD is 0; below counts nothing, at the median 1/2, above 1
	nearly(t, "MAD 0", mustTrim(t, []float64{2, 2, 2, 0, 6}).Vote, (3*0.5*2+6)/2.5, 1e-14)
	if _, err := SoftTrim(nil); err == nil {
		t.Error("nothing is aggregated")
	}
	if _, err := SoftTrim([]float64{1, math.NaN()}); err == nil {
		t.Error("NaN is aggregated")
	}
}

func mustTrim(t *testing.T, s []float64) Trimmed {
	t.Helper()
	got, err := SoftTrim(s)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestSoftTrimEquivariance: shifting or scaling the similarities shifts or scales the vote; their order does not matter.
func TestSoftTrimEquivariance(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	s := normal(rng, 1, 11).RawRowView(0)
	moved := make([]float64, 11)
	for i, at := range rng.Perm(11) {
		moved[i] = 5 + 3*s[at]
	}
	nearly(t, "vote", mustTrim(t, moved).Vote, 5+3*mustTrim(t, s).Vote, 1e-12)
}

// TestVotePlanted: each class has ten concepts of which two fit none of its texts, and drag the class's mean down by a chance
// amount; the soft trim does not mind.
func TestVotePlanted(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 4))
	const n, k, own = 400, 4, 10
	scores, of := normal(rng, n, k*own), make([]int, k*own)
	scores.Scale(0.3, scores)
	drag := make([]float64, k)
	for c := range drag {
		drag[c] = 12 * rng.Float64()
	}
	y := make([]int, n)
	for i := range n {
		y[i] = i % k
		for j := range of {
			of[j] = j / own
			switch {
			case j%own < 2: // planted outliers
				scores.Set(i, j, scores.At(i, j)-drag[of[j]])
			case of[j] == y[i]:
				scores.Set(i, j, scores.At(i, j)+0.5)
			}
		}
	}
	accuracy := map[bool]float64{}
	for _, trim := range []bool{false, true} {
		logits, err := Vote(scores, of, k, trim)
		if err != nil {
			t.Fatal(err)
		}
		hits, err := Hits(logits, y)
		if err != nil {
			t.Fatal(err)
		}
		accuracy[trim] = mean(hits)
	}
	if accuracy[false] > 0.6 || accuracy[true] < 0.95 {
		t.Errorf("mean %.3f, soft trim %.3f", accuracy[false], accuracy[true])
	}
	if _, err := Vote(mat.NewDense(1, 2, nil), []int{0, 0}, 2, true); err == nil {
		t.Error("a class without concepts votes")
	}
}
