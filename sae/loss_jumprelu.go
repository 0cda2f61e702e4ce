package sae

import . "github.com/gomlx/gomlx/core/graph"

// The sparsity terms of JumpReLU; L0 is that of a row.
const (
	SparsityStep      = "step"      // coef * L0, with a straight-through gradient (arXiv:2407.14435)
	SparsityTanh      = "tanh"      // coef * sum tanh(scale f |W_dec row|), no straight-through gradient (Anthropic, January 2025)
	SparsityQuadratic = "quadratic" // coef * 2/target * (L0 - target)^2, row by row (SAELens)
	SparsityTarget    = "target"    // coef * (mean L0 / target - 1)^2 (arXiv:2407.14435, appendix; dictionary_learning)
)

// jumpReLULoss is the squared error with f = h * 1[h > theta], plus a sparsity term and, with PreActCoef, a push for
// dead latents: PreActCoef * mean sum over dead relu(theta - h) |W_dec row|.
//
// The step has no gradient with respect to the threshold; in its place stands one of a rectangle of the given bandwidth
// around it: d f / d theta = -(theta/bw) rect((h-theta)/bw) and d 1[h > theta] / d theta = -(1/bw) rect(...). The step
// is taken of the pre-activation h, never of f.
func jumpReLULoss(in lossInput) lossOutput {
	cfg := in.cfg.JumpReLU
	f := newForward(in)
	h := preOf(in, f.xc)                      // [b, f]
	theta := ExpandAxes(in.w["threshold"], 0) // [1, f]
	theta = BroadcastToDims(theta, h.Shape().Dimensions...)
	held, heldTheta := StopGradient(h), StopGradient(theta)
	above := ConvertDType(GreaterThan(held, heldTheta), h.DType())
	rect := jumpKernelGraph(cfg.Kernel, Sub(held, heldTheta), cfg.Bandwidth)
	// pull is 0 with gradient -1 for theta and, with STEToInput, 1 for h.
	pull := Sub(heldTheta, theta)
	if cfg.STEToInput {
		pull = Add(pull, Sub(h, held))
	}
	acts := Add(Mul(h, above), Mul(pull, Mul(heldTheta, rect)))
	l0 := ReduceSum(Add(above, Mul(pull, rect)), 1) // [b]
	e := f.decode(acts)
	out := lossOutput{main: squared(in, e), e: e, fired: ReduceSum(above, 0)}
	if in.cfg.sparseReLU() {
		inside := Or(GreaterThan(held, heldTheta), NotEqual(rect, ZerosLike(rect)))
		out.near = ReduceAllSum(ReduceSum(ConvertDType(inside, h.DType()), 0))
	}
	switch cfg.Sparsity {
	case SparsityTanh:
		out.sparsity = ReduceAllMean(ReduceSum(Tanh(MulScalar(Mul(acts, decoderNorms(in)), cfg.TanhScale)), 1))
	case SparsityQuadratic:
		out.sparsity = MulScalar(ReduceAllMean(Square(AddScalar(l0, -in.cfg.TargetL0))), 2/in.cfg.TargetL0)
	case SparsityTarget:
		out.sparsity = Square(AddScalar(MulScalar(ReduceAllMean(l0), 1/in.cfg.TargetL0), -1))
	default:
		out.sparsity = ReduceAllMean(l0)
	}
	out.sparsity = Mul(in.coef, out.sparsity)
	if in.dead != nil && cfg.PreActCoef > 0 {
		short := Mul(MaxScalar(Sub(theta, h), 0), Mul(decoderNorms(in), ExpandAxes(in.dead, 0)))
		out.aux = MulScalar(ReduceAllMean(ReduceSum(short, 1)), cfg.PreActCoef)
	}
	return out
}
