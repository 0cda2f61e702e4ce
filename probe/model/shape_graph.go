package model

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// floatType is the type in which every graph computes.
const floatType = dtypes.Float32

func shapeOf(dtype dtypes.DType, dims ...int) shapes.Shape { return shapes.Make(dtype, dims...) }

// spread reshapes x to rank by adding axes of size one on the right.
func spread(x *Node, rank int) *Node {
	for x.Rank() < rank {
		x = ExpandAxes(x, -1)
	}
	return x
}

// layerSlice returns x[i] of a tensor with a leading layer axis.
func layerSlice(x *Node, i int) *Node {
	return Squeeze(Slice(x, AxisElem(i)), 0)
}

// broadcastTo gives a condition the shape of x: axes of size one are repeated.
func broadcastTo(cond, x *Node) *Node {
	if cond.Shape().EqualDimensions(x.Shape()) {
		return cond
	}
	return BroadcastToDims(cond, x.Shape().Dimensions...)
}
