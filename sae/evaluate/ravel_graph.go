package evaluate

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"loupe/probe/model"
)

// Letters: b batch, k candidates, v vocabulary.

// candidateLoss is the objective sum over rows of weight x -log p(wanted candidate), p being the softmax over k candidate
// tokens alone at one gathered position. Inputs: "tokens" int32 [b,k], "bias" float32 [b,k] (0, or far below for a place without
// a candidate) and "wanted" float32 [b,k] (the row's weight at the wanted candidate, else 0).
func candidateLoss(batch, candidates int) *model.Objective {
	dims := []int{batch, candidates}
	return &model.Objective{
		Name: "candidate_loss",
		Inputs: []model.Input{
			{Name: "tokens", DType: dtypes.Int32, Dims: dims}, {Name: "bias", DType: dtypes.Float32, Dims: dims}, {Name: "wanted", DType: dtypes.Float32, Dims: dims},
		},
		Graph: func(o model.ObjectiveInputs) *graph.Node {
			row := graph.Iota(o.Logits.Graph(), shapes.Make(dtypes.Int32, dims...), 0)         // [b,k]
			at := graph.Stack([]*graph.Node{row, graph.ZerosLike(row), o.Input("tokens")}, -1) // [b,k,3]
			logits := graph.Add(graph.Gather(o.Logits, at), o.Input("bias"))                   // [b,k]
			return graph.Neg(graph.ReduceAllSum(graph.Mul(graph.LogSoftmax(logits, -1), o.Input("wanted"))))
		},
	}
}
