package train

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

const batch, seq = 4, 6

// tiny loads a golden model with random weights.
func tiny(t testing.TB, e *model.Engine, name string) *model.Model {
	t.Helper()
	m, err := model.Load(t.Context(), e.Backend(), filepath.Join(graphtest.Golden(t), "models", "tiny", name), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Params.Free() })
	return m
}

func engine(t testing.TB) *model.Engine { return model.NewEngine(graphtest.Backend(t), nil) }

// trainer makes a trainer whose weights are freed at the end of the test.
func trainer(t testing.TB, e *model.Engine, m *model.Model, cfg Config, patterns ...string) *Trainer {
	t.Helper()
	names, err := Subset(m.Spec, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := New(e, m, names, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Params().FreeUnshared(m.Params) })
	return tr
}

// squares is the objective mean((last_hidden_state - target)^2), with input "target" [b,t,d].
func squares(s *model.Spec) model.Plan { return squaresOf(s, batch, seq) }

func squaresOf(s *model.Spec, batch, seq int) model.Plan {
	return model.Plan{Batch: batch, Seq: seq, Objective: &model.Objective{
		Name:   "test_squares",
		Inputs: []model.Input{{Name: "target", DType: dtypes.Float32, Dims: []int{batch, seq, s.DModel}}},
		Graph: func(o model.ObjectiveInputs) *Node {
			d := Sub(o.Site(model.Site{Kind: model.LastHidden}), o.Input("target"))
			return ReduceAllMean(Mul(d, d))
		},
	}}
}

// inputs draws ids and targets by seed.
func inputs(s *model.Spec, seed uint64) model.Inputs { return inputsOf(s, batch, seq, seed) }

func inputsOf(s *model.Spec, batch, seq int, seed uint64) model.Inputs {
	r := rand.New(rand.NewPCG(seed, 1))
	ids, target := make([]int32, batch*seq), make([]float32, batch*seq*s.DModel)
	for i := range ids {
		ids[i] = int32(3 + r.IntN(s.Vocab-8))
	}
	for i := range target {
		target[i] = float32(r.NormFloat64())
	}
	return model.Inputs{IDs: ids, Objective: map[string]*tensors.Tensor{"target": tensors.FromFlatDataAndDimensions(target, batch, seq, s.DModel)}}
}

func withTarget(s *model.Spec, ids []int32, target []float32) model.Inputs {
	return model.Inputs{IDs: ids, Objective: map[string]*tensors.Tensor{"target": tensors.FromFlatDataAndDimensions(target, batch, seq, s.DModel)}}
}

// values copies a parameter.
func values(t testing.TB, p *model.Params, name string) []float32 {
	t.Helper()
	v, err := p.Values(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// all copies every parameter.
func all(t testing.TB, s *model.Spec, p *model.Params) Gradients {
	t.Helper()
	out := Gradients{}
	for _, q := range s.Params() {
		out[q.Name] = values(t, p, q.Name)
	}
	return out
}

// steps makes n steps on inputs of seeds first, first+1, ...
func steps(t testing.TB, tr *Trainer, first, n int) (loss float64) {
	t.Helper()
	for i := range n {
		var err error
		if loss, err = tr.Step(t.Context(), squares(tr.model.Spec), inputs(tr.model.Spec, uint64(first+i))); err != nil {
			t.Fatal(err)
		}
	}
	return loss
}

func same(a, b Gradients, name string) bool { return slices.Equal(a[name], b[name]) }

// lastHidden captures the final states.
func lastHidden() model.Plan {
	return model.Plan{Batch: batch, Seq: seq, Captures: []model.Capture{{Site: model.Site{Kind: model.LastHidden}}}}
}

// plain are the inputs without those of the objective.
func plain(in model.Inputs) model.Inputs {
	in.Objective = nil
	return in
}
