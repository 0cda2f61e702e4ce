package train

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"

	"loupe/probe/model"
)

// Letters: b batch, t positions, v vocabulary, d width of the model.

// The inputs of the cross-entropies, both [b,t]: the token that is right at a position, and how much the position counts. The
// loss is sum w (-log p(label)): with weights that add up to one it is a mean, and a negative weight makes its text less likely.
const (
	inputLabels  = "labels"
	inputWeights = "weights"
)

func crossEntropyInputs(batch, seq int) []model.Input {
	dims := []int{batch, seq}
	return []model.Input{{Name: inputLabels, DType: dtypes.Int32, Dims: dims}, {Name: inputWeights, DType: dtypes.Float32, Dims: dims}}
}

// NextToken is the plan of a decoder's cross-entropy at every position. NextTokenInputs makes its inputs.
func NextToken(batch, seq int) model.Plan {
	return model.Plan{Batch: batch, Seq: seq, Logits: model.LogitsAll, Objective: &model.Objective{
		Name: "next_token", Inputs: crossEntropyInputs(batch, seq),
		Graph: func(o model.ObjectiveInputs) *Node { return crossEntropyGraph(o, o.Logits) },
	}}
}

// MaskedToken is the plan of an encoder's cross-entropy at masked positions. The logits are the products of the final states
// with the word embeddings: BERT's further dense layer, norm and bias in front of them are left out, so that all that is
// trained is part of the encoder. MaskedTokenInputs makes its inputs.
func MaskedToken(batch, seq int) model.Plan {
	return model.Plan{Batch: batch, Seq: seq, Objective: &model.Objective{
		Name: "masked_token", Inputs: crossEntropyInputs(batch, seq),
		Graph: func(o model.ObjectiveInputs) *Node {
			h := o.Site(model.Site{Kind: model.LastHidden})                       // [b,t,d]
			return crossEntropyGraph(o, Einsum("btd,vd->btv", h, o.Param("W_E"))) // [b,t,v]
		},
	}}
}

// crossEntropyGraph is the weighted sum of -log softmax(logits)[label]; logits is [b,t,v].
func crossEntropyGraph(o model.ObjectiveInputs, logits *Node) *Node {
	labels := o.Input(inputLabels) // [b,t]
	dims := labels.Shape().Dimensions
	logits.AssertDims(dims[0], dims[1], -1)
	g := logits.Graph()
	row, col := Iota(g, shapes.Make(dtypes.Int32, dims...), 0), Iota(g, shapes.Make(dtypes.Int32, dims...), 1)
	at := Stack([]*Node{row, col, labels}, -1) // [b,t,3]
	right := Gather(LogSoftmax(logits), at)    // [b,t]
	return Neg(ReduceAllSum(Mul(right, o.Input(inputWeights))))
}
