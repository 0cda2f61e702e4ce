package model

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// edgePass is the state of an edge-masked forward pass; see Edges.
type edgePass struct {
	mask      *Node   // [..,u,v]
	corrupted *Node   // [b,t,u,d]
	senders   []*Node // [b,t,n,d] each, in order
	change    *Node   // [b,t,k,d]: corrupted minus current output of the k senders so far
	receivers []*Node // [b,t,n,d] each, in order
	fed       []int   // senders that reach each of them
	column    int     // receivers so far
}

// send appends senders [b,t,n,d]; without an edge mask nobody asks for them.
func (f *forward) send(x *Node) {
	e := f.edges
	if e == nil {
		return
	}
	from := 0
	if e.change != nil {
		from = e.change.Shape().Dimensions[2]
	}
	to := from + x.Shape().Dimensions[2]
	change := Sub(Slice(e.corrupted, AxisRange(), AxisRange(), AxisRange(from, to), AxisRange()), x)
	e.senders = append(e.senders, x)
	if e.change == nil {
		e.change = change
	} else {
		e.change = Concatenate([]*Node{e.change, change}, 2)
	}
}

// receive returns the inputs [b,t,n,d] of the next n receivers of the residual stream x [b,t,d].
func (f *forward) receive(x *Node, n int) *Node {
	e, m := f.edges, f.edges.mask
	d := x.Shape().Dimensions
	k := e.change.Shape().Dimensions[2]
	moved := Einsum("btud,"+f.maskAxes()+"->btvd", e.change, maskPart(m, k, e.column, n))
	out := Add(BroadcastToDims(ExpandAxes(x, 2), d[0], d[1], n, d[2]), moved)
	e.receivers, e.fed = append(e.receivers, out), append(e.fed, k)
	e.column += n
	return out
}

// maskPart is the mask between the first k senders and n receivers from one on.
func maskPart(m *Node, k, from, n int) *Node {
	spec := make([]SliceAxisSpec, m.Rank())
	for i := range spec {
		spec[i] = AxisRange()
	}
	spec[m.Rank()-2], spec[m.Rank()-1] = AxisRange(0, k), AxisRange(from, from+n)
	return Slice(m, spec...)
}

// maskAxes names the mask's axes.
func (f *forward) maskAxes() string {
	axes := "uv"
	if f.plan.Edges.Tokens {
		axes = "t" + axes
	}
	if f.plan.Edges.Batch {
		axes = "b" + axes
	}
	return axes
}

// edgeReferenceGradient returns the gradient in the reference, [b,t,u,d]: the reference reaches the objective through the receivers
// alone, so dM/dr_u = sum_v m_uv dM/dx_v of the gradients at the receivers.
func (f *forward) edgeReferenceGradient(gradients []*Node) *Node {
	var out *Node
	column, u := 0, f.spec.EdgeSenders()
	for i, g := range gradients { // [b,t,n,d]
		d, k := g.Shape().Dimensions, f.edges.fed[i]
		x := Einsum("btvd,"+f.maskAxes()+"->btud", g, maskPart(f.edges.mask, k, column, d[2]))
		if k < u {
			x = Concatenate([]*Node{x, Zeros(f.g, shapeOf(floatType, d[0], d[1], u-k, d[3]))}, 2)
		}
		if out == nil {
			out = x
		} else {
			out = Add(out, x)
		}
		column += d[2]
	}
	return out
}

// edgeBlockGraph is blockGraph with one input per receiver; x is the sum of what the senders wrote.
func (f *forward) edgeBlockGraph(i int, x *Node) *Node {
	s := f.spec
	x = f.site(ResidPre, i, x)
	q, k, v := f.headInputs(i, x)
	mlpInput := func(x *Node) *Node {
		in := f.mlpInput(x)
		if s.Place == OutputNorm {
			return in
		}
		return f.blockNorm(i, "ln2", ln2Sites, in)
	}
	var in *Node
	if s.Parallel {
		in = mlpInput(x)
	}
	x = Add(x, f.edgeAttnGraph(i, q, k, v))
	if !s.Parallel {
		x = f.site(ResidMid, i, x)
		in = mlpInput(x)
	}
	out := f.mlpGraph(i, in)
	f.send(ExpandAxes(out, 2))
	return f.site(ResidPost, i, Add(x, out))
}

// mlpInput is what the MLP reads of the residual stream x [b,t,d].
func (f *forward) mlpInput(x *Node) *Node {
	if f.one != nil {
		return f.one.move(x, 3*f.spec.Heads)
	}
	return Squeeze(f.receive(x, 1), 2)
}

// headInputs are the queries, keys and values [b,t,h,e] that a block's heads make of the residual stream x [b,t,d].
func (f *forward) headInputs(i int, x *Node) (q, k, v *Node) {
	s := f.spec
	if f.one != nil {
		return f.oneHeadInput(i, x)
	}
	in := f.receive(x, 3*s.Heads)
	if s.Place != OutputNorm {
		in, _, _ = f.normGraph(blockName(i, "ln1"), in)
	}
	project := func(part int, name string, heads int) *Node {
		own := Slice(in, AxisRange(), AxisRange(), AxisRange(part*s.Heads, (part+1)*s.Heads), AxisRange()) // [b,t,h,d]
		y := Einsum("bthd,hed->bthe", own, f.ungroup(Reshape(f.param(blockName(i, "W_"+name)), heads, s.DHead, s.DModel)))
		if s.QKVBias {
			y = Add(y, ExpandLeftToRank(f.ungroup(Reshape(f.param(blockName(i, "b_"+name)), heads, s.DHead)), 4))
		}
		return y
	}
	return project(0, "Q", s.Heads), project(1, "K", s.KVHeads), project(2, "V", s.KVHeads)
}

// ungroup repeats the first axis of w [k,..] for the query heads of each group, [h,..].
func (f *forward) ungroup(w *Node) *Node {
	s := f.spec
	heads := w.Shape().Dimensions[0]
	if heads == s.Heads {
		return w
	}
	dims := w.Shape().Dimensions
	wide := append([]int{heads, s.Heads / heads}, dims[1:]...)
	return Reshape(BroadcastToDims(ExpandAxes(w, 1), wide...), append([]int{s.Heads}, dims[1:]...)...)
}

// edgeAttnGraph is attnGraph from the queries, keys and values [b,t,h,e] of every head; it sends each head's part.
func (f *forward) edgeAttnGraph(i int, q, k, v *Node) *Node {
	s := f.spec
	q = f.site(Q, i, q)
	q, k = f.qkNorm(i, "q_norm", q), f.edgeKeyNorm(i, k)
	if s.Positions == PosRotary {
		angles := f.angles[s.RopeOf[i]]
		q, k = f.site(RotQ, i, rotate(q, angles)), rotate(k, angles)
	}
	z := f.site(Z, i, f.fullAttention(i, q, k, v))
	result := f.site(Result, i, Einsum("bthe,dhe->bthd", z, Reshape(f.param(blockName(i, "W_O")), s.DModel, s.Heads, s.DHead)))
	out := ReduceSum(result, 2)
	if s.OBias {
		out = Add(out, ExpandLeftToRank(f.param(blockName(i, "b_O")), 3))
	}
	if s.Place == SandwichNorm || s.Place == OutputNorm {
		out = f.site(AttnSubOut, i, out)
		name := blockName(i, "ln1_post")
		normed, _, scale := f.normGraph(name, out)
		out, result = normed, f.normShare(name, result, scale)
	}
	f.send(result)
	return f.site(AttnOut, i, out)
}

// edgeKeyNorm is qkNorm of ungrouped keys [b,t,h,e]: a norm across heads takes one query head of each group at a time,
// so that equal inputs give the grouped keys.
func (f *forward) edgeKeyNorm(i int, k *Node) *Node {
	s := f.spec
	groups := s.Heads / s.KVHeads
	if s.QKNorm != QKNormWidth || groups == 1 {
		return f.qkNorm(i, "k_norm", k)
	}
	d := k.Shape().Dimensions
	k = TransposeAllAxes(Reshape(k, d[0], d[1], s.KVHeads, groups, d[3]), 0, 1, 3, 2, 4)
	k = f.qkNorm(i, "k_norm", Reshape(k, d[0], d[1]*groups, s.KVHeads, d[3]))
	k = TransposeAllAxes(Reshape(k, d[0], d[1], groups, s.KVHeads, d[3]), 0, 1, 3, 2, 4)
	return Reshape(k, d...)
}

// normShare divides a norm of a sum among its terms x [b,t,n,d] by the sum's own divisor [b,t,1]: the shares add up to the
// normalised sum without the bias.
func (f *forward) normShare(name string, x, scale *Node) *Node {
	s := f.spec
	if s.Norm == LayerNorm {
		x = Sub(x, ReduceAndKeep(x, ReduceMean, -1))
	}
	w := ExpandLeftToRank(f.param(name+".w"), x.Rank())
	if s.Norm == RMSNormOne {
		w = OnePlus(w)
	}
	return Mul(Div(x, ExpandAxes(scale, 2)), w)
}

// edgeProducts returns [b,u,v] (with a token axis [b,t,u,v]): the products of x [b,t,u,d] with the gradients at the
// receivers, zero where there is no edge.
func (f *forward) edgeProducts(x *Node, gradients []*Node) *Node {
	out, u := "buv", f.spec.EdgeSenders()
	if f.plan.Edges.Tokens {
		out = "btuv"
	}
	parts := make([]*Node, len(gradients))
	for i, g := range gradients {
		k := f.edges.fed[i]
		p := Einsum("btud,btvd->"+out, Slice(x, AxisRange(), AxisRange(), AxisRange(0, k), AxisRange()), g)
		if k < u {
			dims := append([]int{}, p.Shape().Dimensions...)
			dims[len(dims)-2] = u - k
			p = Concatenate([]*Node{p, Zeros(f.g, shapeOf(floatType, dims...))}, -2)
		}
		parts[i] = p
	}
	return Concatenate(parts, -1)
}
