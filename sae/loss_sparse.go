package sae

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// sparseLoss is the loss of the architectures that keep a number of latents: topk, abstopk, batchtopk and matryoshka,
// whose loss is the sum of the squared errors of all prefixes of the dictionary.
func sparseLoss(in lossInput) lossOutput {
	f := newForward(in)
	pre := preOf(in, f.xc) // [b, f]
	if in.cfg.crosses() && in.cfg.selections() > 1 {
		return f.decoupled(pre)
	}
	scores := scoresOf(in, pre) // [b, f]
	var acts *Node
	var out lossOutput
	order := scores
	switch {
	case in.cfg.crossLayer() && in.cfg.selections() > 1:
		acts, out.least = f.selectLayers(scores, pre)
	case in.cfg.base() == ArchAbsTopK:
		order = Abs(scores)
		acts = Where(topKMaskGraph(order, in.cfg.K), pre, ZerosLike(pre))
	case in.cfg.byBatch():
		acts, out.least = batchSelected(scores, pre, 1, in.cfg.batchK())
	default:
		acts = Where(topKMaskGraph(scores, in.cfg.K), MaxScalar(pre, 0), ZerosLike(pre))
	}
	out.fired = firedGraph(acts)
	if in.cfg.base() == ArchMatryoshka {
		return f.prefixes(acts, pre, order, out)
	}
	out.e = f.decode(acts)
	out.main = squared(in, out.e)
	if in.dead != nil {
		out.aux = auxGraph(in, pre, order, StopGradient(out.e))
	}
	return out
}

// prefixes adds the squared error of each prefix of the latents. AuxK is that of the whole dictionary or, with
// LevelAux, one for each band of latents against its prefix's residual.
func (f forward) prefixes(acts, pre, order *Node, out lossOutput) lossOutput {
	in := f.in
	y := BroadcastToDims(ExpandAxes(in.w.bDec(), 0), in.x.Shape().Dimensions[0], in.cfg.width())
	lo := 0
	for _, hi := range in.cfg.Matryoshka.Widths {
		band := func(n *Node) *Node { return Slice(n, AxisRange(), AxisRange(lo, hi)) }
		dec := Slice(in.w.dec(), AxisRange(lo, hi))
		y = Add(y, Einsum("bf,fw->bw", band(acts), dec))
		e := f.finish(y)
		out.e = e
		out.main = addTo(out.main, squared(in, e))
		if in.dead != nil && in.cfg.Matryoshka.LevelAux {
			mask := Slice(in.dead, AxisRange(lo, hi))
			write := func(acts *Node) *Node { return Einsum("bf,fw->bw", acts, dec) }
			// The share of dead latents of the band, in place of that of the whole dictionary.
			scale := MulScalar(ReduceAllSum(mask), 1/float64(in.cfg.AuxK))
			factor := Mul(MulScalar(in.main, in.cfg.AuxCoef), Min(scale, OnesLike(scale)))
			out.aux = addTo(out.aux, auxBand(in, band(pre), band(order), StopGradient(e), deadBand{mask, factor, min(in.cfg.AuxK, hi-lo)}, write))
		}
		lo = hi
	}
	if in.dead != nil && !in.cfg.Matryoshka.LevelAux {
		out.aux = auxGraph(in, pre, order, StopGradient(out.e))
	}
	return out
}

func addTo(sum, n *Node) *Node {
	if sum == nil {
		return n
	}
	return Add(sum, n)
}

// batchSelected returns pre where the score is among the n largest of the batch and above zero, 0 elsewhere, and the smallest
// such score, 0 for none. Scores and pre are [b, groups*f]; each group is selected from by itself, and least is [groups].
func batchSelected(scores, pre *Node, groups, n int) (acts, least *Node) {
	kept := batchMaskGraph(scores, groups, n)
	inf := Infinity(pre.Graph(), pre.DType(), 1)
	rows, width := pre.Shape().Dimensions[0], pre.Shape().Dimensions[1]/groups
	low := Where(kept, StopGradient(scores), inf)
	least = ReduceMin(Reshape(low, rows, groups, width), 0, 2)
	return Where(kept, pre, ZerosLike(pre)), Where(Equal(least, inf), ZerosLike(least), least)
}

// batchMaskGraph tells which scores [b, groups*f] are among the n largest of their group of the whole batch and above zero.
// Equal scores at the limit are all kept. The n-th largest is found by its bits, from the highest: positive floats are ordered
// as their bits are, so that 31 counting passes do what a sort of all numbers would.
func batchMaskGraph(scores *Node, groups, n int) *Node {
	s := ConvertDType(StopGradient(MaxScalar(scores, 0)), dtypes.Float32)
	shape := s.Shape().Dimensions
	bits := Reshape(Bitcast(s, dtypes.Int32), shape[0], groups, shape[1]/groups)
	g, least := s.Graph(), shapes.Make(dtypes.Int32, 1, groups, 1)
	// A loop: written out, each pass would be fused into all later ones, which takes minutes to compile.
	state := func(g *Graph) (bit, limit *Node) {
		return Parameter(g, "bit", shapes.Make(dtypes.Int32)), Parameter(g, "limit", least)
	}
	limit := While(NewClosure(g, func(g *Graph) []*Node {
		bit, _ := state(g)
		return []*Node{GreaterThan(bit, Const(g, int32(0)))}
	}), NewClosure(g, func(g *Graph) []*Node {
		bit, limit := state(g)
		try := Add(limit, bit)
		count := ReduceAndKeep(ConvertDType(GreaterOrEqual(bits, try), dtypes.Int32), ReduceSum, 0, 2) // [1, groups, 1]
		return []*Node{Div(bit, Const(g, int32(2))), Where(GreaterOrEqual(count, Const(g, int32(n))), try, limit)}
	}), Const(g, int32(1)<<30), Zeros(g, least))[1]
	return And(Reshape(GreaterOrEqual(bits, limit), shape...), GreaterThan(s, ZerosLike(s)))
}
