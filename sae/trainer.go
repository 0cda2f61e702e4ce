package sae

import (
	"fmt"

	"github.com/gomlx/compute"
)

// StepStats is what one training step reports. Losses are of the batch before the step; MSE is in the units of the
// activations.
type StepStats struct {
	Step     int64   `json:"step"`      // from 1
	Tokens   int64   `json:"tokens"`    // rows seen so far
	Loss     float64 `json:"loss"`      // what is minimised
	AuxLoss  float64 `json:"aux_loss"`  // AuxK's part of Loss
	MSE      float64 `json:"mse"`       // mean over rows of the squared error summed over d
	FVU      float64 `json:"fvu"`       // squared error over the variance of the batch
	L0       float64 `json:"l0"`        // mean number of latents above zero
	Dead     int     `json:"dead"`      // latents silent for dead_tokens rows or more, after the step
	GradNorm float64 `json:"grad_norm"` // before clipping
	LR       float64 `json:"lr"`
}

// Trainer learns one SAE from batches of activations. It is not safe for concurrent use. Close frees its memory on the
// device.
type Trainer struct {
	cfg       Config
	eng       engine
	scale     float64 // s of the input, folded into the weights on save
	threshold float64 // batchtopk's running threshold, on scores
	step      int64   // steps done
	silent    []int64 // rows since each latent last fired
	scaled    []float32
	dead      []int32
	meta      map[string]any
}

// NewTrainer returns a trainer at step 0. cfg must be resolved. sample, [n, d] with n >= 1, gives the input scale and
// b_dec; it is usually the first InitRows rows of the data. An engine "auto" is replaced by the fastest on this machine.
func NewTrainer(b compute.Backend, cfg Config, sample []float32) (*Trainer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(sample) == 0 || len(sample)%cfg.DIn != 0 {
		return nil, fmt.Errorf("sae: the initial sample has %d values, which is not a positive number of rows of width %d", len(sample), cfg.DIn)
	}
	if i := firstNonFinite(sample); i >= 0 {
		return nil, fmt.Errorf("sae: row %d, dimension %d of the initial sample is %v: %w; look at the store with `loupe store verify`", i/cfg.DIn, i%cfg.DIn, sample[i], ErrNonFinite)
	}
	scale := inputScale(cfg, sample)
	scaled := make([]float32, len(sample))
	for i, v := range sample {
		scaled[i] = v * float32(scale)
	}
	p := newParams(initialWeights(cfg, scaled))
	if cfg.Engine == EngineAuto {
		name, err := fastestEngine(b, cfg, p, scaled)
		if err != nil {
			return nil, err
		}
		cfg.Engine = name
	}
	return newTrainer(b, cfg, p, scale)
}

func newTrainer(b compute.Backend, cfg Config, p params, scale float64) (*Trainer, error) {
	eng, err := newEngine(b, cfg.Engine, cfg, p)
	if err != nil {
		return nil, err
	}
	return &Trainer{
		cfg: cfg, eng: eng, scale: scale,
		silent: make([]int64, cfg.DSAE),
		scaled: make([]float32, cfg.Batch*cfg.DIn),
	}, nil
}

// Config returns the configuration, with the engine that was chosen.
func (t *Trainer) Config() Config { return t.cfg }

// Done tells whether all steps are done.
func (t *Trainer) Done() bool { return t.step >= t.cfg.Steps() }

// Tokens returns the number of rows trained on.
func (t *Trainer) Tokens() int64 { return t.step * int64(t.cfg.Batch) }

// SetMetadata sets what cfg.json's "metadata" will hold besides what the trainer writes: model_name, hook_name, ...
func (t *Trainer) SetMetadata(meta map[string]any) { t.meta = meta }

// Close frees the engine.
func (t *Trainer) Close() { t.eng.close() }

// Step trains on one batch of exactly Batch rows, [B, d], in the units of the activations. When it returns an error
// that wraps [ErrNonFinite] the weights are those before the step.
func (t *Trainer) Step(batch []float32) (StepStats, error) {
	n, next := int64(t.cfg.Batch), t.step+1
	if len(batch) != len(t.scaled) {
		return StepStats{}, fmt.Errorf("sae: step %d: the batch has %d values, not %d rows of width %d", next, len(batch), n, t.cfg.DIn)
	}
	s := float32(t.scale)
	for i, v := range batch {
		t.scaled[i] = v * s
	}
	t.dead = t.deadLatents(t.dead)
	rate := learningRate(t.cfg.LR, t.cfg.Warmup, t.cfg.Decay, next, t.cfg.Steps())
	out, err := t.eng.step(stepInput{x: t.scaled, rate: rate, t: next, dead: t.dead})
	if err != nil {
		return StepStats{}, fmt.Errorf("sae: step %d: %w", next, err)
	}
	if t.cfg.byBatch() {
		t.threshold = followThreshold(t.threshold, out.least, t.cfg.ThresholdLR)
	}
	dead := 0
	for i, fired := range out.fired {
		t.silent[i] += n
		if fired {
			t.silent[i] = 0
		}
		if t.silent[i] >= t.cfg.DeadTokens {
			dead++
		}
	}
	t.step = next
	return StepStats{
		Step: t.step, Tokens: t.Tokens(),
		Loss: out.loss, AuxLoss: out.aux, MSE: out.mse / (t.scale * t.scale), FVU: out.mse * inverse(out.variance),
		L0: out.l0, Dead: dead, GradNorm: out.gradNorm, LR: rate,
	}, nil
}

// deadLatents returns the latents that have been silent for DeadTokens rows, ascending, in dst's memory.
func (t *Trainer) deadLatents(dst []int32) []int32 {
	dst = dst[:0]
	for i, s := range t.silent {
		if s >= t.cfg.DeadTokens {
			dst = append(dst, int32(i))
		}
	}
	return dst
}
