package sae

import . "github.com/gomlx/gomlx/core/graph"

// standardLoss is the squared error plus coef * mean over rows of the p-norm of f * |W_dec row| (L1 for p = 1).
func standardLoss(in lossInput) lossOutput {
	f := newForward(in)
	acts := MaxScalar(preOf(in, f.xc), 0) // [b, f]
	e := f.decode(acts)
	out := lossOutput{main: squared(in, e), e: e, fired: firedGraph(acts)}
	out.sparsity = Mul(in.coef, ReduceAllMean(pNorm(Mul(acts, decoderNorms(in)), in.cfg.LpNorm)))
	return out
}

// pNorm returns the p-norm of each row of x [b, f] >= 0. A row of zeros has gradient zero.
func pNorm(x *Node, p float64) *Node {
	if p == 1 {
		return ReduceSum(x, 1)
	}
	zero := Equal(x, ZerosLike(x))
	safe := Where(zero, OnesLike(x), x)
	power := Scalar(x.Graph(), x.DType(), p)
	sum := ReduceSum(Where(zero, ZerosLike(x), Pow(safe, power)), 1) // [b]
	empty := Equal(sum, ZerosLike(sum))
	root := Pow(Where(empty, OnesLike(sum), sum), Scalar(x.Graph(), x.DType(), 1/p))
	return Where(empty, ZerosLike(sum), root)
}
