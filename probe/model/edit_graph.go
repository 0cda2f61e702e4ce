package model

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// applyEdits applies the plan's edits of this site in order.
func (f *forward) applyEdits(site Site, x *Node) *Node {
	for i := range f.plan.Edits {
		e := &f.plan.Edits[i]
		if e.Site != site.Kind {
			continue
		}
		for slot, layer := range e.layers(f.spec) {
			if layer == site.Layer {
				x = f.editGraph(e, f.edits[i], slot, x)
			}
		}
	}
	return x
}

// editGraph is Edit's equation at one layer; slot is the layer's index in the edit's leading axis. x is [b,t,w],
// [b,t,h,w], [b,h,t,s] or [b,w]; the place tensors are x's shape without its last axis.
func (f *forward) editGraph(e *Edit, in map[string]*Node, slot int, x *Node) *Node {
	at := func(name string) *Node { return ExpandAxes(layerSlice(in[name], slot), -1) } // [..,1]
	across := func(name string) *Node { return ExpandLeftToRank(in[name], x.Rank()) }   // [1,..,w]
	y := x
	if e.Replace || e.Mix {
		source := in["source"]
		if e.SourcePerLayer {
			source = layerSlice(source, slot)
		}
		if e.Replace {
			here := And(broadcastTo(GreaterThan(at("where"), ScalarZero(f.g, floatType)), x), broadcastTo(GreaterThan(across("dims"), ScalarZero(f.g, floatType)), x))
			y = Where(here, source, y)
		}
		if e.Mix {
			y = Add(y, Mul(at("mix"), Sub(source, x)))
		}
	}
	if e.Rank > 0 || e.Affine || e.Add {
		change := f.linearChange(e, in, at, across, x)
		if e.Gate != GateNone {
			change = Mul(change, f.gateGraph(e, in, x))
		}
		y = Add(y, change)
	}
	if e.Latents > 0 {
		moved := Sub(saeGraph(e, in, y), y)
		if e.Gate != GateNone {
			moved = Mul(moved, f.gateGraph(e, in, x))
		}
		y = Add(y, Mul(at("sae"), moved))
	}
	if e.KeepNorm {
		old, now := vectorNorm(x), vectorNorm(y)
		tiny := Scalar(f.g, floatType, 1e-12)
		y = Mul(y, Div(Max(old, tiny), Max(now, tiny)))
	}
	return y
}

// linearChange is g (sum_j (V_j . (x-b)) U_j + A (x-b)) + a s.
func (f *forward) linearChange(e *Edit, in map[string]*Node, at, across func(string) *Node, x *Node) *Node {
	var change *Node
	plus := func(term *Node) {
		if change == nil {
			change = term
		} else {
			change = Add(change, term)
		}
	}
	if e.Rank > 0 || e.Affine {
		dims := x.Shape().Dimensions
		width := dims[len(dims)-1]
		flat := Reshape(Sub(x, across("bias")), -1, width) // [n,w]
		var moved *Node
		if e.Rank > 0 {
			moved = Einsum("nk,kw->nw", Einsum("nw,kw->nk", flat, in["V"]), in["U"])
		}
		if e.Affine {
			full := Einsum("nw,vw->nv", flat, in["A"])
			if moved != nil {
				full = Add(moved, full)
			}
			moved = full
		}
		plus(Mul(at("gate"), Reshape(moved, dims...)))
	}
	if e.Add {
		plus(Mul(at("strength"), across("direction")))
	}
	return change
}

// gateGraph returns the gate [b,t,..,1] from the score of the gate's site.
func (f *forward) gateGraph(e *Edit, in map[string]*Node, x *Node) *Node {
	read := x
	if e.GateSite != nil {
		read = f.tap(*e.GateSite)
	}
	score := ReduceSum(Mul(read, ExpandLeftToRank(in["probe"], read.Rank())), -1) // [b,t] or [b,t,h]
	if e.GateMax {
		real := broadcastTo(spread(f.mask, score.Rank()), score)
		score = Where(real, score, Scalar(f.g, floatType, -1e30))
		score = ReduceAndKeep(score, ReduceMax, 1)
	}
	margin := Sub(score, in["threshold"])
	var gate *Node
	if e.Gate == GateStep {
		gate = ConvertDType(GreaterThan(margin, ScalarZero(f.g, floatType)), floatType)
	} else {
		gate = Logistic(Mul(margin, in["sharpness"]))
	}
	return spread(gate, x.Rank())
}

// saeGraph splices an autoencoder with edited latents into x [b,t,w]; see saeTensors.
func saeGraph(e *Edit, in map[string]*Node, x *Node) *Node {
	dims := x.Shape().Dimensions
	width := dims[len(dims)-1]
	flat := Reshape(x, -1, width)                                                                 // [n,w]
	row := func(name string) *Node { return ExpandAxes(in[name], 0) }                             // [1,..]
	pre := Add(Einsum("nw,wf->nf", Sub(flat, row("b_in")), in["W_enc"]), row("b_enc"))            // [n,f]
	keep := GreaterThan(pre, BroadcastToDims(row("latent_threshold"), pre.Shape().Dimensions...)) // JumpReLU; threshold 0 is ReLU
	if e.TopK > 0 {
		values, _ := TopK(StopGradient(pre), e.TopK, -1)
		least := ReduceAndKeep(values, ReduceMin, -1) // [n,1]
		keep = And(keep, GreaterOrEqual(pre, least))
	}
	f := Where(keep, pre, ZerosLike(pre))
	changed := Mul(f, OnePlus(row("latent_scale")))
	forced := BroadcastToDims(GreaterThan(row("latent_where"), ScalarZero(x.Graph(), floatType)), f.Shape().Dimensions...)
	changed = Where(forced, BroadcastToDims(row("latent_set"), f.Shape().Dimensions...), changed)
	// decode(changed) + keep (x - decode(f)) with one product; exactly x when keep is 1 and no latent changed
	keepError := in["keep_error"]
	out := Einsum("nf,fw->nw", Sub(changed, Mul(keepError, f)), in["W_dec"])
	out = Add(out, Mul(OneMinus(keepError), row("b_dec")))
	return Reshape(Add(out, Mul(keepError, flat)), dims...)
}

// vectorNorm is the Euclidean length of the last axis, kept as an axis of size one.
func vectorNorm(x *Node) *Node {
	return Sqrt(ReduceAndKeep(Square(x), ReduceSum, -1))
}
