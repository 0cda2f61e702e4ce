package sae

import (
	"fmt"
	"math"
)

// What a temporal SAE makes of the part of a token that its past does not foresee.
const (
	NovelTopK = "topk" // its k largest latents
	NovelReLU = "relu" // all above zero, with sparsity_coef on their sum
)

// TemporalConfig is what temporal SAEs alone have.
type TemporalConfig struct {
	Context    int    `json:"context" doc:"tokens of a sequence: rows come sequence by sequence, and a batch is whole ones"`
	Heads      int    `json:"heads" doc:"attention heads"`
	Layers     int    `json:"attn_layers" doc:"attention layers, one after the other"`
	Bottleneck int    `json:"bottleneck_factor" doc:"queries and keys have d_sae / bottleneck_factor dimensions"`
	Untied     bool   `json:"untied" doc:"an encoder of its own instead of the transposed decoder"`
	Novel      string `json:"novel" enum:"topk,relu" doc:"what is kept of the part that the past does not foresee"`
}

// temporalRecipe is that of the paper's code (arXiv:2511.01836): squared error alone, activations of one scale, a dictionary and
// b_dec that start as standard normal numbers and 0, Adam with beta 0.9 and 0.95, rate 1e-3 all but constant after a warm-up,
// gradients clipped to norm 1. Its weight decay of 1e-4 is left out.
func (c *Config) temporalRecipe() {
	c.Loss, c.Decoder, c.Normalize, c.InitBDec, c.AuxCoef = LossMSE, DecoderFree, NormalizeExpected, InitZero, 0
	c.Beta1, c.Beta2, c.AdamEps, c.Clip = 0.9, 0.95, 1e-8, 1
	c.Warmup, c.Decay = 0.05, 0
}

func (c Config) validateTemporal(bad func(field string, value any, want string) error) error {
	t := c.Temporal
	switch {
	case t.Context < 2 || t.Context > 1<<20:
		return bad("temporal.context", t.Context, "the number of tokens of a sequence, at least 2")
	case c.Batch%t.Context != 0:
		return bad("batch", c.Batch, fmt.Sprintf("a multiple of temporal.context = %d", t.Context))
	case t.Heads < 1 || t.Bottleneck < 1 || t.Heads > c.DSAE || t.Bottleneck > c.DSAE || c.DSAE%(t.Heads*t.Bottleneck) != 0:
		return bad("temporal.heads", t.Heads, fmt.Sprintf("such that heads * bottleneck_factor (%d) divides d_sae = %d", t.Bottleneck, c.DSAE))
	case t.Layers < 1 || t.Layers > 1024:
		return bad("temporal.attn_layers", t.Layers, "between 1 and 1024")
	case t.Novel != NovelTopK && t.Novel != NovelReLU:
		return bad("temporal.novel", fmt.Sprintf("%q", t.Novel), fmt.Sprintf("%q or %q", NovelTopK, NovelReLU))
	case c.DSAE > math.MaxInt32/c.DSAE:
		return bad("d_sae", c.DSAE, "smaller: attention over latents has matrices of its square")
	case c.Decoder != DecoderFree:
		return bad("decoder", c.Decoder, fmt.Sprintf("%q for temporal, whose dictionary encodes too, with a factor of 1/(4 d_in)", DecoderFree))
	case c.Normalize == NormalizePerDimension:
		return bad("normalize_activations", c.Normalize, "another one: it cannot be folded into a dictionary that encodes too")
	case c.RescaleByDecoder:
		return bad("rescale_acts_by_decoder_norm", true, "false for temporal")
	case c.AuxCoef != 0:
		return bad("aux_coef", c.AuxCoef, "0 for temporal, which has no AuxK")
	}
	return nil
}
