package reader

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"

	"loupe/experiments/erase"
	"loupe/probe/model"
)

// Letters: b texts, t positions, d width, r rows of a reading, o its entries, n heads, m queries, w width of a head.

// poolGraph returns the rows of h [b, t, d] that are read, [b, r, d], and which of them count [b, r]. Padding is on the right.
func poolGraph(p Pooling, h, mask *graph.Node) (rows, counts *graph.Node) {
	h.AssertRank(3)
	dims := h.Shape().Dimensions
	mask.AssertDims(dims[0], dims[1])
	real := graph.ConvertDType(mask, h.DType()) // [b, t]
	if p == "" {
		return h, real
	}
	g := h.Graph()
	length := graph.MaxScalar(graph.ReduceAndKeep(real, graph.ReduceSum, 1), 1) // [b, 1]
	at := graph.Iota(g, shapes.Make(h.DType(), dims[0], dims[1]), 1)
	var weights *graph.Node // [b, t]
	switch p {
	case erase.SelectMean:
		weights = graph.Div(real, length)
	case erase.SelectCLS:
		weights = graph.ConvertDType(graph.Equal(at, graph.ZerosLike(at)), h.DType())
	case erase.SelectEOS:
		weights = graph.ConvertDType(graph.Equal(at, graph.BroadcastToDims(graph.AddScalar(length, -1), dims[0], dims[1])), h.DType())
	default:
		exceptions.Panicf("erase/reader: pooling %q", p)
	}
	return graph.ExpandAxes(graph.Einsum("bt,btd->bd", weights, h), 1), graph.Ones(g, shapes.Make(h.DType(), dims[0], 1))
}

// linearGraph is W [o, d] of the rows that are read: [b, r, o].
func linearGraph(p Pooling, h, mask, w *graph.Node) (out, counts *graph.Node) {
	rows, counts := poolGraph(p, h, mask)
	return graph.Einsum("brd,od->bro", rows, w), counts
}

// attentionGraph reads h [b, t, d] by heads k, v [n, w, d] and queries q [n, m, w]: [b, m, n w]. All rows count.
func attentionGraph(h, mask, k, v, q *graph.Node) (out, counts *graph.Node) {
	h.AssertRank(3)
	dims, heads := h.Shape().Dimensions, q.Shape().Dimensions // b, t, d and n, m, w
	b, t, n, m, w := dims[0], dims[1], heads[0], heads[1], heads[2]
	mask.AssertDims(b, t)
	k.AssertDims(n, w, dims[2])
	v.AssertDims(n, w, dims[2])
	scores := graph.MulScalar(graph.Einsum("nmw,btnw->bnmt", q, graph.Einsum("btd,nwd->btnw", h, k)), 1/math.Sqrt(float64(w)))
	visible := graph.BroadcastToDims(graph.ExpandAxes(mask, 1, 2), b, n, m, t) // [b, n, m, t]
	pattern := graph.Softmax(graph.Where(visible, scores, graph.AddScalar(graph.ZerosLike(scores), -1e9)), -1)
	read := graph.Einsum("bnmt,btnw->bmnw", pattern, graph.Einsum("btd,nwd->btnw", h, v))
	return graph.Reshape(read, b, m, n*w), graph.Ones(h.Graph(), shapes.Make(h.DType(), b, m))
}

// Regress is the objective of most erasers: the readings of a batch's final states are drawn to targets,
//
//	L = sum_b weight_b (1/r_b) sum_r |R(h_b)_r - target_br|²
//
// over the r_b rows that count. A negative weight drives a text away, 0 leaves it out. Inputs, besides the reader's: "target"
// [b, r, o] and "weight" [b].
func Regress(r Reader, batch, seq int) *model.Objective {
	return RegressAt(r, model.Site{Kind: model.LastHidden}, batch, seq)
}

// RegressAt is Regress of the states [b, t, d] at another site.
func RegressAt(r Reader, site model.Site, batch, seq int) *model.Objective {
	return &model.Objective{
		Name: "regress:" + r.Name() + ":" + site.String(),
		Inputs: append([]model.Input{
			{Name: "target", DType: dtypes.Float32, Dims: []int{batch, r.Rows(seq), r.OutDim()}}, {Name: "weight", DType: dtypes.Float32, Dims: []int{batch}},
		}, r.Inputs()...),
		Graph: func(o model.ObjectiveInputs) *graph.Node {
			out, counts := r.ReadGraph(o.Site(site), o.Mask, o.Input)
			return regressionGraph(out, counts, o.Input("target"), o.Input("weight"))
		},
	}
}
