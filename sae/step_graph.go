package sae

// Letters of the shapes: b rows, d input width, w output width, f latents, k kept latents. The encoder is kept as [f, d].

import (
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// weightNodes are the nodes of one set of weights by name; see [layout].
type weightNodes map[string]*Node

func (w weightNodes) enc() *Node  { return w["W_enc"] }
func (w weightNodes) dec() *Node  { return w["W_dec"] }
func (w weightNodes) bEnc() *Node { return w["b_enc"] }
func (w weightNodes) bDec() *Node { return w["b_dec"] }

// The places of the numbers in the step's statistics output.
const (
	statLoss = iota
	statAux
	statSparsity
	statSSE
	statVariance
	statActive
	statNear
	statGradNorm
	numStats // then, site by site, squared errors and variances, the least active score of each selection, the squared error of each row
)

// The places of the run-time numbers of a step.
const (
	knobRate = iota
	knobRoot // see adam.Coef
	knobAux  // see auxCoef
	knobCoef // weight of the sparsity term
	numKnobs
)

// stepGraph returns one whole training step. Inputs: x [b, d], with a target the target [b, w], the weights, Adam's two
// moments, knobs and, with aux, the mask of dead latents, float32 [f]. Outputs: the new weights and moments, the
// statistics and how often each latent fired, float32 [f].
func stepGraph(cfg Config, dense, target, aux bool) func(in []*Node) []*Node {
	infos := layout(cfg)
	return func(in []*Node) []*Node {
		take := func() *Node { n := in[0]; in = in[1:]; return n }
		li := lossInput{cfg: cfg, x: take()}
		li.y = li.x
		if target {
			li.y = take()
		}
		sets := [3]weightNodes{{}, {}, {}}
		for _, set := range sets {
			for _, info := range infos {
				set[info.name] = take()
			}
		}
		li.w = project(sets[0])
		knobs := take()
		li.aux, li.coef = knob(knobs, knobAux), knob(knobs, knobCoef)
		if aux {
			li.dead = take()
		}
		grads, stats, more, fired := gradientsGraph(li, dense)
		if cfg.Decoder == DecoderUnit {
			for _, info := range infos {
				if n := info.name; isDecoder(n) {
					dec := li.w[n]
					grads[n] = Sub(grads[n], Mul(ReduceAndKeep(Mul(grads[n], dec), ReduceSum, 1), dec))
				}
			}
		}
		norm := ScalarZero(knobs.Graph(), knobs.DType())
		for _, info := range infos {
			if isFixed(info.name) {
				continue
			}
			norm = Add(norm, ReduceAllSum(Square(grads[info.name])))
		}
		norm = Sqrt(norm)
		stats[statGradNorm] = norm
		scale := OnesLike(norm)
		if cfg.Clip > 0 {
			scale = Min(scale, Div(Scalar(norm.Graph(), norm.DType(), cfg.Clip), AddScalar(norm, 1e-6)))
		}
		next := weightNodes{}
		var newW, newM, newV []*Node
		for _, info := range infos {
			n := info.name
			if isFixed(n) {
				next[n] = li.w[n]
				newM, newV = append(newM, sets[1][n]), append(newV, sets[2][n])
				continue
			}
			wi, mi, vi := adamGraph(cfg, li.w[n], sets[1][n], sets[2][n], Mul(grads[n], scale), knob(knobs, knobRate), knob(knobs, knobRoot))
			if isDecoder(n) && cfg.Decoder == DecoderUnit {
				wi = Div(wi, MaxScalar(L2Norm(wi, 1), 1e-30))
			}
			if n == "W_dec" && cfg.Decoder == DecoderBounded {
				wi = Div(wi, MaxScalar(L2Norm(wi, 1), 1))
			}
			next[n] = wi
			newM, newV = append(newM, mi), append(newV, vi)
		}
		if cfg.archetypal() {
			projectArchetypes(cfg, next)
		}
		for _, info := range infos {
			newW = append(newW, next[info.name])
		}
		all := Concatenate([]*Node{Stack(stats[:], 0), more}, 0)
		return append(append(append(newW, newM...), newV...), all, fired)
	}
}

// project brings weights back into their set before a step, outside the gradient: JumpReLU's thresholds to at least 0.
func project(w weightNodes) weightNodes {
	out := weightNodes{}
	for name, n := range w {
		if name == "threshold" {
			n = MaxScalar(n, 0)
		}
		out[name] = n
	}
	return out
}

// adamGraph is one Adam step (see adam.Coef); it returns the new weights and moments.
func adamGraph(cfg Config, w, m, v, g, rate, root *Node) (*Node, *Node, *Node) {
	m = Add(MulScalar(m, cfg.Beta1), MulScalar(g, 1-cfg.Beta1))
	v = Add(MulScalar(v, cfg.Beta2), MulScalar(Square(g), 1-cfg.Beta2))
	return Sub(w, Div(Mul(rate, m), AddScalar(Mul(Sqrt(v), root), cfg.AdamEps))), m, v
}

// knob returns element i of a vector as a scalar.
func knob(v *Node, i int) *Node { return Reshape(Slice(v, AxisRange(i, i+1))) }

// gradientsGraph returns the gradients of the loss (before the decoder's constraint and clipping), the statistics
// without the gradient norm, those of sites and selections, and the firing counts [f].
func gradientsGraph(in lossInput, dense bool) (weightNodes, [numStats]*Node, *Node, *Node) {
	in.variance = varianceGraph(in.y)
	in.main = Scalar(in.x.Graph(), in.x.DType(), 1/float64(in.x.Shape().Dimensions[0]))
	if in.cfg.Loss == LossFVU {
		in.main = inverseGraph(in.variance)
	}
	grads := weightNodes{}
	var out lossOutput
	if dense {
		if in.cfg.archetypal() {
			in.w["W_dec"] = archetypeDecoder(in.w)
		}
		out = denseLoss(in)
		var nodes []*Node
		var names []string
		for _, info := range layout(in.cfg) {
			if !isFixed(info.name) {
				nodes, names = append(nodes, in.w[info.name]), append(names, info.name)
			}
		}
		for i, g := range Gradient(out.total(), nodes...) {
			grads[names[i]] = g
		}
	} else {
		out, grads = sparseTopK(in)
	}
	zero := ScalarZero(in.x.Graph(), in.x.DType())
	var stats [numStats]*Node
	stats[statLoss], stats[statAux], stats[statSparsity] = out.total(), orZero(out.aux, zero), orZero(out.sparsity, zero)
	stats[statSSE], stats[statVariance] = ReduceAllSum(Square(out.e)), in.variance
	stats[statActive] = ReduceAllSum(out.fired)
	stats[statNear] = orZero(out.near, stats[statActive])
	more := Concatenate([]*Node{
		siteSums(in.cfg, ReduceSum(Square(out.e), 0)),
		siteSums(in.cfg, ReduceSum(Square(Sub(in.y, ReduceAndKeep(in.y, ReduceMean, 0))), 0)),
		orZero(out.least, Zeros(in.x.Graph(), shapes.Make(in.x.DType(), in.cfg.selections()))),
		ReduceSum(Square(out.e), 1),
	}, 0)
	return grads, stats, more, out.fired
}

// siteSums adds up values of the dimensions of an output, [w], to those of its sites.
func siteSums(cfg Config, v *Node) *Node {
	return ReduceSum(Reshape(v, cfg.outSites(), cfg.width()/cfg.outSites()), 1)
}

func orZero(n, zero *Node) *Node {
	if n == nil {
		return zero
	}
	return n
}

// sparseTopK is the loss of TopK with hand-written gradients that touch the kept latents only; AuxK's part is by
// automatic differentiation.
func sparseTopK(in lossInput) (lossOutput, weightNodes) {
	w, f := in.w, in.cfg.DSAE
	xc := Sub(in.x, ExpandAxes(w.bDec(), 0)) // [b, d]
	pre := preOf(in, xc)                     // [b, f]
	scores := scoresOf(in, pre)
	index := topKGraph(scores, in.cfg.K)                   // [b, k]
	value := MaxScalar(gatherRowsGraph(pre, index), 0)     // [b, k]
	e := Sub(decodeSparseGraph(value, index, w.dec()), xc) // [b, d]
	g := Mul(MulScalar(in.main, 2), e)                     // [b, d]
	on := positiveGraph(value)                             // [b, k]
	gPre := Mul(projectSparseGraph(g, index, w.dec()), on) // [b, k]
	gb := countSparseGraph(gPre, index, f)                 // [f]
	grads := weightNodes{
		"W_enc": outerSparseGraph(gPre, index, xc, f),
		"W_dec": outerSparseGraph(value, index, g, f),
		"b_enc": gb,
		"b_dec": Sub(ReduceSum(g, 0), Einsum("f,fd->d", gb, w.enc())),
	}
	out := lossOutput{main: Mul(in.main, ReduceAllSum(Square(e))), e: e, fired: countSparseGraph(on, index, f)}
	if in.dead != nil {
		out.aux = auxGraph(in, pre, scores, StopGradient(e))
		infos := layout(in.cfg)
		var nodes []*Node
		for _, info := range infos {
			nodes = append(nodes, w[info.name])
		}
		for i, g := range Gradient(out.aux, nodes...) {
			grads[infos[i].name] = Add(grads[infos[i].name], g)
		}
	}
	return out, grads
}
