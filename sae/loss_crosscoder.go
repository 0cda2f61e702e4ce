package sae

// Letters of the shapes: b rows, s sites, d width of a site, w = s*d, f latents.

import . "github.com/gomlx/gomlx/core/graph"

// A crosscoder (Lindsey et al., Sparse Crosscoders, Transformer Circuits 2024) is an autoencoder of the concatenated
// activations of its sites, x = (x_1, ..., x_s):
//
//	f   = act(sum_l x_l W_enc,l + b_enc)
//	x^_l = f W_dec,l + b_dec,l
//
// so that every architecture of SAEs with b_dec left in the input has a crosscoder; what differs is the norm by which
// latents are weighed, [codeNormGraph]. Its sparsity term is coef * mean over rows of sum_i f_i norm_i.

// codeNormGraph returns the code norms of the decoder rows dec [f, w] as [1, f].
func codeNormGraph(cfg Config, dec *Node) *Node {
	if cfg.Crosscoder.Norm == CodeNormNone {
		return OnesLike(Transpose(Slice(dec, AxisRange(), AxisRange(0, 1)), 0, 1))
	}
	sq := siteSquares(cfg, dec) // [f, s]
	sum := ReduceAndKeep(rootGraph(sq), ReduceSum, 1)
	whole := rootGraph(ReduceAndKeep(sq, ReduceSum, 1))
	switch cfg.Crosscoder.Norm {
	case CodeNormSAE:
		sum = whole
	case CodeNormMixed:
		sum = Add(MulScalar(whole, cfg.Crosscoder.AlphaSAE), MulScalar(sum, cfg.Crosscoder.AlphaCC))
	}
	return Transpose(sum, 0, 1)
}

// siteSquares returns the squared norms of each site's part of the decoder rows dec [f, w], as [f, s].
func siteSquares(cfg Config, dec *Node) *Node {
	return ReduceSum(Square(Reshape(dec, cfg.DSAE, cfg.Layers, cfg.DIn)), 2)
}

// decoupled is the loss of a batchtopk crosscoder whose latents are selected for each site by itself, the k*B largest of
// relu(pre) |W_l,i|. A latent has fired on a row where any site has selected it.
func (f forward) decoupled(pre *Node) lossOutput {
	in := f.in
	b, n, fs, d := pre.Shape().Dimensions[0], in.cfg.Layers, in.cfg.DSAE, in.cfg.DIn
	norms := Transpose(rootGraph(siteSquares(in.cfg, in.w.dec())), 0, 1) // [s, f]
	every := BroadcastToDims(ExpandAxes(pre, 1), b, n, fs)               // [b, s, f]
	scores := Mul(every, ExpandAxes(norms, 0))
	acts, least := batchSelected(Reshape(scores, b, n*fs), Reshape(every, b, n*fs), n, in.cfg.batchK())
	acts = Reshape(acts, b, n, fs)
	out := lossOutput{fired: firedGraph(ReduceMax(acts, 1)), least: least}
	y := Einsum("bsf,fsd->bsd", acts, Reshape(in.w.dec(), fs, n, d))
	out.e = f.finish(Add(Reshape(y, b, n*d), ExpandAxes(in.w.bDec(), 0)))
	out.main = squared(in, out.e)
	if in.dead != nil {
		out.aux = auxGraph(in, pre, scoresOf(in, pre), StopGradient(out.e))
	}
	return out
}
