package tcav

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/graphtest"
	"loupe/internal/lab"
	"loupe/internal/study/studytest"
	"loupe/probe/model"
	"loupe/vectors"
)

// TestGradients: the change of the loss along a vector that is added at every token is what the gradient says.
func TestGradients(t *testing.T) {
	graphtest.Model(t, "minilm")
	l, err := lab.Open(t.Context(), graphtest.Backend(t), "minilm", nil, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	texts := []string{"The dog slept.", "A long letter about two pianos and a drum came."}
	site := model.Site{Kind: model.ResidPost, Layer: 3}
	head, direction := make([]float64, l.Model.Spec.DModel), make([]float64, l.Model.Spec.DModel)
	for j := range head {
		head[j], direction[j] = math.Sin(float64(j)), math.Cos(float64(3*j))
	}
	gradients, err := lossGradients(t.Context(), l, texts, []model.Site{site}, head)
	if err != nil {
		t.Fatal(err)
	}
	loss := func(strength float64) []float64 {
		x, err := l.Read(t.Context(), texts, []model.Site{{Kind: model.Sentence}}, lab.MeanToken, lab.ReadOptions{Edit: func(batch, seq int) (*vectors.Edit, error) {
			return vectors.Steering{Vector: direction, Strength: strength}.Edit(l.Model.Spec, site, batch, seq)
		}})
		if err != nil {
			t.Fatal(err)
		}
		var out mat.VecDense
		out.MulVec(x[0], mat.NewVecDense(len(head), head))
		floats.Scale(-1, out.RawVector().Data)
		return out.RawVector().Data
	}
	const h = 3e-3 // a float32 forward pass: smaller steps drown in rounding
	up, down := loss(h), loss(-h)
	for i := range texts {
		got, want := floats.Dot(gradients[0].RawRowView(i), direction), (up[i]-down[i])/(2*h)
		if math.Abs(got-want) > 0.01*(1+math.Abs(want)) {
			t.Errorf("text %d: %v, by differences %v", i, got, want)
		}
	}
}

// TestStudy: a small run: the planted concept lowers its class's loss, and shares are shares.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "classes=[animals]", "concepts=[animals, negation]", "layers=[4]", "pairs=16", "examples=8", "head_pairs=20", "permutations=39", "random=5", "random_rows=8", "runs=3")
	if score := studytest.Number(t, r, "planted.score").Value; score < 0.75 {
		t.Errorf("score of the planted concept %v", score)
	}
	for _, name := range []string{"null.score", "null.sensitivity", "null.published", "null.gate", "gate.concepts", "others.found_by_sensitivity"} {
		if v := studytest.Number(t, r, name).Value; v < 0 || v > 1 {
			t.Errorf("%s is %v", name, v)
		}
	}
}
