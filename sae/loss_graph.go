package sae

// Letters of the shapes: b rows, d input width, w output width, f latents. The encoder is kept as [f, d].

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// lossInput is what the loss of an architecture is made of.
type lossInput struct {
	cfg      Config
	x, y     *Node // [b, d] and [b, w]: input and target; the same node for an autoencoder
	w        weightNodes
	dead     *Node // [f], 1 for a dead latent; nil: no AuxK in this program
	aux      *Node // scalar, see auxCoef
	coef     *Node // scalar, weight of the sparsity term
	main     *Node // scalar, factor of the squared error
	variance *Node // scalar, of y
}

// lossOutput are the terms of a loss, each weighted, and what the step reports.
type lossOutput struct {
	main, aux, sparsity *Node // scalars; nil: none
	e                   *Node // [b, w], reconstruction less target, in the units of the target
	fired               *Node // [f], rows on which each latent is active
	near                *Node // scalar, active latents and those near their threshold; nil: the active ones
	least               *Node // [selections], smallest active score of each; 0: none
}

func (o lossOutput) total() *Node {
	sum := o.main
	for _, n := range []*Node{o.aux, o.sparsity} {
		if n != nil {
			sum = Add(sum, n)
		}
	}
	return sum
}

// denseLoss is the loss of cfg's architecture, for automatic differentiation.
func denseLoss(in lossInput) lossOutput {
	switch in.cfg.base() {
	case ArchStandard:
		return standardLoss(in)
	case ArchJumpReLU:
		return jumpReLULoss(in)
	case ArchGated:
		return gatedLoss(in)
	case ArchMatchingPursuit:
		return pursuitLoss(in)
	case ArchTemporal:
		return temporalLoss(in)
	}
	return sparseLoss(in) // topk, abstopk, batchtopk, matryoshka
}

// forward is the shared frame of an architecture with an encoder matrix: the normalised and centred input, the
// pre-activations and what turns latents into a reconstruction.
type forward struct {
	in          lossInput
	xc          *Node // [b, d]
	back, shift *Node // undo the normalisation, [b, 1]; nil: none
}

func newForward(in lossInput) forward {
	f := forward{in: in}
	xn := in.x
	switch in.cfg.Normalize {
	case normalizeLayerNorm:
		mean := ReduceAndKeep(in.x, ReduceMean, 1)
		diff := Sub(in.x, mean)
		std := Sqrt(MulScalar(ReduceAndKeep(Square(diff), ReduceSum, 1), 1/float64(max(in.cfg.DIn-1, 1))))
		xn, f.back, f.shift = Div(diff, AddScalar(std, 1e-5)), std, mean
	case normalizeConstantNorm:
		norm := L2Norm(in.x, 1)
		safe := Where(Equal(norm, ZerosLike(norm)), OnesLike(norm), norm)
		root := math.Sqrt(float64(in.cfg.DIn))
		xn, f.back = MulScalar(Div(in.x, safe), root), MulScalar(safe, 1/root)
	}
	f.xc = xn
	if in.cfg.centres() {
		f.xc = Sub(xn, ExpandAxes(in.w.bDec(), 0))
	}
	return f
}

// finish turns f W_dec + b_dec, [b, w], into the residual against the target.
func (f forward) finish(y *Node) *Node {
	if f.in.cfg.transcodes() {
		if skip := f.in.w["W_skip"]; skip != nil {
			y = Add(y, Einsum("bd,wd->bw", f.in.x, skip))
		}
		return Sub(y, f.in.y)
	}
	if f.back != nil {
		y = Mul(y, f.back)
	}
	if f.shift != nil {
		y = Add(y, f.shift)
	}
	return Sub(y, f.in.y)
}

// decode is the residual of the reconstruction from latents acts [b, f].
func (f forward) decode(acts *Node) *Node {
	return f.finish(Add(writtenGraph(f.in, acts), ExpandAxes(f.in.w.bDec(), 0)))
}

// writtenGraph is what latents acts [b, f] write, without a bias, [b, w].
func writtenGraph(in lossInput, acts *Node) *Node {
	if in.cfg.crossLayer() {
		return cltWrittenGraph(in, acts)
	}
	return Einsum("bf,fw->bw", acts, in.w.dec())
}

// squared is main * sum|e|^2.
func squared(in lossInput, e *Node) *Node { return Mul(in.main, ReduceAllSum(Square(e))) }

// preOf returns xc W_enc + b_enc, [b, f].
func preOf(in lossInput, xc *Node) *Node {
	if in.cfg.crossLayer() {
		return cltPreGraph(xc, in.w.enc(), in.w.bEnc())
	}
	return preGraph(xc, transposedEncoder(in), in.w.bEnc())
}

// transposedEncoder returns W_enc as [d, f]; folded into the product the transposition would make it twice as slow on a
// CPU.
func transposedEncoder(in lossInput) *Node { return OptimizationBarrier(Transpose(in.w.enc(), 0, 1)) }

// scoresOf returns what latents are selected by: pre, times the norms of the decoder rows with RescaleByDecoder and in
// crosscoders.
func scoresOf(in lossInput, pre *Node) *Node {
	if !in.cfg.RescaleByDecoder && !in.cfg.crosses() {
		return pre
	}
	return Mul(pre, decoderNorms(in))
}

// decoderNorms returns |W_dec row|, or a crosscoder's code norm, as [1, f].
func decoderNorms(in lossInput) *Node {
	if in.cfg.crosses() {
		return codeNormGraph(in.cfg, in.w.dec())
	}
	if in.cfg.crossLayer() {
		return cltNormGraph(in)
	}
	return Transpose(rootGraph(ReduceAndKeep(Square(in.w.dec()), ReduceSum, 1)), 0, 1)
}

// rootGraph returns the square root of sq >= 0; where that is zero, so is the gradient.
func rootGraph(sq *Node) *Node {
	zero := Equal(sq, ZerosLike(sq))
	return Where(zero, ZerosLike(sq), Sqrt(Where(zero, OnesLike(sq), sq)))
}

// auxGraph is AuxK: the k_aux dead latents with the largest scores reconstruct the residual -e, held fixed, without
// b_dec. pre and scores are [b, f], e [b, w]; the result is a scalar.
func auxGraph(in lossInput, pre, scores, e *Node) *Node {
	write := func(acts *Node) *Node { return writtenGraph(in, acts) }
	return auxBand(in, pre, scores, e, deadBand{in.dead, in.aux, min(in.cfg.AuxK, in.cfg.latents())}, write)
}

// deadBand are the dead latents of a band and how AuxK takes them.
type deadBand struct {
	mask   *Node // [f], 1 for a dead latent
	factor *Node // scalar, see auxCoef
	k      int   // latents of a row
}

func auxBand(in lossInput, pre, scores, e *Node, band deadBand, write func(acts *Node) *Node) *Node {
	dead, factor, k := band.mask, band.factor, band.k
	alive := Equal(dead, ZerosLike(dead))
	alive = BroadcastToDims(ExpandAxes(alive, 0), pre.Shape().Dimensions...)
	masked := Where(alive, Infinity(pre.Graph(), pre.DType(), -1), scores) // [b, f]
	act := pre
	if in.cfg.Loss == LossFVU {
		act = MaxScalar(pre, 0)
		factor = MulScalar(inverseGraph(varianceGraph(e)), in.cfg.AuxCoef)
	}
	chosen := And(topKMaskGraph(masked, k), Not(alive))
	act = Where(chosen, act, ZerosLike(act)) // [b, f]
	return Mul(factor, ReduceAllSum(Square(Add(write(act), e))))
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

// positiveGraph is 1 where x is above zero and 0 elsewhere, without a gradient.
func positiveGraph(x *Node) *Node {
	x = StopGradient(x)
	return ConvertDType(GreaterThan(x, ZerosLike(x)), x.DType())
}

// firedGraph counts the rows on which each latent of acts [b, f] is not zero.
func firedGraph(acts *Node) *Node {
	acts = StopGradient(acts)
	return ReduceSum(ConvertDType(NotEqual(acts, ZerosLike(acts)), acts.DType()), 0)
}
