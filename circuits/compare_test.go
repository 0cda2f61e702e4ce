package circuits

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// editedModel is a copy of m with parameters edited on the host.
func editedModel(t *testing.T, e *model.Engine, m *model.Model, name string, edit func(s *model.Spec, w []float32, param string)) *model.Model {
	replaced := map[string][]float32{}
	for _, part := range []string{"W_Q", "W_K", "W_V", "b_Q", "b_K", "b_V", "W_O"} {
		param := "blocks.0." + part
		w := must[[]float32](t)(m.Params.Values(param))
		edit(m.Spec, w, part)
		replaced[param] = w
	}
	params := must[*model.Params](t)(m.Params.WithValues(e.Backend(), replaced))
	t.Cleanup(func() { _ = params.FreeUnshared(m.Params) })
	return &model.Model{Name: name, Spec: m.Spec, Params: params}
}

// TestCompareModels: with the two heads of the first block exchanged the induction model does the same by other edges: those of the first head are lost,
// those of the second gained, each circuit is whole in its own model and worth nothing in the other. With the first head all but erased next to
// nothing is left to explain.
func TestCompareModels(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	root := filepath.Join(graphtest.Golden(t), "circuits")
	pairs := pairsOf(openArrays(t, root, "planted", "induction", "inputs.safetensors"), "").pick([]int{8, 9, 10}) // the key is corrupted
	m := loadModel(t, engine, root, "models", "induction")
	swapped := editedModel(t, engine, m, "swapped", func(s *model.Spec, w []float32, part string) {
		if half := len(w) / 2; part != "W_O" { // [h*e,..]
			for i := range half {
				w[i], w[half+i] = w[half+i], w[i]
			}
			return
		}
		for i := range w { // [d,h*e]
			if at := i % (s.Heads * s.DHead); at < s.DHead {
				w[i], w[i+s.DHead] = w[i+s.DHead], w[i]
			}
		}
	})
	erased := editedModel(t, engine, m, "erased", func(s *model.Spec, w []float32, part string) {
		for i := range w {
			if part == "W_O" && i%(s.Heads*s.DHead) < s.DHead {
				w[i] *= 1e-4
			}
		}
	})
	cfg := CompareConfig{
		Score: func(ctx context.Context, t *Task) (*Scores, error) { return MaskIG(ctx, t, 10) },
		Pick:  TopN, N: 3, Ablation: Patching, Resamples: 50, Seed: 1,
	}
	a := newTask(t, engine, m, pairs, LogitDiff())
	b := newTask(t, engine, swapped, pairs, LogitDiff())
	before := engine.Compiles()
	got := must[*Comparison](t)(CompareModels(t.Context(), a, b, cfg))
	if n := engine.Compiles() - before; n != 3 {
		t.Errorf("%d compiles: the senders' pass, the gradient and the sweep serve both models", n)
	}
	t.Logf("overlap %+v, rank %.3f", *got.Overlap, got.Rank.R)
	if !slices.Equal(got.Lost, []string{"input->a0.h0<v>", "a0.h0->a1.h0<k>"}) || !slices.Equal(got.Gained, []string{"input->a0.h1<v>", "a0.h1->a1.h0<k>"}) {
		t.Errorf("lost %v, gained %v", got.Lost, got.Gained)
	}
	for name, f := range map[string][2]float64{
		"A in A": {got.A.Own.F, 1}, "B in B": {got.B.Own.F, 1}, "A in B": {got.A.Other.F, 0}, "B in A": {got.B.Other.F, 0}, "Jaccard": {got.Overlap.Jaccard, 1 / 5.0},
	} {
		if math.Abs(f[0]-f[1]) > 1e-3 {
			t.Errorf("%s: %g, want %g", name, f[0], f[1])
		}
	}
	if math.Abs(got.A.Own.Full-got.B.Own.Full) > 1e-4 || got.A.Model != "induction" || len(got.A.Edges) != 3 {
		t.Errorf("sides %+v and %+v", got.A.Own, got.B.Own)
	}

	self := must[*Comparison](t)(CompareModels(t.Context(), a, a, cfg))
	if self.Overlap.Jaccard != 1 || len(self.Gained)+len(self.Lost) > 0 || math.Abs(self.Rank.R-1) > 1e-9 || self.A.Other != self.A.Own {
		t.Errorf("with itself: %+v", self)
	}
	gone := must[*Comparison](t)(CompareModels(t.Context(), a, newTask(t, engine, erased, pairs, LogitDiff()), cfg))
	if math.Abs(gone.B.Own.Full-gone.B.Own.Empty) > 0.01 || math.Abs(gone.A.Other.Loss-gone.A.Other.Empty) > 0.01 || gone.A.Own.F < 0.99 {
		t.Errorf("an erased head leaves %+v of the behaviour", gone.B.Own)
	}

	other := newTask(t, engine, m, pairs.pick([]int{0, 1, 1}), LogitDiff())
	unlike := newTask(t, engine, m, pairs, KL())
	for want, f := range map[string]func() (*Comparison, error){
		"different inputs": func() (*Comparison, error) { return CompareModels(t.Context(), a, other, cfg) },
		"needs Score":      func() (*Comparison, error) { return CompareModels(t.Context(), a, b, CompareConfig{N: 3}) },
		"the other kl":     func() (*Comparison, error) { return CompareModels(t.Context(), a, unlike, cfg) },
	} {
		if _, err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
