package bottleneck

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/graphtest"
	"loupe/probe/model"
	"loupe/vectors"
)

// tinyEncoder is the tiny golden BERT with mean pooling and unit length, as MiniLM has.
func tinyEncoder(t *testing.T) *Encoder {
	t.Helper()
	engine := model.NewEngine(graphtest.Backend(t), nil)
	m, err := model.Load(t.Context(), engine.Backend(), filepath.Join(graphtest.Golden(t), "models", "tiny", "bert"), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Params.Free() })
	m.Spec.Sentence = model.SentencePooling{Mode: "mean", Normalize: true}
	e, err := NewEncoder(engine, m, nil, 16)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// sequences are texts of random tokens whose first and last are special.
func sequences(rng *rand.Rand, vocabulary int, lengths ...int) []Tokens {
	var out []Tokens
	for _, n := range lengths {
		t := Tokens{IDs: make([]int32, n), Offsets: make([][2]int, n), Special: make([]bool, n)}
		for p := range n {
			t.IDs[p] = int32(3 + rng.IntN(vocabulary-8))
		}
		t.Special[0], t.Special[n-1] = true, true
		out = append(out, t)
	}
	return out
}

// TestEncoderPadding: a text's embedding has length 1 and depends neither on its neighbours in the batch nor on padding.
func TestEncoderPadding(t *testing.T) {
	e := tinyEncoder(t)
	var ids [][]int32
	for _, s := range sequences(rand.New(rand.NewPCG(1, 5)), e.model.Spec.Vocab, 5, 8, 3, 12) {
		ids = append(ids, s.IDs)
	}
	all, err := e.EmbedTokens(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	for i := range ids {
		one, err := e.EmbedTokens(t.Context(), ids[i:i+1])
		if err != nil {
			t.Fatal(err)
		}
		if !floats.EqualApprox(one.RawRowView(0), all.RawRowView(i), 1e-6) { // float32
			t.Errorf("text %d alone differs", i)
		}
		nearly(t, "length", floats.Norm(all.RawRowView(i), 2), 1, 1e-6)
	}
	if _, err := e.EmbedTokens(t.Context(), [][]int32{make([]int32, 17)}); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("17 of 16 tokens: %v", err)
	}
	if _, err := NewEncoder(e.engine, e.model, nil, 0); !errors.Is(err, vectors.ErrArgument) {
		t.Error(err)
	}
}

// TestLeaveOneOut: each token's score is the difference of two embeddings of its own along the direction, special ones are 0.
func TestLeaveOneOut(t *testing.T) {
	e := tinyEncoder(t)
	rng := rand.New(rand.NewPCG(2, 5))
	texts := sequences(rng, e.model.Spec.Vocab, 5, 8)
	w := normal(rng, 2, e.Width())
	got, err := e.LeaveOneOut(t.Context(), texts, w, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		for p := range text.IDs {
			want := 0.0
			if !text.Special[p] {
				without := append([]int32(nil), text.IDs...)
				without[p] = 1
				x, err := e.EmbedTokens(t.Context(), [][]int32{text.IDs, without})
				if err != nil {
					t.Fatal(err)
				}
				want = floats.Dot(w.RawRowView(i), x.RawRowView(0)) - floats.Dot(w.RawRowView(i), x.RawRowView(1))
			}
			nearly(t, "score", got[i].Scores[p], want, 1e-5) // float32
		}
	}
	if _, err := e.LeaveOneOut(t.Context(), texts, normal(rng, 1, e.Width()), 1); !errors.Is(err, vectors.ErrShape) {
		t.Error(err)
	}
}

// TestIntegratedGradients: the scores sum to the difference of the two ends of the path, better with more steps, and one step of a
// path of which only one token moves is the derivative of a finite difference.
func TestIntegratedGradients(t *testing.T) {
	e := tinyEncoder(t)
	rng := rand.New(rand.NewPCG(3, 5))
	texts := sequences(rng, e.model.Spec.Vocab, 5, 8, 7)
	w := normal(rng, 3, e.Width())
	missed := map[int]float64{}
	for _, steps := range []int{2, 64} {
		got, err := e.IntegratedGradients(t.Context(), texts, w, 1, steps)
		if err != nil {
			t.Fatal(err)
		}
		ends, err := e.EmbedTokens(t.Context(), [][]int32{texts[0].IDs, replaced(texts[0], 1)})
		if err != nil {
			t.Fatal(err)
		}
		nearly(t, "score", got[0].Score, floats.Dot(w.RawRowView(0), ends.RawRowView(0)), 1e-5)
		nearly(t, "baseline", got[0].Baseline, floats.Dot(w.RawRowView(0), ends.RawRowView(1)), 1e-5)
		for i, a := range got {
			gap := floats.Sum(a.Scores) - (a.Score - a.Baseline)
			missed[steps] += gap * gap
			if steps == 64 {
				nearly(t, "sum of scores", floats.Sum(a.Scores), a.Score-a.Baseline, 1e-3) // midpoints of 64 steps, float32
			}
			if a.Scores[0] != 0 || a.Scores[len(texts[i].IDs)-1] != 0 {
				t.Errorf("special tokens have %v", a.Scores)
			}
		}
	}
	if missed[64] >= missed[2] {
		t.Errorf("squares missed: %v", missed)
	}

	// the derivative itself, along one entry
	d := e.model.Spec.DModel
	x := make([]float32, 5*d)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	direction := [][]float64{w.RawRowView(0)}
	slopes, _, err := e.gradients(t.Context(), [][]float32{x}, direction)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, d + 1, 4*d + 2} {
		const h = 1e-2
		up, down := append([]float32(nil), x...), append([]float32(nil), x...)
		up[at] += h
		down[at] -= h
		_, values, err := e.gradients(t.Context(), [][]float32{up, down}, [][]float64{direction[0], direction[0]})
		if err != nil {
			t.Fatal(err)
		}
		nearly(t, "derivative", slopes[0][at], (values[0]-values[1])/(2*h), 1e-3) // h², and float32 over h
	}
	if _, err := e.IntegratedGradients(t.Context(), texts, w, 1, 0); !errors.Is(err, vectors.ErrArgument) {
		t.Error(err)
	}
	if _, err := e.IntegratedGradients(t.Context(), texts, mat.NewDense(3, 1, nil), 1, 2); !errors.Is(err, vectors.ErrShape) {
		t.Error(err)
	}
}
