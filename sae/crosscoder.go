package sae

import (
	"fmt"
	"math"
	"slices"
)

// The activation functions of a [Crosscoder] and of a [CLT].
const (
	ActivationReLU      = "relu"      // above zero
	ActivationJumpReLU  = "jumprelu"  // above the latent's threshold
	ActivationTopK      = "topk"      // the k of a row with the largest scores
	ActivationBatchTopK = "batchtopk" // a score above one threshold for all latents
)

// Crosscoder is a trained crosscoder, for inference: one set of latents for the activations x_1, ..., x_s of several sites,
// layers or models (Lindsey et al., Sparse Crosscoders, Transformer Circuits 2024):
//
//	f    = act(sum_l scale_l x_l W_enc,l + b_enc)
//	x^_l = (f W_dec,l + b_dec,l) / scale_l
type Crosscoder struct {
	Sites, DIn, DSAE int     // DIn is the width of one site
	Activation       string  // one of the Activation constants
	K                int     // of topk; of batchtopk it is a record of the training
	Norm             string  // code norm, one of the CodeNorm constants; decoupled only with relu and batchtopk
	AlphaSAE         float64 // of CodeNormMixed
	AlphaCC          float64 // of CodeNormMixed

	Scales     []float32 // [sites], as the crosscoder was trained with; nil: 1
	WEnc, WDec []float32 // [sites, d_in, F], [F, sites, d_in]
	BEnc, BDec []float32 // [F], [sites, d_in]
	// Threshold is [F] for jumprelu, compared with pre-activations, and for batchtopk [1], or [sites] if decoupled, compared
	// with activations times code norms; otherwise nil.
	Threshold []float32

	// Metadata says where it belongs: model_name, hook_names and whatever else was there.
	Metadata map[string]any
}

// Validate checks sizes and settings; the error names the first wrong one.
func (c *Crosscoder) Validate() error {
	if err := c.checkSettings(); err != nil {
		return fmt.Errorf("sae: crosscoder: %w", err)
	}
	for _, t := range c.tensors() {
		want := 1
		for _, n := range t.shape {
			want *= n
		}
		if len(*t.at) != want {
			return fmt.Errorf("sae: crosscoder: %s has %d values, want shape %v", t.name, len(*t.at), t.shape)
		}
	}
	return nil
}

// checkSettings checks everything but the tensors.
func (c *Crosscoder) checkSettings() error {
	switch {
	case c.Sites < 1 || c.Sites > 1024 || c.DIn < 1 || c.DSAE < 1 || c.DIn > math.MaxInt32/c.Sites || c.DSAE > math.MaxInt32/(c.Sites*c.DIn):
		return fmt.Errorf("sites %d, d_in %d and d_sae %d must be positive, at most 1024 sites, with a product below 2^31", c.Sites, c.DIn, c.DSAE)
	case !slices.Contains([]string{ActivationReLU, ActivationJumpReLU, ActivationTopK, ActivationBatchTopK}, c.Activation):
		return fmt.Errorf("activation %q is not supported; supported: relu, jumprelu, topk, batchtopk", c.Activation)
	case !slices.Contains(codeNorms[:], c.Norm):
		return fmt.Errorf("code norm %q is not supported; supported: %q", c.Norm, codeNorms)
	case c.Norm == CodeNormDecoupled && c.Activation != ActivationReLU && c.Activation != ActivationBatchTopK:
		return fmt.Errorf("code norm %q goes with relu and batchtopk, not with %s", c.Norm, c.Activation)
	case c.Activation == ActivationTopK && (c.K < 1 || c.K > c.DSAE):
		return fmt.Errorf("k is %d; it must be between 1 and d_sae = %d", c.K, c.DSAE)
	}
	for _, s := range c.Scales {
		if !(s > 0) {
			return fmt.Errorf("scales are %v; they must be positive", c.Scales)
		}
	}
	return nil
}

// tensors lists the crosscoder's tensors under the names of its own format.
func (c *Crosscoder) tensors() []slot {
	out := []slot{
		{"W_enc", []int{c.Sites, c.DIn, c.DSAE}, &c.WEnc}, {"W_dec", []int{c.DSAE, c.Sites, c.DIn}, &c.WDec},
		{"b_enc", []int{c.DSAE}, &c.BEnc}, {"b_dec", []int{c.Sites, c.DIn}, &c.BDec},
	}
	if n := c.thresholds(); n > 0 {
		out = append(out, slot{"threshold", []int{n}, &c.Threshold})
	}
	if c.Scales != nil {
		out = append(out, slot{"scales", []int{c.Sites}, &c.Scales})
	}
	return out
}

// thresholds is the number of values that Threshold has.
func (c *Crosscoder) thresholds() int {
	switch {
	case c.Activation == ActivationJumpReLU:
		return c.DSAE
	case c.Activation == ActivationBatchTopK && c.Norm == CodeNormDecoupled:
		return c.Sites
	case c.Activation == ActivationBatchTopK:
		return 1
	}
	return 0
}

// Decoder returns the direction that latent i writes at a site, [d_in]. The caller must not change it.
func (c *Crosscoder) Decoder(i, site int) []float32 {
	at := (i*c.Sites + site) * c.DIn
	return c.WDec[at : at+c.DIn]
}

// SiteNorms returns the norms of the decoder rows, [F, sites], in the units of the scaled activations.
func (c *Crosscoder) SiteNorms() []float64 {
	out := make([]float64, c.DSAE*c.Sites)
	for j := range out {
		var sq float64
		for _, v := range c.WDec[j*c.DIn : (j+1)*c.DIn] {
			sq += float64(v) * float64(v)
		}
		out[j] = math.Sqrt(sq)
	}
	return out
}

// CodeNorms returns what each latent is weighed by in selection and sparsity, [F].
func (c *Crosscoder) CodeNorms() []float64 {
	site := c.SiteNorms()
	out := make([]float64, c.DSAE)
	for i := range out {
		var sum, sq float64
		for _, v := range site[i*c.Sites : (i+1)*c.Sites] {
			sum += v
			sq += v * v
		}
		switch c.Norm {
		case CodeNormNone:
			out[i] = 1
		case CodeNormSAE:
			out[i] = math.Sqrt(sq)
		case CodeNormMixed:
			out[i] = c.AlphaSAE*math.Sqrt(sq) + c.AlphaCC*sum
		default:
			out[i] = sum
		}
	}
	return out
}

// scale is the factor of a site's activations.
func (c *Crosscoder) scale(site int) float32 {
	if c.Scales == nil {
		return 1
	}
	return c.Scales[site]
}
