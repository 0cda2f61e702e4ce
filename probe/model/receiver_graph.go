package model

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// oneReceiver is the state of a pass in which one receiver of its first block reads another residual stream; see Plan.Receiver.
type oneReceiver struct {
	change *Node // [b,t,d]
	pick   *Node // [b,v]: a row's receiver among queries, keys and values of all heads and the MLP
}

// move adds the change to the residual stream x [b,t,d] in the rows that pick a receiver.
func (o *oneReceiver) move(x *Node, receiver int) *Node {
	b := x.Shape().Dimensions[0]
	return Add(x, Mul(o.change, Reshape(Slice(o.pick, AxisRange(), AxisElem(receiver)), b, 1, 1)))
}

// oneHeadInput is headInputs where a row's picked query, key or value comes from the moved stream: both streams are projected, and each head
// takes one of the two.
func (f *forward) oneHeadInput(i int, x *Node) (q, k, v *Node) {
	s := f.spec
	streams := [2]*Node{x, Add(x, f.one.change)}
	if s.Place != OutputNorm {
		for j := range streams {
			streams[j], _, _ = f.normGraph(blockName(i, "ln1"), streams[j])
		}
	}
	b := x.Shape().Dimensions[0]
	project := func(part int, name string, heads int) *Node {
		var both [2]*Node
		for j, in := range streams {
			y := Einsum("btd,ked->btke", in, Reshape(f.param(blockName(i, "W_"+name)), heads, s.DHead, s.DModel))
			if s.QKVBias {
				y = Add(y, ExpandLeftToRank(Reshape(f.param(blockName(i, "b_"+name)), heads, s.DHead), 4))
			}
			if heads != s.Heads {
				y = TransposeAllAxes(f.ungroup(TransposeAllAxes(y, 2, 0, 1, 3)), 1, 2, 0, 3)
			}
			both[j] = y
		}
		pick := Reshape(Slice(f.one.pick, AxisRange(), AxisRange(part*s.Heads, (part+1)*s.Heads)), b, 1, s.Heads, 1)
		return Add(both[0], Mul(Sub(both[1], both[0]), pick))
	}
	return project(0, "Q", s.Heads), project(1, "K", s.KVHeads), project(2, "V", s.KVHeads)
}
