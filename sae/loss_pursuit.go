package sae

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// pursuitLoss is the squared error of matching pursuit, unrolled over its steps. Which latent a step takes and when a
// row stops carry no gradient.
func pursuitLoss(in lossInput) lossOutput {
	f := newForward(in)
	r := f.xc
	b, latents := r.Shape().Dimensions[0], in.cfg.DSAE
	taken := Zeros(r.Graph(), shapes.Make(r.DType(), b, latents))      // [b, f]
	going := OnesLike(StopGradient(ReduceAndKeep(r, ReduceSum, 1)))    // [b, 1]
	place := Iota(r.Graph(), shapes.Make(dtypes.Int32, b, latents), 1) // [b, f]
	sum := ZerosLike(r)
	for range in.cfg.Pursuit.Iterations {
		h := MaxScalar(Einsum("bd,fd->bf", StopGradient(r), StopGradient(in.w.dec())), 0)
		best := ExpandAxes(ArgMax(h, 1, dtypes.Int32), -1)                      // [b, 1]
		row := Gather(in.w.dec(), best)                                         // [b, d]
		v := Mul(MaxScalar(ReduceAndKeep(Mul(r, row), ReduceSum, 1), 0), going) // [b, 1]
		term := Mul(v, row)
		sum, r = Add(sum, term), Sub(r, term)
		on := Mul(ConvertDType(Equal(place, best), r.DType()), positiveGraph(v)) // [b, f]
		fresh := ReduceAndKeep(Mul(on, Sub(OnesLike(taken), taken)), ReduceSum, 1)
		taken = Max(taken, on)
		if in.cfg.Pursuit.StopDuplicate {
			going = Mul(going, fresh)
		}
		if limit := in.cfg.Pursuit.Residual; limit > 0 {
			norm := StopGradient(L2Norm(StopGradient(r), 1))
			going = Mul(going, ConvertDType(GreaterOrEqual(norm, MulScalar(OnesLike(norm), limit)), r.DType()))
		}
		going = StopGradient(going)
	}
	e := f.finish(Add(sum, ExpandAxes(in.w.bDec(), 0)))
	return lossOutput{main: squared(in, e), e: e, fired: ReduceSum(taken, 0)}
}
