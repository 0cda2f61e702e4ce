package sae

import (
	"fmt"
	"math"
	"slices"
)

// The architectures that read several sites. They are saved as a [Crosscoder] or a [CLT].
const (
	ArchCrosscoder          = "crosscoder"           // ReLU
	ArchJumpReLUCrosscoder  = "jumprelu_crosscoder"  // one threshold for each latent
	ArchTopKCrosscoder      = "topk_crosscoder"      // the k largest f * code norm of a row
	ArchBatchTopKCrosscoder = "batchtopk_crosscoder" // the k*B largest of a batch

	ArchCLT          = "clt"           // cross-layer transcoder, ReLU
	ArchJumpReLUCLT  = "jumprelu_clt"  // the same with one threshold for each latent
	ArchTopKCLT      = "topk_clt"      // the same with the k largest of a row
	ArchBatchTopKCLT = "batchtopk_clt" // the same with the k*B largest of a batch; saved as jumprelu
)

// The code norms of a crosscoder (science-of-finetuning's dictionary_learning), by which its latents are weighed in the
// sparsity term and in selection. |W_l,i| is the norm of latent i's decoder row at site l.
const (
	CodeNormCrosscoder = "crosscoder" // sum over sites of |W_l,i| (Lindsey et al. 2024)
	CodeNormSAE        = "sae"        // norm of the concatenated rows: an SAE of the concatenated activations
	CodeNormMixed      = "mixed"      // alpha_sae * sae + alpha_cc * crosscoder
	CodeNormNone       = "none"       // 1
	CodeNormDecoupled  = "decoupled"  // batchtopk: a selection for each site, by |W_l,i|; otherwise as crosscoder
)

// codeNorms lists them in the order of the tool's enumeration, which counts from 1.
var codeNorms = [...]string{CodeNormCrosscoder, CodeNormSAE, CodeNormMixed, CodeNormNone, CodeNormDecoupled}

// CrosscoderConfig is what crosscoders alone have.
type CrosscoderConfig struct {
	Norm     string  `json:"norm" enum:"crosscoder,sae,mixed,none,decoupled" doc:"code norm: what a latent is weighed by in the sparsity term and in selection"`
	AlphaSAE float64 `json:"alpha_sae" doc:"norm mixed: weight of the norm of the concatenated decoder rows"`
	AlphaCC  float64 `json:"alpha_cc" doc:"norm mixed: weight of the sum of the sites' norms"`
}

// CLTConfig is what cross-layer transcoders alone have.
type CLTConfig struct {
	PerLayer bool `json:"per_layer" doc:"topk_clt and batchtopk_clt: select k / layers latents in each layer instead of k over all layers"`
}

// crosses tells whether the architecture is a crosscoder: latents of several sites at once.
func (c Config) crosses() bool {
	switch c.Arch {
	case ArchCrosscoder, ArchJumpReLUCrosscoder, ArchTopKCrosscoder, ArchBatchTopKCrosscoder:
		return true
	}
	return false
}

// crossLayer tells whether the architecture is a cross-layer transcoder.
func (c Config) crossLayer() bool {
	switch c.Arch {
	case ArchCLT, ArchJumpReLUCLT, ArchTopKCLT, ArchBatchTopKCLT:
		return true
	}
	return false
}

// inSites is the number of sites that make up an input.
func (c Config) inSites() int {
	if c.crosses() || c.crossLayer() {
		return c.Layers
	}
	return 1
}

// outSites is the number of sites that make up an output.
func (c Config) outSites() int { return c.inSites() }

// inWidth is the width of an input, all sites.
func (c Config) inWidth() int { return c.inSites() * c.DIn }

// latents is the number of latents: d_sae, which a cross-layer transcoder has in each layer.
func (c Config) latents() int {
	if c.crossLayer() {
		return c.Layers * c.DSAE
	}
	return c.DSAE
}

// centres tells whether b_dec is subtracted from the input.
func (c Config) centres() bool { return !c.transcodes() && !c.crosses() }

// selections is the number of groups, of sites or layers, in which latents are selected, each with its own threshold.
func (c Config) selections() int {
	switch {
	case c.crosses() && c.byBatch() && c.Crosscoder.Norm == CodeNormDecoupled, c.crossLayer() && c.selects() && c.CLT.PerLayer:
		return c.Layers
	}
	return 1
}

// validateSites checks what architectures of several sites have, and that the others have one.
func (c Config) validateSites(bad func(field string, value any, want string) error) error {
	many := c.crosses() || c.crossLayer()
	switch {
	case !many && c.Layers > 1:
		return bad("layers", c.Layers, "left out, except for crosscoders and cross-layer transcoders")
	case !many:
		return nil
	case c.Layers < 1 || c.Layers > 1024:
		return bad("layers", c.Layers, fmt.Sprintf("the number of sites that %s reads, between 1 and 1024", c.Arch))
	case c.width() > math.MaxInt32/c.latents() || c.inWidth() > math.MaxInt32/c.latents():
		return bad("d_sae", c.DSAE, "small enough that the weights have fewer than 2^31 values")
	case c.Normalize != NormalizeNone && !c.scales():
		return bad("normalize_activations", c.Normalize, fmt.Sprintf("%q, %q or %q for %s, which scales each site by itself", NormalizeNone, NormalizeExpected, NormalizeUnit, c.Arch))
	}
	if c.crosses() {
		return c.validateCrosscoder(bad)
	}
	if c.CLT.PerLayer && c.selects() {
		n := c.K
		if c.byBatch() {
			n = c.batchK()
		}
		if n%c.Layers != 0 || n < c.Layers {
			return bad("k", n, fmt.Sprintf("a multiple of layers = %d with clt.per_layer (for batchtopk_clt, k times the batch)", c.Layers))
		}
	}
	return nil
}

func (c Config) validateCrosscoder(bad func(field string, value any, want string) error) error {
	x := c.Crosscoder
	weight := func(v float64) bool { return v >= 0 && v <= 1e6 }
	switch {
	case !slices.Contains(codeNorms[:], x.Norm):
		return bad("crosscoder.norm", fmt.Sprintf("%q", x.Norm), fmt.Sprintf("one of %q", codeNorms))
	case x.Norm == CodeNormDecoupled && (c.Arch == ArchTopKCrosscoder || c.Arch == ArchJumpReLUCrosscoder):
		return bad("crosscoder.norm", x.Norm, fmt.Sprintf("another one: %s selects once for all sites; use batchtopk_crosscoder", c.Arch))
	case !weight(x.AlphaSAE) || !weight(x.AlphaCC) || x.Norm == CodeNormMixed && x.AlphaSAE+x.AlphaCC == 0:
		return bad("crosscoder.alpha_sae", x.AlphaSAE, "between 0 and 1e6, as alpha_cc, and not both 0")
	case c.RescaleByDecoder:
		return bad("rescale_acts_by_decoder_norm", true, "false for crosscoders, which have crosscoder.norm")
	}
	return nil
}

// Transcodes tells whether the architecture writes other sites than those it reads.
func (c Config) Transcodes() bool { return c.transcodes() }

// ReadsMany tells whether the architecture reads several sites at once.
func (c Config) ReadsMany() bool { return c.crosses() || c.crossLayer() }
