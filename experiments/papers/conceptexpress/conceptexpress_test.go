package conceptexpress

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/internal/study/studytest"
)

// TestScore: three planted directions, two of whose words have changed places and one of which is mistaken for a fourth.
func TestScore(t *testing.T) {
	eye := mat.NewDense(4, 5, nil)
	var classes []*mat.Dense
	for i := range 4 {
		eye.Set(i, i, 1)
		classes = append(classes, mat.DenseCopyOf(eye.Slice(i, i+1, 0, 5)))
	}
	zero, err := erase.NewZeroShot(classes)
	if err != nil {
		t.Fatal(err)
	}
	u := &concepts{names: make([]string, 4), zero: zero, planted: eye, prototype: eye, mean: make([]float64, 5)}
	got, err := u.score(mat.NewDense(3, 5, []float64{0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 3, 4, 0}), []int{0, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][3]float64{{1, 0, 1}, {1, 0, 1}, {0.6, 1, 0}} {
		if have := [3]float64{got.cosine[i], got.own[i], got.recognised[i]}; math.Abs(have[0]-want[0]) > 1e-12 || have[1] != want[1] || have[2] != want[2] {
			t.Errorf("word %d: cosine, own, recognised %v, want %v", i, have, want)
		}
	}
	x := u.mixtures([]int{0, 2, 3}, 0.4, rand.New(rand.NewPCG(1, 1)))
	for i, own := range []int{0, 2, 3} {
		if math.Abs(x.At(i, own)-0.6) > 1e-12 || math.Abs(mat.Sum(x.Slice(i, i+1, 0, 5))-1) > 1e-12 || x.At(i, 1) != 0 {
			t.Errorf("mixture %d: %v", i, x.RawRowView(i))
		}
	}
}

// TestStudy: a small run; what is learned is nearer to the planted concepts than what is not.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "planted=[dog, castle, train, cat]", "together=2", "mix=0.3", "others=[rabbit, boat]", "seeds=1", "learn.tokens=2", "learn.split_steps=10", "learn.merged_steps=6", "learn.learning_rate=0.03")
	for _, name := range []string{"splitmerge", "split", "single"} {
		if a, b := studytest.Number(t, r, name+".cosine").Value, studytest.Number(t, r, "random.cosine").Value; a <= b {
			t.Errorf("%s: cosine %v, %v of random words", name, a, b)
		}
	}
	if v := studytest.Number(t, r, "targets.own").Value; v != 1 {
		t.Errorf("%v of the targets are matched with the concept that leads them", v)
	}
}
