package sae

// Letters of the shapes: b rows, d input width, f latents, k kept latents, g groups, s latents in a group.

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// newEncoderExec compiles [preGraph]: inputs x - b_dec [b, d], W_enc [d, f], b_enc [f] and, with rescale, the norms
// of the decoder rows [f].
func newEncoderExec(b compute.Backend, rescale bool) (*Exec, error) {
	var exec *Exec
	var err error
	if rescale {
		exec, err = NewExec(b, func(xc, wEnc, bEnc, norm *Node) *Node {
			return Mul(preGraph(xc, wEnc, bEnc), ExpandAxes(norm, 0))
		})
	} else {
		exec, err = NewExec(b, preGraph)
	}
	if err != nil {
		return nil, fmt.Errorf("sae: build the encoder: %w", err)
	}
	return exec, nil
}

// preGraph returns the pre-activations [b, f] of centred rows xc [b, d], with wEnc [d, f] and bEnc [f]. The product
// is the fast one on XLA's CPU backend, about twice as fast as with the weight as [f, d].
func preGraph(xc, wEnc, bEnc *Node) *Node {
	return Add(Einsum("bd,df->bf", xc, wEnc), ExpandAxes(bEnc, 0))
}

// topKGraph returns the places of the k largest scores of each row: scores [b, f], result int32 [b, k]. It has no
// gradient. Of equal scores the smaller index wins.
//
// It selects in two stages, which is exact: the k groups with the largest maxima hold the k largest scores. Where f
// does not divide into enough groups it is a plain TopK. Do not use it on the Go backend, whose TopK takes 20 ms per
// row of 512.
func topKGraph(scores *Node, k int) *Node {
	scores = StopGradient(scores)
	const s = 16
	b, f := scores.Shape().Dimensions[0], scores.Shape().Dimensions[1]
	if f%s != 0 || f/s <= k {
		_, index := TopK(scores, k, -1)
		return index
	}
	groups := Reshape(scores, b, f/s, s)         // [b, g, s]
	_, best := TopK(ReduceMax(groups, 2), k, -1) // [b, k]
	best = Sort(best, -1, true)                  // candidates in order of index, for ties
	few := gatherRowsGraph(groups, best)         // [b, k, s]
	_, at := TopK(Reshape(few, b, k*s), k, -1)   // [b, k], places among the candidates
	size := Const(at.Graph(), int32(s))
	group := gatherRowsGraph(best, Div(at, size)) // [b, k]
	return Add(Mul(group, size), Rem(at, size))
}

// topKMaskGraph returns which scores [b, f] are among the k largest of their row, as bool [b, f]. It has no gradient.
// Of equal scores the smaller index wins.
func topKMaskGraph(scores *Node, k int) *Node {
	scores = StopGradient(scores)
	index := topKGraph(scores, k)           // [b, k]
	value := gatherRowsGraph(scores, index) // [b, k]
	least := ReduceAndKeep(value, ReduceMin, -1)
	last := ReduceAndKeep(Where(Equal(value, least), index, ZerosLike(index)), ReduceMax, -1)
	place := Iota(scores.Graph(), shapes.Make(dtypes.Int32, scores.Shape().Dimensions...), 1)
	return Or(GreaterThan(scores, least), And(Equal(scores, least), LessOrEqual(place, last)))
}

// gatherRowsGraph returns x[b, index[b, j]]: x [b, f], index int32 [b, k], result [b, k].
func gatherRowsGraph(x, index *Node) *Node {
	row := Iota(x.Graph(), index.Shape(), 0)
	return Gather(x, Stack([]*Node{row, index}, -1))
}

// columnGraph returns column j of x [b, k] as [b]. It is a masked sum and not a slice: XLA recognises sort-and-slice
// as its fast TopK, and another slice of the result would break the pattern and sort whole rows.
func columnGraph(x *Node, j int) *Node {
	at := Iota(x.Graph(), shapes.Make(dtypes.Int32, x.Shape().Dimensions...), 1)
	return ReduceSum(Where(Equal(at, Const(x.Graph(), int32(j))), x, ZerosLike(x)), 1)
}

// decodeSparseGraph returns sum_j value[:, j] * w[index[:, j]]: value [b, k], index int32 [b, k], w [f, d], result
// [b, d]. One gather a slot, summed as it goes, so that nothing of size [b, k, d] exists.
func decodeSparseGraph(value, index, w *Node) *Node {
	var sum *Node
	for j := range index.Shape().Dimensions[1] {
		row := Gather(w, ExpandAxes(columnGraph(index, j), -1)) // [b, d]
		term := Mul(row, ExpandAxes(columnGraph(value, j), -1)) // [b, d]
		if sum == nil {
			sum = term
		} else {
			sum = Add(sum, term)
		}
	}
	return sum
}

// projectSparseGraph returns g . w[index[:, j]] for each slot: g [b, d], index int32 [b, k], w [f, d], result [b, k].
func projectSparseGraph(g, index, w *Node) *Node {
	cols := make([]*Node, index.Shape().Dimensions[1])
	for j := range cols {
		row := Gather(w, ExpandAxes(columnGraph(index, j), -1)) // [b, d]
		cols[j] = ReduceSum(Mul(row, g), 1)                     // [b]
	}
	return Stack(cols, -1)
}

// outerSparseGraph adds value[b, j] * x[b] to row index[b, j] of zeros [f, d]: the gradient of a matrix of which each
// row of the batch touches k rows. It materialises [b*k, d].
func outerSparseGraph(value, index, x *Node, f int) *Node {
	b, k, d := value.Shape().Dimensions[0], value.Shape().Dimensions[1], x.Shape().Dimensions[1]
	updates := Mul(ExpandAxes(value, -1), ExpandAxes(x, 1)) // [b, k, d]
	zero := Zeros(x.Graph(), shapes.Make(x.DType(), f, d))
	return ScatterSum(zero, Reshape(index, b*k, 1), Reshape(updates, b*k, d), false, false)
}

// countSparseGraph sums value [b, k] by index int32 [b, k] into [f].
func countSparseGraph(value, index *Node, f int) *Node {
	n := value.Shape().Size()
	zero := Zeros(value.Graph(), shapes.Make(value.DType(), f))
	return ScatterSum(zero, Reshape(index, n, 1), Reshape(value, n), false, false)
}
