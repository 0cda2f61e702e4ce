package sae

import . "github.com/gomlx/gomlx/core/graph"

// gatedLoss is the squared error, plus coef * L1 of the gate's relu weighted by the decoder norms, plus the squared
// error of what the gate's relu alone reconstructs (arXiv:2404.16014). There the decoder is held fixed, as in the paper,
// unless GatedFreeDecoder lets gradients into it, as SAELens does.
func gatedLoss(in lossInput) lossOutput {
	f := newForward(in)
	row := func(name string) *Node { return ExpandAxes(in.w[name], 0) }
	h := Einsum("bd,df->bf", f.xc, transposedEncoder(in)) // [b, f]
	gate := Add(h, row("b_gate"))
	mag := MaxScalar(Add(Mul(h, Exp(row("r_mag"))), row("b_mag")), 0)
	acts := Mul(positiveGraph(gate), mag)
	e := f.decode(acts)
	open := MaxScalar(gate, 0) // [b, f]
	dec, bias := in.w.dec(), in.w.bDec()
	if !in.cfg.GatedFreeDecoder {
		dec, bias = StopGradient(dec), StopGradient(bias)
	}
	viaGate := f.finish(Add(Einsum("bf,fw->bw", open, dec), ExpandAxes(bias, 0)))
	return lossOutput{
		main: squared(in, e), aux: squared(in, viaGate), e: e, fired: firedGraph(acts),
		sparsity: Mul(in.coef, ReduceAllMean(ReduceSum(Mul(open, decoderNorms(in)), 1))),
	}
}
