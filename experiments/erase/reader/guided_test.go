package reader_test

import (
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/reader"
	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// TestGuided: the objective of an empty text and another one is the sum that the host computes from their states, token by token with a
// place for each row, and pooled; and when the other text's target is its own guidance and the empty text's its own reading, it is 0.
func TestGuided(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	m := must[*model.Model](t)(model.Load(t.Context(), engine.Backend(), filepath.Join(graphtest.Golden(t), "models", "tiny", "bert"), model.Options{}))
	defer m.Params.Free()
	const batch, seq = 2, 4
	d, site := m.Spec.DModel, model.Site{Kind: model.LastHidden}
	lengths, weights := []int{2, 4}, []float64{0.5, 2}
	in := model.Inputs{IDs: []int32{5, 6, 0, 0, 5, 9, 11, 6}, Mask: []int32{1, 1, 0, 0, 1, 1, 1, 1}}
	for _, r := range []reader.Reader{must[*reader.Identity](t)(reader.NewIdentity(d, "")), must[*reader.Identity](t)(reader.NewIdentity(d, erase.SelectMean))} {
		rows := r.Rows(seq)
		place := make([]float32, batch*rows*rows)
		at := []int{0}
		if rows == seq {
			at = []int{0, 1, 1, 1}
		}
		for k, to := range at {
			place[(rows+k)*rows+to] = 1
		}
		run := func(targets []*mat.Dense) (float64, []*mat.Dense) {
			in.Objective = must[map[string]*tensors.Tensor](t)(reader.Targets(r, nil, targets, weights, batch, seq))
			in.Objective["place"] = tensors.FromFlatDataAndDimensions(place, batch, rows, rows)
			p := must[*model.Program](t)(engine.Compile(m.Spec, model.Plan{
				Batch: batch, Seq: seq, Objective: reader.Guided(r, site, batch, seq), Captures: []model.Capture{{Site: site}},
			}))
			out := must[*model.Outputs](t)(p.Run(t.Context(), m.Params, in))
			defer out.Free()
			h := must[[]float32](t)(tensors.CopyFlatData[float32](out.Site(site)))
			var states []*mat.Dense
			for k, n := range lengths {
				x := mat.NewDense(n, d, nil)
				x.Apply(func(p, j int, _ float64) float64 { return float64(h[(k*seq+p)*d+j]) }, x)
				states = append(states, must[*mat.Dense](t)(r.Read(x, nil)))
			}
			return float64(must[float32](t)(out.Objective())), states
		}
		targets := []*mat.Dense{random(1, r.Rows(2), d), random(2, r.Rows(4), d)}
		got, readings := run(targets)
		null, other := readings[0], readings[1]
		guidance := mat.DenseCopyOf(other)
		for k, to := range at {
			for j := range d {
				guidance.Set(k, j, other.At(k, j)-null.At(to, j))
			}
		}
		square := func(a, b *mat.Dense) float64 {
			var diff mat.Dense
			diff.Sub(a, b)
			n, _ := a.Dims()
			return mat.Norm(&diff, 2) * mat.Norm(&diff, 2) / float64(n)
		}
		near(t, r.Name(), []float64{got}, []float64{weights[0]*square(null, targets[0]) + weights[1]*square(guidance, targets[1])}, 1e-5)
		got, _ = run([]*mat.Dense{null, guidance})
		near(t, r.Name()+" at its own", []float64{got}, []float64{0}, 1e-8)
	}
}
