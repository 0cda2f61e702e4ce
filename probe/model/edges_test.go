package model

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
)

// rowDot is the objective sum(weights * last_hidden_state) of each row.
func rowDot(s *Spec, b, t int) *Objective {
	return &Objective{
		Name: "row_dot", Rows: true, Inputs: []Input{{"weights", dtypes.Float32, []int{b, t, s.DModel}}},
		Graph: func(o ObjectiveInputs) *graph.Node {
			return graph.ReduceSum(graph.Mul(o.Site(Site{LastHidden, 0}), o.Input("weights")), 1, 2)
		},
	}
}

// sameBlocks are the tiny models that differ from another one only in how their files are named or read.
var sameBlocks = map[string]bool{"gpt2-hubkeys": true, "llama-tied": true, "llama3-rope": true, "clip-legacy-eos": true, "phi3": true, "t5-gated-gelu": true}

// TestEdges holds the identities of the edge mask for every family whose residual stream is a sum: mask 0 is the plain
// pass, mask 1 the corrupted one (both with padding on either side), the mask's gradient and the reference's are finite differences, products
// with the receivers' gradients are it at mask 0, and the senders add up to the residual stream. Other families are refused.
// XLA's results are held by the reference data (TestGoldenCircuits), or by this test with LOUPE_BACKEND=xla:cpu.
func TestEdges(t *testing.T) {
	root := filepath.Join(graphtest.Golden(t), "models", "tiny")
	dirs, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	engine := NewEngine(graphtest.Interpreted(t), nil)
	families := 0
	for _, d := range dirs {
		if !d.IsDir() || sameBlocks[d.Name()] {
			continue
		}
		t.Run(d.Name(), func(t *testing.T) {
			m := tiny(t, engine, d.Name())
			s := m.Spec
			const b, n = 2, 6
			edges := &Edges{Batch: true, Senders: true, GradMask: true, GradCorrupted: true, Scores: true}
			last := Site{LastHidden, 0}
			plan := Plan{Batch: b, Seq: n, Captures: []Capture{{Site: last}, {Site: Site{ResidPost, s.Layers - 1}}, {Site: Site{ResidPre, 0}}}, Objective: rowDot(s, b, n), Edges: edges}
			if s.Place == PostNorm {
				if _, err := engine.Compile(s, plan); err == nil {
					t.Fatal("a post-norm model has no edges")
				}
				return
			}
			families++
			// row 0 is padded on the right, row 1 on the left
			clean, corrupted := someIDs(21, b*n, s.Vocab), someIDs(22, b*n, s.Vocab)
			mask := []int32{1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1}
			weights := make([]float32, b*n*s.DModel)
			for i, w := range values(t, normal(23, b, n, s.DModel)) {
				weights[i] = w * float32(mask[i/s.DModel])
			}
			objective := map[string]*tensors.Tensor{"weights": tensors.FromFlatDataAndDimensions(weights, b, n, s.DModel)}
			real := func(x []float32) []float32 {
				out := append([]float32{}, x...)
				for i := range out {
					out[i] *= float32(mask[i/s.DModel])
				}
				return out
			}
			plain := Plan{Batch: b, Seq: n, Captures: []Capture{{Site: last}}}
			wantClean := run(t, engine, m, plain, Inputs{IDs: clean, Mask: mask})
			wantCorrupted := run(t, engine, m, plain, Inputs{IDs: corrupted, Mask: mask})

			source := run(t, engine, m, plan, Inputs{IDs: corrupted, Mask: mask, Objective: objective})
			ref := source.EdgeSenders()
			nearly(t, "mask 0, corrupted", real(values(t, source.Site(last))), real(values(t, wantCorrupted.Site(last))), 1e-4)

			u, v := s.EdgeSenders(), s.EdgeReceivers()
			at := func(value func(i int) float32, direction *tensors.Tensor) *Outputs {
				cut := make([]float32, b*u*v)
				for i := range cut {
					cut[i] = value(i)
				}
				in := map[string]*tensors.Tensor{"mask": tensors.FromFlatDataAndDimensions(cut, b, u, v), "corrupted": ref}
				if direction != nil {
					in["direction"] = direction
				}
				return run(t, engine, m, plan, Inputs{IDs: clean, Mask: mask, Objective: objective, Edges: in})
			}
			zero := at(func(int) float32 { return 0 }, nil)
			nearly(t, "mask 0", real(values(t, zero.Site(last))), real(values(t, wantClean.Site(last))), 1e-4)
			one := at(func(int) float32 { return 1 }, nil)
			nearly(t, "mask 1", real(values(t, one.Site(last))), real(values(t, wantCorrupted.Site(last))), 1e-4)
			differs(t, "mask 1", real(values(t, one.Site(last))), real(values(t, wantClean.Site(last))), 1e-2)

			// the senders are the embedding and what is added to the stream, but for position embeddings and biases
			senders := values(t, zero.EdgeSenders())
			sum := values(t, zero.Site(Site{ResidPre, 0}))
			for i := range sum {
				place, k := i/s.DModel, i%s.DModel
				for j := 1; j < u; j++ {
					sum[i] += senders[(place*u+j)*s.DModel+k]
				}
			}
			if !s.OBias {
				nearly(t, "sum of senders", sum, values(t, zero.Site(Site{ResidPost, s.Layers - 1})), 1e-4)
			}

			// gradient at a half mask against a finite difference along a random direction, one row at a time
			half := func(i int) float32 { return 0.3 + 0.4*float32(i%7)/7 }
			grad := values(t, at(half, nil).GradEdgeMask())
			way := values(t, normal(24, b*u*v))
			const h = 5e-3
			up := values(t, at(func(i int) float32 { return half(i) + h*way[i] }, nil).ObjectiveRows())
			down := values(t, at(func(i int) float32 { return half(i) - h*way[i] }, nil).ObjectiveRows())
			for r := range b {
				var want, size float64
				for i := r * u * v; i < (r+1)*u*v; i++ {
					want += float64(grad[i]) * float64(way[i])
					size += float64(grad[i]) * float64(grad[i])
				}
				got := float64(up[r]-down[r]) / (2 * h)
				if math.Abs(got-want) > 0.02*math.Sqrt(size)+1e-3 || size == 0 {
					t.Errorf("row %d: gradient along a direction %g, finite difference %g (length %g)", r, want, got, math.Sqrt(size))
				}
			}
			// the gradient in the reference, at the same mask
			inRef, refWay, given := values(t, at(half, nil).GradEdgeCorrupted()), values(t, normal(25, b, n, u, s.DModel)), values(t, ref)
			moved := func(h float32) []float32 {
				x := append([]float32{}, given...)
				for i := range x {
					x[i] += h * refWay[i]
				}
				own := ref
				defer func() { ref = own }()
				ref = tensors.FromFlatDataAndDimensions(x, b, n, u, s.DModel)
				return values(t, at(half, nil).ObjectiveRows())
			}
			up, down = moved(h), moved(-h)
			for r, per := 0, n*u*s.DModel; r < b; r++ {
				var want, size float64
				for i := r * per; i < (r+1)*per; i++ {
					want += float64(inRef[i]) * float64(refWay[i])
					size += float64(inRef[i]) * float64(inRef[i])
				}
				if got := float64(up[r]-down[r]) / (2 * h); math.Abs(got-want) > 0.02*math.Sqrt(size)+1e-3 || size == 0 {
					t.Errorf("row %d: reference gradient along a direction %g, finite difference %g (length %g)", r, want, got, math.Sqrt(size))
				}
			}
			// at mask 0 the product with corrupted - clean is the mask's gradient
			diff := values(t, ref)
			for i := range diff {
				diff[i] -= senders[i]
			}
			product := at(func(int) float32 { return 0 }, tensors.FromFlatDataAndDimensions(diff, b, n, u, s.DModel))
			nearly(t, "products", values(t, product.EdgeScores()), values(t, zero.GradEdgeMask()), 1e-4)
			for i, x := range values(t, product.EdgeScores()) {
				sender, receiver := i/v%u, i%v
				if late := sender > 0 && receiver < 3*s.Heads; late && x != 0 {
					t.Fatalf("no edge leads from sender %d to receiver %d of the first block, yet its score is %g", sender, receiver, x)
				}
			}
		})
	}
	if families != 12 {
		t.Errorf("%d families with edges were tested", families)
	}
}
