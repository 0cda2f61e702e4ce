package sae

import "math"

// DefaultsFor returns the configuration that an architecture's paper trains with, as far as it carries over to activations
// of any size and to runs of any length: [DefaultConfig] with [Config.DeriveDefaults]. It is what a configuration file
// that names the architecture alone gets.
//
// Warm-ups and decays are shares of the run, where papers count steps of theirs. The batch is 4,096 rows, as in most of
// the papers. Where the weight of the sparsity term decides how many latents are active, a controller drives it to
// target_l0 = 32, the k of the others, from the paper's value; target_l0 = 0 keeps that value.
func DefaultsFor(arch string) Config {
	c := DefaultConfig()
	c.Arch = arch
	c.DeriveDefaults()
	return c
}

// DeriveDefaults sets the fields in which the recipe of c.Arch (and of c.JumpReLU.Sparsity) differs from
// [DefaultConfig]'s, which is OpenAI's TopK and stays untouched for topk. internal/config calls it when a file names an
// architecture, and then lays the file's keys over the result.
func (c *Config) DeriveDefaults() {
	switch c.Arch {
	case ArchStandard:
		c.aprilRecipe()
	case ArchGated:
		c.gatedRecipe()
	case ArchJumpReLU:
		c.jumpReLURecipe()
	case ArchBatchTopK, ArchMatryoshka:
		c.batchTopKRecipe()
	case ArchMatchingPursuit:
		c.pursuitRecipe()
	case ArchTranscoder, ArchSkipTranscoder:
		c.aprilRecipe() // Dunefsky et al. 2024 (arXiv:2406.11944) trained with SAELens's recipe of that month
	case ArchJumpReLUTranscoder, ArchJumpReLUSkip:
		c.jumpReLURecipe() // as Gemma Scope's (arXiv:2408.05147)
	case ArchTopKTranscoder, ArchTopKSkipTranscoder:
		c.Decoder = DecoderFree // sparsify (Paulo et al. 2025, arXiv:2501.18823) starts from W_dec = 0, without a constraint
	case ArchRATopK:
		c.archetypalRecipe()
	case ArchRAJumpReLU:
		c.jumpReLURecipe()
		c.archetypalRecipe()
	case ArchCrosscoder, ArchJumpReLUCrosscoder, ArchTopKCrosscoder, ArchBatchTopKCrosscoder:
		c.crosscoderRecipe()
	case ArchCLT, ArchJumpReLUCLT, ArchTopKCLT, ArchBatchTopKCLT:
		c.cltRecipe()
	case ArchTemporal:
		c.temporalRecipe()
	}
}

// aprilRecipe is that of ReLU SAEs in Anthropic's Circuits Updates of April 2024: activations scaled to E|x| = sqrt(d),
// lambda 5 on sum f_i |W_dec,i|, risen over the first 5 % of the steps, Adam with beta 0.9 and 0.999 and gradients
// clipped to norm 1, rate 5e-5 without a warm-up, falling to zero over the last 20 %, free decoder rows that start short.
func (c *Config) aprilRecipe() {
	c.Loss, c.Decoder, c.Normalize = LossMSE, DecoderFree, NormalizeExpected
	c.SparsityCoef, c.SparsityWarmup, c.LpNorm, c.TargetL0 = 5, 0.05, 1, float64(c.K)
	c.Beta1, c.Beta2, c.AdamEps, c.Clip = 0.9, 0.999, 1e-8, 1
	c.Warmup, c.Decay = 0, 0.2
}

// gatedRecipe is that of arXiv:2404.16014 as dictionary_learning has it: activations of mean squared norm 1, unit decoder
// rows, rate 3e-4 with a warm-up and no decay, Adam with beta 0 and 0.999, the gate's reconstruction through a decoder
// held fixed.
func (c *Config) gatedRecipe() {
	c.Loss, c.Decoder, c.Normalize = LossMSE, DecoderUnit, NormalizeUnit
	c.SparsityCoef, c.TargetL0, c.GatedFreeDecoder = 0.1, float64(c.K), false
	c.Beta1, c.Beta2, c.AdamEps, c.Clip = 0, 0.999, 1e-8, 0
	c.Warmup, c.Decay = 0.05, 0
}

// jumpReLURecipe is that of arXiv:2407.14435: activations of mean squared norm 1, unit decoder rows, rate 7e-5 with a
// warm-up, Adam with beta 0 and 0.999, lambda on L0 with a warm-up. Its rectangle of width 0.001 is for the 4e9 tokens of its
// runs, see defaultBandwidth, and so are thresholds that start at 0.001 and take 10^5 steps to arrive: here they start
// where the data has four times target_l0 active (jumprelu.init_l0, 0 for the paper's). The sparsity terms that hold a target themselves have weight 1, as in dictionary_learning. With sparsity tanh
// it is the recipe of Anthropic's Circuits Updates of January 2025.
func (c *Config) jumpReLURecipe() {
	if c.JumpReLU.Sparsity == SparsityTanh {
		c.januaryRecipe()
		return
	}
	c.Loss, c.Decoder, c.Normalize = LossMSE, DecoderUnit, NormalizeUnit
	c.SparsityCoef, c.SparsityWarmup, c.TargetL0 = 1e-3, 0.05, float64(c.K)
	if c.JumpReLU.Sparsity == SparsityTarget || c.JumpReLU.Sparsity == SparsityQuadratic {
		c.SparsityCoef = 1
	}
	c.JumpReLU.Bandwidth, c.JumpReLU.Init, c.JumpReLU.InitL0, c.JumpReLU.Kernel = 0, 0.001, 4*float64(c.K), KernelRectangle
	c.Beta1, c.Beta2, c.AdamEps, c.Clip = 0, 0.999, 1e-8, 0
	c.Warmup, c.Decay = 0.05, 0
}

// januaryRecipe is JumpReLU's in Anthropic's Circuits Updates of January 2025: activations scaled to E|x| = sqrt(d), free
// decoder rows, a rectangle of width 2 whose gradient reaches the pre-activation too, a start at which the data decides how often
// each latent is active (there by the encoder's bias, here by the threshold), the penalty sum tanh(4 f |W_dec row|) with a weight of 5 to 20 that rises over the whole run, 3e-6 on pre-activations of dead
// latents, a rate that falls over the last 20 %.
func (c *Config) januaryRecipe() {
	c.aprilRecipe()
	c.SparsityCoef, c.SparsityWarmup = 10, 1
	c.JumpReLU.Bandwidth, c.JumpReLU.Init, c.JumpReLU.Kernel = 2, 0.1, KernelRectangle
	if !c.crosses() && !c.crossLayer() {
		c.JumpReLU.InitL0 = 4 * float64(c.K)
	}
	c.JumpReLU.TanhScale, c.JumpReLU.PreActCoef, c.JumpReLU.STEToInput = 4, 3e-6, true
}

// batchTopKRecipe is that of arXiv:2412.06410 and its code, which arXiv:2503.17547 trains Matryoshka SAEs with: Adam with
// beta 0.9 and 0.99, unit decoder rows, AuxK of weight 1/32, no decay of the rate. The paper's 512 auxiliary latents are
// those of d = 768: the rule d / 2 of OpenAI's stays.
func (c *Config) batchTopKRecipe() {
	c.Beta1, c.Beta2, c.AdamEps = 0.9, 0.99, 1e-8
	c.Warmup, c.Decay = 0.05, 0
}

// archetypalRecipe is that of arXiv:2502.12892 and its code: atoms of free norm at most delta = 1 away from the hull of k-means
// centroids of the data (32,000 there; as many as atoms here), with a common factor.
func (c *Config) archetypalRecipe() {
	c.Decoder, c.Normalize, c.Archetypal.Delta = DecoderFree, NormalizeExpected, 1
}

// pursuitRecipe is SAELens's for matching pursuit (arXiv:2506.03093): Adam with beta 0.9 and 0.999, unit rows of the one
// dictionary, which encodes too, so that no scale can be folded into it.
func (c *Config) pursuitRecipe() {
	c.Loss, c.Decoder, c.Normalize = LossMSE, DecoderUnit, NormalizeNone
	c.AdamEps = 1e-8
}

// The rates of the recipes that have no rule in the width, and what makes up for short runs: a weight moves by about the
// rate in a step, so that over a run whose rates add up to less than rateBudget it cannot come from its random start to a
// feature. Papers' runs have 1e5 to 1e6 steps.
const (
	rateApril    = 5e-5
	rateGated    = 3e-4
	rateJumpReLU = 7e-5
	ratePursuit  = 3e-4
	rateTemporal = 1e-3
	rateBudget   = 4
	gatedBudget  = 8 // its paper's rate is six times the others'
	rateMost     = 3e-3
)

// defaultRate is the peak rate of an architecture: dictionary_learning's rule 2e-4 sqrt(2^14 / d_sae) where a number of
// latents is kept, otherwise the recipe's, but at least rateBudget / steps, up to rateMost.
func (c Config) defaultRate() float64 {
	paper, budget := 0.0, float64(rateBudget)
	switch c.base() {
	case ArchStandard:
		paper = rateApril
	case ArchGated:
		paper, budget = rateGated, gatedBudget
	case ArchJumpReLU:
		paper = rateJumpReLU
	case ArchMatchingPursuit:
		paper = ratePursuit
	case ArchTemporal:
		paper = rateTemporal
	default:
		return 2e-4 * math.Sqrt(16384/float64(c.DSAE))
	}
	return max(paper, min(budget/float64(c.Steps()), rateMost))
}

// defaultBandwidth is the paper's 0.001 or, for shorter runs, as much as 400,000 tokens give, a tenth of what the paper's
// do: only pre-activations within the rectangle teach a threshold. Above 0.1 it would be as wide as the thresholds are high.
// These are widths for activations of mean squared norm 1; where their norm is about sqrt(d), so much more.
func (c Config) defaultBandwidth() float64 {
	width := max(0.001, min(4e5/float64(c.Tokens), 0.1))
	if c.Normalize == NormalizeExpected {
		width *= math.Sqrt(float64(c.DIn))
	}
	return width
}
