package sae

// Letters of the shapes: b rows, n layers, d input width of a layer, f latents of a layer, w output width of all layers.

import . "github.com/gomlx/gomlx/core/graph"

// A cross-layer transcoder (Ameisen et al., Circuit Tracing, Transformer Circuits 2025) reads the residual stream x_l of each
// layer and writes the MLP outputs of that layer and of all after it:
//
//	a_l = act(x_l W_enc,l + b_enc,l)
//	y^_m = sum_{l <= m} a_l W_dec,l->m + b_dec,m
//
// The squared errors of all layers add up. The norm of a latent, in the sparsity term and with RescaleByDecoder, is that of
// its decoder rows to all layers, concatenated; the paper's sparsity term is JumpReLU's "tanh".

// cltPreGraph returns x_l W_enc,l + b_enc,l of all layers, [b, n*f], for x [b, n*d], enc [n, f, d] and bias [n*f].
func cltPreGraph(x, enc, bias *Node) *Node {
	n, f, d := enc.Shape().Dimensions[0], enc.Shape().Dimensions[1], enc.Shape().Dimensions[2]
	rows := x.Shape().Dimensions[0]
	pre := Einsum("bnd,nfd->bnf", Reshape(x, rows, n, d), enc) // [b, n, f]
	return Add(Reshape(pre, rows, n*f), ExpandAxes(bias, 0))
}

// cltWrittenGraph is what latents acts [b, n*f] write to all layers, [b, w].
func cltWrittenGraph(in lossInput, acts *Node) *Node {
	f, width := in.cfg.DSAE, in.cfg.width()
	var sum *Node
	for l := range in.cfg.Layers {
		part := Einsum("bf,fw->bw", Slice(acts, AxisRange(), AxisRange(l*f, (l+1)*f)), in.w[cltDecoder(l)])
		if before := width - part.Shape().Dimensions[1]; before > 0 {
			zeros := ZerosLike(Slice(in.y, AxisRange(), AxisRange(0, before)))
			part = Concatenate([]*Node{zeros, part}, 1)
		}
		sum = addTo(sum, part)
	}
	return sum
}

// cltNormGraph returns the norms of the decoder rows of all layers, [1, n*f].
func cltNormGraph(in lossInput) *Node {
	var all []*Node
	for l := range in.cfg.Layers {
		all = append(all, rootGraph(ReduceAndKeep(Square(in.w[cltDecoder(l)]), ReduceSum, 1))) // [f, 1]
	}
	return Transpose(Concatenate(all, 0), 0, 1)
}

// selectLayers selects latents in each layer by itself: the k / n largest of a row or, for batchtopk, of the batch. It returns
// the activations [b, n*f] and, for batchtopk, the smallest active score of each layer, [n].
func (f forward) selectLayers(scores, pre *Node) (acts, least *Node) {
	cfg := f.in.cfg
	if !cfg.byBatch() {
		shape := pre.Shape().Dimensions
		mask := topKMaskGraph(Reshape(scores, shape[0]*cfg.Layers, cfg.DSAE), cfg.K/cfg.Layers)
		return Where(Reshape(mask, shape...), MaxScalar(pre, 0), ZerosLike(pre)), nil
	}
	return batchSelected(scores, pre, cfg.Layers, cfg.batchK()/cfg.Layers)
}
