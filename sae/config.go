package sae

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// The values of the enumerated fields of [Config].
const (
	LossFVU = "fvu" // squared error over the variance of the batch, AuxK over the variance of the residual (OpenAI)
	LossMSE = "mse" // squared error summed over d, averaged over the batch, and AuxK the same (SAELens)

	NormalizeNone         = "none"
	NormalizeExpected     = "expected_average_only_in" // one scale s with E|s x| = sqrt(d), folded into the weights on save
	NormalizePerDimension = "per_dimension"            // each dimension less its mean, by its standard deviation, folded on save
	NormalizeUnit         = "unit_mean_square_norm"    // one scale s with E|s x|^2 = 1 (DeepMind, dictionary_learning), folded on save

	DecoderUnit    = "unit"    // rows of W_dec have norm 1; the parallel part of their gradient is removed
	DecoderFree    = "free"    // no constraint
	DecoderBounded = "bounded" // rows of W_dec have norm 1 at most

	InitTied   = "tied"             // W_enc starts as the transpose of W_dec
	InitRandom = "random"           // W_enc starts with rows of its own, uniform on the sphere
	InitMedian = "geometric_median" // b_dec starts at the geometric median of the sample
	InitMean   = "mean"             // at its mean
	InitZero   = "zero"             // at 0

	EngineAuto   = "auto"   // the fastest, measured when the trainer is made
	EngineHost   = "host"   // all in Go: the encoder tile by tile, without a backend
	EngineHybrid = "hybrid" // encoder on the backend, the sparse half in Go
	EngineXLA    = "xla"    // one backend program, sparse gradients
	EngineDense  = "dense"  // one backend program, dense gradients by automatic differentiation
)

// Config says what to train and how. A zero value is invalid: start from [DefaultConfig], set the sizes, and call
// [Config.Resolve].
type Config struct {
	Arch      string `json:"arch" enum:"standard,topk,abstopk,batchtopk,matryoshka_batchtopk,jumprelu,gated,matching_pursuit,ra_topk,ra_jumprelu,transcoder,skip_transcoder,jumprelu_transcoder,jumprelu_skip_transcoder,topk_transcoder,topk_skip_transcoder,crosscoder,jumprelu_crosscoder,topk_crosscoder,batchtopk_crosscoder,clt,jumprelu_clt,topk_clt,batchtopk_clt,temporal" doc:"architecture"`
	DIn       int    `json:"d_in" doc:"width of the activations, of one site; 0: that of the data"`
	Layers    int    `json:"layers" doc:"number of sites that a crosscoder reads, layers or models, or of layers of a cross-layer transcoder; 0 in a group: that of the inputs"`
	DSAE      int    `json:"d_sae" doc:"number of latents, of each layer of a cross-layer transcoder; 0: expansion * d_in"`
	Expansion int    `json:"expansion" doc:"latents per input dimension when d_sae is 0"`
	DOut      int    `json:"d_out" doc:"width of what a transcoder writes; 0: d_in"`
	K         int    `json:"k" doc:"latents kept for each row, over all layers; batchtopk and matryoshka_batchtopk: on average, unless target_l0 is set"`

	Tokens int64  `json:"tokens" doc:"rows to train on, rounded up to whole batches"`
	Batch  int    `json:"batch" doc:"rows of one step"`
	Seed   uint64 `json:"seed" doc:"seed of the initial dictionary"`

	LR       float64 `json:"lr" doc:"peak learning rate; 0: 2e-4 * sqrt(2^14 / d_sae) where k latents are kept, else the paper's or, for short runs, 4 / steps, at most 3e-3"`
	Warmup   float64 `json:"warmup" doc:"share of the steps, the first ones, with a rising rate"`
	Decay    float64 `json:"decay" doc:"share of the steps, the last ones, with a rate falling to zero"`
	Schedule string  `json:"schedule" enum:"linear,cosine" doc:"how the rate falls over the last decay share"`
	Beta1    float64 `json:"beta1" doc:"Adam: decay of the mean of the gradients"`
	Beta2    float64 `json:"beta2" doc:"Adam: decay of the mean of their squares"`
	AdamEps  float64 `json:"adam_eps" doc:"Adam: added to the root of the second moment"`
	Clip     float64 `json:"clip" doc:"largest L2 norm of the whole gradient; 0: no limit"`

	Loss           string  `json:"loss" enum:"fvu,mse" doc:"fvu: error over the batch's variance (OpenAI); mse: error summed over d (SAELens)"`
	AuxK           int     `json:"aux_k" doc:"dead latents per row in AuxK; 0: the power of two nearest to d_in / 2"`
	AuxCoef        float64 `json:"aux_coef" doc:"weight of AuxK; 0 turns it off"`
	DeadTokens     int64   `json:"dead_tokens" doc:"a latent silent for so many rows is dead; 0: 10M or, if that is less, a tenth of tokens"`
	ResampleTokens int64   `json:"resample_tokens" doc:"rows after which, again and again, dead latents are resampled towards badly reconstructed rows; 0: never"`

	SparsityCoef   float64          `json:"sparsity_coef" doc:"weight of the sparsity term of standard, gated and jumprelu"`
	SparsityWarmup float64          `json:"sparsity_warmup" doc:"share of the steps, the first ones, with a rising sparsity_coef"`
	LpNorm         float64          `json:"lp_norm" doc:"standard: the norm of the sparsity term, 1 for L1"`
	TargetL0       float64          `json:"target_l0" doc:"active latents per row to reach, by the number kept or by driving sparsity_coef; 0: what k or sparsity_coef give"`
	ThresholdLR    float64          `json:"threshold_lr" doc:"batchtopk: step of the running threshold towards each batch's smallest active score"`
	JumpReLU       JumpReLUConfig   `json:"jumprelu" doc:"of jumprelu"`
	Matryoshka     MatryoshkaConfig `json:"matryoshka" doc:"of matryoshka_batchtopk"`
	Pursuit        PursuitConfig    `json:"pursuit" doc:"of matching_pursuit"`
	Archetypal     ArchetypalConfig `json:"archetypal" doc:"of ra_topk and ra_jumprelu"`
	Crosscoder     CrosscoderConfig `json:"crosscoder" doc:"of crosscoders"`
	CLT            CLTConfig        `json:"clt" doc:"of cross-layer transcoders"`
	Temporal       TemporalConfig   `json:"temporal" doc:"of temporal"`

	GatedFreeDecoder bool `json:"gated_free_decoder" doc:"gated: let the gate's reconstruction train the decoder, as SAELens does; the paper does not"`

	Normalize        string  `json:"normalize_activations" enum:"none,expected_average_only_in,unit_mean_square_norm,per_dimension,layer_norm,constant_norm_rescale" doc:"expected_average_only_in: one scale s with E|s x| = sqrt(d), folded into the weights on save; unit_mean_square_norm: the same with E|s x|^2 = 1; per_dimension: each dimension less its mean and by its standard deviation, likewise; the last two: row by row, undone on the output"`
	Decoder          string  `json:"decoder" enum:"unit,bounded,free" doc:"unit: decoder rows of norm 1, without the parallel part of their gradient; bounded: of norm 1 at most"`
	RescaleByDecoder bool    `json:"rescale_acts_by_decoder_norm" doc:"select latents by pre * |W_dec row|, as SAELens does"`
	InitRows         int     `json:"init_rows" doc:"rows that give the scale, b_dec and whatever else the start takes from the data"`
	InitEncoder      string  `json:"init_encoder" enum:"tied,random" doc:"tied: W_enc starts as the transpose of W_dec; random: as rows of its own; transcoders always do"`
	InitBDec         string  `json:"init_b_dec" enum:"geometric_median,mean,zero" doc:"where b_dec starts, over init_rows rows of what is reconstructed"`
	InitDecoderNorm  float64 `json:"init_decoder_norm" doc:"norm of the rows of a free or bounded W_dec at the start; 0: 1, 0.1 for transcoders, and for crosscoders, whose sites have it each, 0.08"`
	Engine           string  `json:"engine" enum:"auto,host,hybrid,xla,dense" doc:"how a step is computed; auto measures once and keeps the fastest"`
	CheckpointTokens int64   `json:"checkpoint_tokens" doc:"rows between checkpoints"`
}

// JumpReLUConfig is what JumpReLU alone has.
type JumpReLUConfig struct {
	Bandwidth  float64 `json:"bandwidth" doc:"width of the rectangle that stands for the step's gradient; 0: the paper's 0.001 or, for runs below 4e8 tokens, 4e5 / tokens, at most 0.1; with expected_average_only_in sqrt(d_in) times as much"`
	Kernel     string  `json:"kernel" enum:"rectangle,gaussian,triangular,cosine,epanechnikov,quartic,silverman,cauchy" doc:"shape of what stands for the step's gradient"`
	Init       float64 `json:"init_threshold" doc:"threshold of every latent at the start"`
	InitL0     float64 `json:"init_l0" doc:"active latents per row at the start: each threshold is a quantile of its latent's pre-activations on the initial sample; 0: init_threshold for all"`
	Sparsity   string  `json:"sparsity" enum:"step,tanh,quadratic,target" doc:"sparsity term; quadratic and target need target_l0"`
	TanhScale  float64 `json:"tanh_scale" doc:"factor within the tanh"`
	PreActCoef float64 `json:"pre_act_coef" doc:"weight of the term that lifts dead latents towards their threshold; 0: none"`
	STEToInput bool    `json:"ste_to_input" doc:"let the rectangle's gradient into the pre-activation too"`
}

// MatryoshkaConfig is what Matryoshka alone has.
type MatryoshkaConfig struct {
	Widths   []int `json:"widths" doc:"sizes of the prefixes, rising, the last d_sae; empty: 1/32, 3/32, 7/32, 15/32 and all of d_sae, as in arXiv:2503.17547"`
	PerRow   bool  `json:"per_row" doc:"keep k latents of each row instead of k times the rows of the batch; saved as topk"`
	LevelAux bool  `json:"level_aux" doc:"one AuxK for each band of latents against its prefix's residual"`
}

// PursuitConfig is what matching pursuit alone has.
type PursuitConfig struct {
	Iterations    int     `json:"iterations" doc:"latents taken for each row, at most; 0: k"`
	Residual      float64 `json:"residual" doc:"a row stops when its residual's norm is below; 0: never"`
	StopDuplicate bool    `json:"stop_on_duplicate" doc:"a row stops when a step brought no new latent"`
}

// DefaultConfig returns the values of OpenAI's TopK recipe (arXiv:2406.04093 and its code): unit decoder rows, tied
// encoder, b_dec at the geometric median, AuxK with coefficient 1/32, dead after 10M tokens (a tenth of shorter runs, in
// which nothing would ever be dead otherwise), Adam with eps 6.25e-10.
// The learning rate follows dictionary_learning's rule, its warm-up and decay are shares of the run, and the batch is
// a CPU's (the paper's is 131,072). The caller sets Tokens and either DSAE or Expansion.
func DefaultConfig() Config {
	return Config{
		Arch: ArchTopK, Expansion: 16, K: 32,
		Tokens: 100_000_000, Batch: 4096,
		Warmup: 0.05, Decay: 0.2, Beta1: 0.9, Beta2: 0.999, AdamEps: 6.25e-10, Clip: 1,
		Loss: LossFVU, AuxCoef: 1.0 / 32,
		Normalize: NormalizeExpected, Decoder: DecoderUnit, InitRows: 32768, InitEncoder: InitTied, InitBDec: InitMedian,
		Engine: EngineAuto, CheckpointTokens: 5_000_000,
		Schedule: ScheduleLinear, SparsityCoef: 1, SparsityWarmup: 0.05, LpNorm: 1, ThresholdLR: 0.01,
		JumpReLU:   JumpReLUConfig{Kernel: KernelRectangle, Init: 0.001, Sparsity: SparsityStep, TanhScale: 4},
		Pursuit:    PursuitConfig{Residual: 0.01, StopDuplicate: true},
		Archetypal: ArchetypalConfig{Delta: 1},
		// The mixture is that of science-of-finetuning's dictionary_learning.
		Crosscoder: CrosscoderConfig{Norm: CodeNormCrosscoder, AlphaSAE: 1, AlphaCC: 0.1},
		// Four heads, one layer and no bottleneck are those of the paper's runs, whose sequences have 500 tokens.
		Temporal: TemporalConfig{Context: 512, Heads: 4, Layers: 1, Bottleneck: 1, Novel: NovelTopK},
	}
}

// Resolve returns c for inputs of the given width, that of all sites, with every size and rule-given value filled in,
// validated.
func (c Config) Resolve(width int) (Config, error) {
	sites := c.inSites()
	if sites < 1 || width%sites != 0 {
		return c, fmt.Errorf("sae: config: layers is %d; it must be the number of sites that %s reads, which have %d dimensions together", c.Layers, c.Arch, width)
	}
	if c.DIn == 0 {
		c.DIn = width / sites
	}
	if c.inWidth() != width {
		return c, fmt.Errorf("sae: config: d_in is %d but the activations of %d sites have %d dimensions; leave d_in out or name another site", c.DIn, sites, width)
	}
	if c.DSAE == 0 {
		c.DSAE = c.Expansion * c.DIn
	}
	c = c.resolveArch()
	if c.LR == 0 && c.DSAE > 0 && c.Batch > 0 && c.Tokens > 0 {
		c.LR = c.defaultRate()
	}
	if c.JumpReLU.Bandwidth == 0 && c.Tokens > 0 {
		c.JumpReLU.Bandwidth = c.defaultBandwidth()
	}
	if c.DeadTokens == 0 {
		c.DeadTokens = max(1, min(10_000_000, c.Tokens/10))
	}
	if c.AuxK == 0 {
		c.AuxK = min(nearestPowerOfTwo(c.DIn/2), c.DSAE)
	}
	return c, c.Validate()
}

// Validate returns an error that names the first wrong field, its value and what is allowed.
func (c Config) Validate() error {
	bad := func(field string, value any, want string) error {
		return fmt.Errorf("sae: config: %s is %v; it must be %s", field, value, want)
	}
	oneOf := func(field, value string, allowed ...string) error {
		if slices.Contains(allowed, value) {
			return nil
		}
		return bad(field, fmt.Sprintf("%q", value), fmt.Sprintf("one of %q", allowed))
	}
	share := func(v float64) bool { return v >= 0 && v <= 1 }
	positive := func(v float64) bool { return v > 0 && !math.IsInf(v, 1) }
	switch {
	case c.DIn < 1:
		return bad("d_in", c.DIn, "at least 1")
	case c.DSAE < 1 || c.DSAE > math.MaxInt32 || c.DIn > math.MaxInt32/c.DSAE:
		return bad("d_sae", c.DSAE, "at least 1, and d_in * d_sae below 2^31; set d_sae or expansion")
	case c.selects() && (c.K < 1 || c.K > max(c.DSAE, c.latents())):
		return bad("k", c.K, fmt.Sprintf("between 1 and the number of latents, %d", max(c.DSAE, c.latents())))
	case c.Tokens < 1:
		return bad("tokens", c.Tokens, "at least 1")
	case c.Batch < 1 || c.Batch > math.MaxInt32/2/max(c.K, 1):
		return bad("batch", c.Batch, "at least 1, and batch * k below 2^30")
	case !positive(c.LR):
		return bad("lr", c.LR, "a positive number")
	case !share(c.Warmup):
		return bad("warmup", c.Warmup, "a share between 0 and 1 of the steps")
	case !share(c.Decay) || c.Warmup+c.Decay > 1:
		return bad("decay", c.Decay, "a share of the steps, at most 1 with warmup")
	case !(c.Beta1 >= 0 && c.Beta1 < 1):
		return bad("beta1", c.Beta1, "in [0, 1)")
	case !(c.Beta2 >= 0 && c.Beta2 < 1):
		return bad("beta2", c.Beta2, "in [0, 1)")
	case !positive(c.AdamEps):
		return bad("adam_eps", c.AdamEps, "a positive number")
	case !(c.Clip >= 0) || math.IsInf(c.Clip, 1):
		return bad("clip", c.Clip, "0 (off) or a positive number")
	case c.AuxK < 1 || c.AuxK > c.DSAE:
		return bad("aux_k", c.AuxK, fmt.Sprintf("between 1 and d_sae = %d", c.DSAE))
	case !(c.AuxCoef >= 0) || c.AuxCoef > 1e6:
		return bad("aux_coef", c.AuxCoef, "between 0 (off) and 1e6")
	case c.DeadTokens < 1:
		return bad("dead_tokens", c.DeadTokens, "at least 1")
	case c.ResampleTokens < 0 || c.ResampleTokens > 0 && (c.crossLayer() || c.Arch == ArchTemporal):
		return bad("resample_tokens", c.ResampleTokens, "0 (never) or more, and 0 for cross-layer transcoders and temporal SAEs")
	case !(c.InitDecoderNorm >= 0 && c.InitDecoderNorm <= 1e6):
		return bad("init_decoder_norm", c.InitDecoderNorm, "0 (the rule) or up to 1e6")
	case c.InitRows < 1:
		return bad("init_rows", c.InitRows, "at least 1")
	case c.CheckpointTokens < 1:
		return bad("checkpoint_tokens", c.CheckpointTokens, "at least 1")
	}
	for _, err := range []error{
		oneOf("arch", c.Arch, trainable[:]...),
		c.validateArch(bad),
		oneOf("schedule", c.Schedule, ScheduleLinear, ScheduleCosine),
		oneOf("loss", c.Loss, LossFVU, LossMSE),
		oneOf("normalize_activations", c.Normalize, NormalizeNone, NormalizeExpected, NormalizeUnit, NormalizePerDimension, normalizeLayerNorm, normalizeConstantNorm),
		oneOf("decoder", c.Decoder, DecoderUnit, DecoderBounded, DecoderFree),
		oneOf("init_encoder", c.InitEncoder, InitTied, InitRandom),
		oneOf("init_b_dec", c.InitBDec, InitMedian, InitMean, InitZero),
		oneOf("engine", c.Engine, EngineAuto, EngineHost, EngineHybrid, EngineXLA, EngineDense),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// Steps returns the number of training steps: Tokens / Batch, rounded up.
func (c Config) Steps() int64 { return (c.Tokens + int64(c.Batch) - 1) / int64(c.Batch) }

// nearestPowerOfTwo returns the power of two nearest to n, the larger one on a tie, and 1 for n < 1.
func nearestPowerOfTwo(n int) int {
	if n < 1 {
		return 1
	}
	low := 1 << (bits.Len(uint(n)) - 1)
	if n-low < 2*low-n {
		return low
	}
	return 2 * low
}
