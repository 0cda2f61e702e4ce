package sae

// Letters of the shapes: b rows, d input width, f latents, k kept latents. The encoder is kept as [f, d].

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// weightNodes are the nodes of one set of weights, in the order of weightNames: [f, d], [f, d], [f], [d].
type weightNodes [4]*Node

func (w weightNodes) enc() *Node  { return w[0] }
func (w weightNodes) dec() *Node  { return w[1] }
func (w weightNodes) bEnc() *Node { return w[2] }
func (w weightNodes) bDec() *Node { return w[3] }

// The places of the numbers in the step's statistics output.
const (
	statLoss = iota
	statAux
	statSSE
	statVariance
	statActive
	statGradNorm
	numStats
)

// stepGraph returns one whole training step. Inputs: x [b, d], the weights, Adam's two moments, knobs [3] = {rate,
// root, aux factor} (see adamCoef and auxCoef) and, with aux, the mask of dead latents, float32 [f]. Outputs: the new
// weights and moments, the statistics [numStats] and how often each latent fired, float32 [f].
func stepGraph(cfg Config, dense, aux bool) func(in []*Node) []*Node {
	return func(in []*Node) []*Node {
		x := in[0]
		w, m, v := weightNodes(in[1:5]), weightNodes(in[5:9]), weightNodes(in[9:13])
		knobs := in[13]
		var dead *Node
		if aux {
			dead = in[14]
		}
		grads, stats, fired := gradientsGraph(cfg, dense, x, w, dead, knob(knobs, 2))
		if cfg.Decoder == DecoderUnit {
			grads[1] = Sub(grads[1], Mul(ReduceAndKeep(Mul(grads[1], w.dec()), ReduceSum, 1), w.dec()))
		}
		norm := ScalarZero(x.Graph(), x.DType())
		for _, g := range grads {
			norm = Add(norm, ReduceAllSum(Square(g)))
		}
		norm = Sqrt(norm)
		stats[statGradNorm] = norm
		scale := OnesLike(norm)
		if cfg.Clip > 0 {
			scale = Min(scale, Div(Const(x.Graph(), float32(cfg.Clip)), AddScalar(norm, 1e-6)))
		}
		out := make([]*Node, 0, 14)
		var newM, newV []*Node
		for i, g := range grads {
			wi, mi, vi := adamGraph(cfg, w[i], m[i], v[i], Mul(g, scale), knob(knobs, 0), knob(knobs, 1))
			if i == 1 && cfg.Decoder == DecoderUnit {
				wi = Div(wi, MaxScalar(L2Norm(wi, 1), 1e-30))
			}
			out, newM, newV = append(out, wi), append(newM, mi), append(newV, vi)
		}
		out = append(append(out, newM...), newV...)
		return append(out, Stack(stats[:], 0), fired)
	}
}

// adamGraph is one Adam step (see adamCoef); it returns the new weights and moments.
func adamGraph(cfg Config, w, m, v, g, rate, root *Node) (*Node, *Node, *Node) {
	m = Add(MulScalar(m, cfg.Beta1), MulScalar(g, 1-cfg.Beta1))
	v = Add(MulScalar(v, cfg.Beta2), MulScalar(Square(g), 1-cfg.Beta2))
	return Sub(w, Div(Mul(rate, m), AddScalar(Mul(Sqrt(v), root), cfg.AdamEps))), m, v
}

// knob returns element i of a vector as a scalar.
func knob(v *Node, i int) *Node { return Reshape(Slice(v, AxisRange(i, i+1))) }

// gradientsGraph returns the gradients of the loss (before the decoder's constraint and clipping), the statistics
// without the gradient norm, and the firing counts [f]. With a mask of dead latents the loss has its AuxK part.
func gradientsGraph(cfg Config, dense bool, x *Node, w weightNodes, dead, auxFactor *Node) (grads weightNodes, stats [numStats]*Node, fired *Node) {
	b := x.Shape().Dimensions[0]
	xc := Sub(x, ExpandAxes(w.bDec(), 0))                 // [b, d]
	wEnc := OptimizationBarrier(Transpose(w.enc(), 0, 1)) // [d, f]; folded into the product it would be twice as slow on a CPU
	pre := preGraph(xc, wEnc, w.bEnc())                   // [b, f]
	variance := varianceGraph(x)                          // scalar
	scores := pre                                         // [b, f]
	if cfg.RescaleByDecoder {
		scores = Mul(pre, Transpose(L2Norm(w.dec(), 1), 0, 1))
	}
	main := Const(x.Graph(), float32(1/float64(b)))
	if cfg.Loss == LossFVU {
		main = inverseGraph(variance)
	}
	var e, loss *Node
	if dense {
		f := Where(topKMaskGraph(scores, cfg.K), MaxScalar(pre, 0), ZerosLike(pre)) // [b, f]
		e = Sub(Einsum("bf,fd->bd", f, w.dec()), xc)                                // [b, d]
		fired = ReduceSum(positiveGraph(f), 0)
		loss = Mul(main, ReduceAllSum(Square(e)))
	} else {
		index := topKGraph(scores, cfg.K)                      // [b, k]
		value := MaxScalar(gatherRowsGraph(pre, index), 0)     // [b, k]
		e = Sub(decodeSparseGraph(value, index, w.dec()), xc)  // [b, d]
		g := Mul(MulScalar(main, 2), e)                        // [b, d]
		on := positiveGraph(value)                             // [b, k]
		gPre := Mul(projectSparseGraph(g, index, w.dec()), on) // [b, k]
		f := w.bEnc().Shape().Dimensions[0]
		gb := countSparseGraph(gPre, index, f)
		grads = weightNodes{
			outerSparseGraph(gPre, index, xc, f),
			outerSparseGraph(value, index, g, f),
			gb,
			Sub(ReduceSum(g, 0), Einsum("f,fd->d", gb, w.enc())),
		}
		fired = countSparseGraph(on, index, f)
		loss = Mul(main, ReduceAllSum(Square(e)))
	}
	auxLoss := ScalarZero(x.Graph(), x.DType())
	if dead != nil {
		auxLoss = auxGraph(cfg, pre, scores, StopGradient(e), w.dec(), dead, auxFactor)
	}
	switch {
	case dense:
		copy(grads[:], Gradient(Add(loss, auxLoss), w[:]...))
	case dead != nil:
		for i, g := range Gradient(auxLoss, w[:]...) {
			grads[i] = Add(grads[i], g)
		}
	}
	stats[statLoss], stats[statAux] = Add(loss, auxLoss), auxLoss
	stats[statSSE], stats[statVariance], stats[statActive] = ReduceAllSum(Square(e)), variance, ReduceAllSum(fired)
	return grads, stats, fired
}

// auxGraph is AuxK: the k_aux dead latents with the largest scores reconstruct the residual -e, held fixed, without
// b_dec. pre and scores are [b, f], e [b, d], dec [f, d], dead [f]; the result is a scalar.
func auxGraph(cfg Config, pre, scores, e, dec, dead, factor *Node) *Node {
	alive := Equal(dead, ZerosLike(dead))
	alive = BroadcastToDims(ExpandAxes(alive, 0), pre.Shape().Dimensions...)
	masked := Where(alive, Infinity(pre.Graph(), pre.DType(), -1), scores) // [b, f]
	act := pre
	if cfg.Loss == LossFVU {
		act = MaxScalar(pre, 0)
		factor = MulScalar(inverseGraph(varianceGraph(e)), cfg.AuxCoef)
	}
	chosen := And(topKMaskGraph(masked, cfg.AuxK), Not(alive))
	act = Where(chosen, act, ZerosLike(act)) // [b, f]
	return Mul(factor, ReduceAllSum(Square(Add(Einsum("bf,fd->bd", act, dec), e))))
}

// varianceGraph returns sum|x - mean x|^2 over the rows of x [b, d].
func varianceGraph(x *Node) *Node {
	return ReduceAllSum(Square(Sub(x, ReduceAndKeep(x, ReduceMean, 0))))
}

// inverseGraph returns 1/v, and 0 where v is 0.
func inverseGraph(v *Node) *Node {
	zero := Equal(v, ZerosLike(v))
	return Where(zero, ZerosLike(v), Div(OnesLike(v), Where(zero, OnesLike(v), v)))
}

// positiveGraph is 1 where x is above zero and 0 elsewhere.
func positiveGraph(x *Node) *Node {
	return ConvertDType(GreaterThan(x, ZerosLike(x)), x.DType())
}
