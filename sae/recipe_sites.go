package sae

// crosscoderRecipe is that of ckkissane/crosscoder-model-diff-replication for ReLU crosscoders: activations of each model scaled
// to E|x| = sqrt(d), lambda 2 on sum f_i sum_l |W_dec,l,i|, risen over the first 5 % of the steps, decoder rows of norm 0.08 and
// an encoder that starts as their transpose, Adam with beta 0.9 and 0.999, gradients clipped to norm 1, rate 5e-5 that falls to
// zero over the last 20 %. JumpReLU has the recipe of January 2025. TopK and BatchTopK have OpenAI's losses and AuxK, free
// decoder rows, and start from rows of norm 1 as in science-of-finetuning's dictionary_learning.
func (c *Config) crosscoderRecipe() {
	switch c.base() {
	case ArchStandard:
		c.aprilRecipe()
		c.SparsityCoef = 2
	case ArchJumpReLU:
		c.JumpReLU.Sparsity = SparsityTanh
		c.januaryRecipe()
	default:
		c.Decoder, c.InitDecoderNorm = DecoderFree, 1
	}
}

// cltRecipe is that of Ameisen et al. 2025 for cross-layer transcoders: each layer's activations scaled, JumpReLU with
// thresholds that start at 0.03 and a rectangle of width 1 whose gradient reaches the pre-activation too, the penalty
// sum tanh(scale a |W_dec|) with a weight that rises over the whole run, free decoder rows that start short. The other
// activations have what they have in crosscoders.
func (c *Config) cltRecipe() {
	c.crosscoderRecipe()
	if c.base() == ArchJumpReLU {
		c.JumpReLU.Bandwidth, c.JumpReLU.Init = 1, 0.03
	}
}
