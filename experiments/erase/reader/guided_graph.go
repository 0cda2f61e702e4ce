package reader

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"loupe/probe/model"
)

// Guided is the objective of All-but-One: not a text's reading is drawn to a target but what guidance makes of it, its difference from
// the reading of the empty text, which is row 0 of the batch and is itself drawn to its own target:
//
//	L = weight_0 (1/r_0) sum_r |R(h_0)_r - target_0r|² + sum_{b>0} weight_b (1/r_b) sum_r |R(h_b)_r - R(h_0)_{place_b(r)} - target_br|²
//
// Inputs, besides the reader's: "target" [b, r, o], "weight" [b] and "place" [b, r, r], whose row r of text b has a 1 at the row of the
// empty text's reading that is taken from row r, and whose text 0 is all 0.
func Guided(r Reader, site model.Site, batch, seq int) *model.Objective {
	rows := r.Rows(seq)
	return &model.Objective{
		Name: "guided:" + r.Name() + ":" + site.String(),
		Inputs: append([]model.Input{
			{Name: "target", DType: dtypes.Float32, Dims: []int{batch, rows, r.OutDim()}}, {Name: "weight", DType: dtypes.Float32, Dims: []int{batch}},
			{Name: "place", DType: dtypes.Float32, Dims: []int{batch, rows, rows}},
		}, r.Inputs()...),
		Graph: func(o model.ObjectiveInputs) *graph.Node {
			out, counts := r.ReadGraph(o.Site(site), o.Mask, o.Input) // [b, r, o], [b, r]
			null := graph.Squeeze(graph.Slice(out, graph.AxisElem(0)), 0)
			guidance := graph.Sub(out, graph.Einsum("brs,so->bro", o.Input("place"), null))
			return regressionGraph(guidance, counts, o.Input("target"), o.Input("weight"))
		},
	}
}

// regressionGraph is sum_b weight_b mean_r |out_br - target_br|² over the rows that count.
func regressionGraph(out, counts, target, weight *graph.Node) *graph.Node {
	square := graph.ReduceSum(graph.Square(graph.Sub(out, target)), -1) // [b, r]
	mean := graph.Div(graph.ReduceSum(graph.Mul(square, counts), 1), graph.MaxScalar(graph.ReduceSum(counts, 1), 1))
	return graph.ReduceAllSum(graph.Mul(mean, weight))
}
