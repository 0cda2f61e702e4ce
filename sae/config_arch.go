package sae

import (
	"fmt"
	"math"
	"slices"
)

// trainable are the architectures that [Config.Arch] can name.
var trainable = [...]string{
	ArchStandard, ArchTopK, ArchAbsTopK, ArchBatchTopK, ArchMatryoshka, ArchJumpReLU, ArchGated, ArchMatchingPursuit,
	ArchTranscoder, ArchSkipTranscoder, ArchJumpReLUTranscoder, ArchJumpReLUSkip, ArchTopKTranscoder, ArchTopKSkipTranscoder,
	ArchCrosscoder, ArchJumpReLUCrosscoder, ArchTopKCrosscoder, ArchBatchTopKCrosscoder,
	ArchCLT, ArchJumpReLUCLT, ArchTopKCLT, ArchBatchTopKCLT, ArchTemporal, ArchRATopK, ArchRAJumpReLU,
}

// Trainable lists the architectures that can be trained.
func Trainable() []string { return slices.Clone(trainable[:]) }

// base is the architecture without its form as a transcoder, crosscoder or RA-SAE: what its activation function and its loss are
// called.
func (c Config) base() string {
	switch c.Arch {
	case ArchTranscoder, ArchSkipTranscoder, ArchCrosscoder, ArchCLT:
		return ArchStandard
	case ArchJumpReLUTranscoder, ArchJumpReLUSkip, ArchJumpReLUCrosscoder, ArchJumpReLUCLT, ArchRAJumpReLU:
		return ArchJumpReLU
	case ArchTopKTranscoder, ArchTopKSkipTranscoder, ArchTopKCrosscoder, ArchTopKCLT, ArchRATopK:
		return ArchTopK
	case ArchBatchTopKCrosscoder, ArchBatchTopKCLT:
		return ArchBatchTopK
	}
	return c.Arch
}

// transcodes tells whether the architecture reads one site, or several, and writes others.
func (c Config) transcodes() bool { return c.base() != c.Arch && !c.crosses() && !c.archetypal() }

// skips tells whether the architecture has a linear path past the latents.
func (c Config) skips() bool {
	return c.Arch == ArchSkipTranscoder || c.Arch == ArchJumpReLUSkip || c.Arch == ArchTopKSkipTranscoder
}

// width is that of the output, all sites.
func (c Config) width() int {
	if c.DOut > 0 {
		return c.outSites() * c.DOut
	}
	return c.outSites() * c.DIn
}

// selects tells whether the architecture keeps a number of latents.
func (c Config) selects() bool {
	switch c.base() {
	case ArchTopK, ArchAbsTopK, ArchBatchTopK, ArchMatryoshka:
		return true
	case ArchTemporal:
		return c.Temporal.Novel == NovelTopK
	}
	return false
}

// byBatch tells whether the number is one of the whole batch.
func (c Config) byBatch() bool {
	return c.base() == ArchBatchTopK || c.Arch == ArchMatryoshka && !c.Matryoshka.PerRow
}

// scales tells whether the activations are multiplied by one number that is folded into the weights on save.
func (c Config) scales() bool {
	return c.Normalize == NormalizeExpected || c.Normalize == NormalizeUnit
}

// folds tells whether the normalisation is of the data before it reaches the model, and folded into the weights on save.
func (c Config) folds() bool { return c.scales() || c.Normalize == NormalizePerDimension }

// batchK is the number of latents that batchtopk keeps of a batch.
func (c Config) batchK() int {
	k := float64(c.K)
	if c.TargetL0 > 0 {
		k = c.TargetL0
	}
	return int(k * float64(c.Batch))
}

// revives tells whether the loss has a part for dead latents.
func (c Config) revives() bool {
	return c.selects() && c.AuxCoef > 0 || c.base() == ArchJumpReLU && c.JumpReLU.PreActCoef > 0
}

// byMagnitude tells whether latents are selected by magnitude and keep their signs.
func (c Config) byMagnitude() bool { return c.base() == ArchAbsTopK }

// supports tells whether an engine can train the architecture: the sparse ones are for those that keep a number of latents
// of one site, "host" also for standard and jumprelu, and "xla" for topk alone.
func supports(c Config, engine string) bool {
	if engine == EngineDense {
		return true
	}
	if c.Normalize != NormalizeNone && !c.folds() && c.Normalize != "" {
		return false
	}
	switch c.Arch {
	case ArchTopK:
		return engine == EngineHost || engine == EngineHybrid || engine == EngineXLA
	case ArchAbsTopK, ArchBatchTopK, ArchTopKTranscoder:
		return engine == EngineHost || engine == EngineHybrid
	case ArchStandard, ArchJumpReLU, ArchTranscoder, ArchJumpReLUTranscoder:
		return c.sparseReLU() && engine == EngineHost
	case ArchMatryoshka:
		return !c.Matryoshka.LevelAux && (engine == EngineHost || engine == EngineHybrid)
	}
	return false
}

// controlled tells whether a controller drives the sparsity coefficient.
func (c Config) controlled() bool {
	if c.TargetL0 == 0 {
		return false
	}
	switch c.base() {
	case ArchStandard, ArchGated:
		return true
	case ArchTemporal:
		return !c.selects()
	case ArchJumpReLU: // the other two terms hold the target themselves
		return c.JumpReLU.Sparsity == SparsityStep || c.JumpReLU.Sparsity == SparsityTanh
	}
	return false
}

// rowWidth is that of a training row: the input, site after site, and, for a transcoder, the target after it.
func (c Config) rowWidth() int {
	if c.transcodes() {
		return c.inWidth() + c.width()
	}
	return c.inWidth()
}

// resolveArch fills in what an architecture's fields are when they are left out.
func (c Config) resolveArch() Config {
	if c.DOut == 0 && c.transcodes() {
		c.DOut = c.DIn
	}
	if c.TargetL0 > 0 && (c.selects() && !c.byBatch() || c.Arch == ArchMatchingPursuit) {
		c.K = int(math.Round(c.TargetL0))
	}
	if c.archetypal() && c.Archetypal.Points == 0 {
		c.Archetypal.Points = max(1, min(c.DSAE, c.InitRows/2))
	}
	if c.Arch == ArchMatchingPursuit && c.Pursuit.Iterations == 0 {
		c.Pursuit.Iterations = c.K
	}
	if c.Arch == ArchMatryoshka && len(c.Matryoshka.Widths) == 0 {
		c.Matryoshka.Widths = nil
		for _, share := range []int{1, 3, 7, 15} { // of 32: each group of latents twice as large as the one before
			if w := c.DSAE * share / 32; w > 0 && !slices.Contains(c.Matryoshka.Widths, w) {
				c.Matryoshka.Widths = append(c.Matryoshka.Widths, w)
			}
		}
		c.Matryoshka.Widths = append(c.Matryoshka.Widths, c.DSAE)
	}
	if c.Engine == EngineAuto && !supports(c, EngineHost) {
		c.Engine = EngineDense
	}
	return c
}

// validateArch checks the fields that only some architectures use.
func (c Config) validateArch(bad func(field string, value any, want string) error) error {
	number := func(v float64) bool { return v >= 0 && v <= 1e12 }
	if err := c.validateSites(bad); err != nil {
		return err
	}
	switch {
	case c.DOut != 0 && !c.transcodes() && c.DOut != c.DIn:
		return bad("d_out", c.DOut, "left out, except for transcoders")
	case c.DOut < 0 || c.width() > math.MaxInt32/c.DSAE || c.width() > math.MaxInt32/c.DIn:
		return bad("d_out", c.DOut, "at least 1, with products with d_in and d_sae below 2^31")
	case !number(c.SparsityCoef):
		return bad("sparsity_coef", c.SparsityCoef, "between 0 and 1e12")
	case c.controlled() && c.SparsityCoef == 0:
		return bad("sparsity_coef", c.SparsityCoef, "above 0, where target_l0 has it driven")
	case !(c.SparsityWarmup >= 0 && c.SparsityWarmup <= 1):
		return bad("sparsity_warmup", c.SparsityWarmup, "a share between 0 and 1 of the steps")
	case !(c.TargetL0 >= 0 && c.TargetL0 <= float64(c.latents())):
		return bad("target_l0", c.TargetL0, fmt.Sprintf("between 0 (off) and the number of latents, %d", c.latents()))
	case c.base() == ArchStandard && !(c.LpNorm > 0 && c.LpNorm <= 100):
		return bad("lp_norm", c.LpNorm, "above 0 and at most 100")
	case c.byBatch() && !(c.ThresholdLR > 0 && c.ThresholdLR <= 1):
		return bad("threshold_lr", c.ThresholdLR, "above 0 and at most 1")
	case c.byBatch() && c.batchK() < 1:
		return bad("target_l0", c.TargetL0, "at least one latent for a batch")
	case c.folds() && c.Arch == ArchMatchingPursuit:
		return bad("normalize_activations", c.Normalize, "another one: scales cannot be folded into matching pursuit's tied weights")
	case c.Engine != EngineAuto && !supports(c, c.Engine):
		able := []string{EngineAuto}
		for _, name := range []string{EngineHost, EngineHybrid, EngineXLA, EngineDense} {
			if supports(c, name) {
				able = append(able, name)
			}
		}
		return bad("engine", c.Engine, fmt.Sprintf("one of %q for %s with normalisation %s", able, c.Arch, c.Normalize))
	}
	if c.archetypal() {
		if err := c.validateArchetypal(bad); err != nil {
			return err
		}
	}
	switch c.base() {
	case ArchTemporal:
		return c.validateTemporal(bad)
	case ArchJumpReLU:
		return c.validateJumpReLU(bad, number)
	case ArchMatryoshka:
		return c.validateWidths(bad)
	case ArchMatchingPursuit:
		if c.Pursuit.Iterations < 1 || c.Pursuit.Iterations > 256 {
			return bad("pursuit.iterations", c.Pursuit.Iterations, "between 1 and 256")
		}
		if !number(c.Pursuit.Residual) {
			return bad("pursuit.residual", c.Pursuit.Residual, "at least 0")
		}
	}
	return nil
}

func (c Config) validateJumpReLU(bad func(string, any, string) error, number func(float64) bool) error {
	j := c.JumpReLU
	modes := []string{SparsityStep, SparsityTanh, SparsityQuadratic, SparsityTarget}
	switch {
	case !(j.Bandwidth > 0 && j.Bandwidth <= 1e6):
		return bad("jumprelu.bandwidth", j.Bandwidth, "above 0 and at most 1e6")
	case !slices.Contains(jumpKernels[:], j.Kernel):
		return bad("jumprelu.kernel", fmt.Sprintf("%q", j.Kernel), fmt.Sprintf("one of %q", jumpKernels))
	case !slices.Contains(modes, j.Sparsity):
		return bad("jumprelu.sparsity", fmt.Sprintf("%q", j.Sparsity), fmt.Sprintf("one of %q", modes))
	case (j.Sparsity == SparsityQuadratic || j.Sparsity == SparsityTarget) && c.TargetL0 == 0:
		return bad("target_l0", c.TargetL0, fmt.Sprintf("above 0 for jumprelu.sparsity %q", j.Sparsity))
	case !number(j.Init):
		return bad("jumprelu.init_threshold", j.Init, "at least 0")
	case !number(j.InitL0) || j.InitL0 > 0 && (c.crosses() || c.crossLayer()):
		return bad("jumprelu.init_l0", j.InitL0, "0 (off) or more, and 0 where several sites are read")
	case !number(j.TanhScale):
		return bad("jumprelu.tanh_scale", j.TanhScale, "at least 0")
	case !number(j.PreActCoef):
		return bad("jumprelu.pre_act_coef", j.PreActCoef, "at least 0")
	}
	return nil
}

func (c Config) validateWidths(bad func(string, any, string) error) error {
	before := 0
	for _, w := range c.Matryoshka.Widths {
		if w <= before {
			return bad("matryoshka.widths", c.Matryoshka.Widths, "positive and strictly rising")
		}
		before = w
	}
	if before != c.DSAE {
		return bad("matryoshka.widths", c.Matryoshka.Widths, fmt.Sprintf("sizes of which the last is d_sae = %d", c.DSAE))
	}
	if c.Matryoshka.LevelAux && c.Loss == LossFVU {
		return bad("matryoshka.level_aux", true, "used with loss mse")
	}
	return nil
}

// levels are the sizes of the prefixes of the dictionary whose squared errors make up the loss.
func (c Config) levels() []int {
	if c.Arch == ArchMatryoshka {
		return c.Matryoshka.Widths
	}
	return []int{c.DSAE}
}
