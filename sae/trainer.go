package sae

import (
	"fmt"

	"github.com/gomlx/compute"
)

// StepStats is what one training step reports. Losses are of the batch before the step; MSE is in the units of the
// activations or, with NormalizePerDimension, of their standard deviations.
type StepStats struct {
	Step      int64     `json:"step"`               // from 1
	Tokens    int64     `json:"tokens"`             // rows seen so far
	Loss      float64   `json:"loss"`               // what is minimised
	AuxLoss   float64   `json:"aux_loss"`           // AuxK's part of Loss
	Sparsity  float64   `json:"sparsity_loss"`      // the sparsity term's part of Loss
	Coef      float64   `json:"sparsity_coef"`      // weight of the sparsity term
	MSE       float64   `json:"mse"`                // mean over rows of the squared error summed over d
	FVU       float64   `json:"fvu"`                // squared error over the variance of the batch, in the units of the scaled activations
	SiteFVU   []float64 `json:"site_fvu,omitempty"` // of each site of the output, where there are several
	L0        float64   `json:"l0"`                 // mean number of latents above zero
	Dead      int       `json:"dead"`               // latents silent for dead_tokens rows or more, after the step and before resampling
	Resampled int       `json:"resampled"`          // latents that the step gave a new start
	GradNorm  float64   `json:"grad_norm"`          // before clipping
	LR        float64   `json:"lr"`

	// Causes says why latents are dead, in every hundredth part of the run and while there are any; else nil.
	Causes *DeadCauses `json:"dead_causes,omitempty"`
}

// Metrics returns the report as named numbers, for a metrics file. Those that a step has not are left out.
func (s StepStats) Metrics() map[string]float64 {
	m := map[string]float64{
		"loss": s.Loss, "aux_loss": s.AuxLoss, "sparsity_loss": s.Sparsity, "sparsity_coef": s.Coef, "mse": s.MSE, "fvu": s.FVU, "l0": s.L0,
		"dead": float64(s.Dead), "resampled": float64(s.Resampled), "grad_norm": s.GradNorm, "lr": s.LR,
	}
	for i, v := range s.SiteFVU {
		m[fmt.Sprintf("fvu_site_%d", i)] = v
	}
	if c := s.Causes; c != nil {
		m["dead_norm"], m["dead_threshold"], m["dead_outlier_mean"] = float64(c.Norm), float64(c.Threshold), float64(c.OutlierMean)
		m["dead_never_fired"], m["dead_silent"], m["gamma"] = float64(c.NeverFired), float64(c.Silent), c.Gamma
	}
	return m
}

// Trainer learns one SAE from batches of activations. It is not safe for concurrent use. Close frees its memory on the
// device.
type Trainer struct {
	cfg                   Config
	eng                   engine
	scales                []float64    // s of each site of the input, folded into the weights on save
	outScales             []float64    // the same of a transcoder's targets; otherwise scales
	standard, outStandard standardizer // with NormalizePerDimension, likewise
	threshold             []float64    // batchtopk's running threshold, on scores, of each selection
	step                  int64        // steps done
	control               controller
	silent                []int64 // rows since each latent last fired
	born                  []int64 // rows seen when each latent was last resampled
	scaled                []float32
	target                []float32 // of a transcoder, scaled
	dead                  []int32
	meta                  map[string]any

	near float64 // latents of a row with a gradient in the last step, on average; at the start as many as there may be
}

// NewTrainer returns a trainer at step 0. cfg must be resolved. sample, [n, width] with n >= 1, gives the input scale and
// b_dec; it is usually the first InitRows rows of the data. A row is the input, site after site, and then, for a
// transcoder, the target, site after site. An engine "auto" is replaced by the fastest on this machine.
func NewTrainer(b compute.Backend, cfg Config, sample []float32) (*Trainer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	width := cfg.rowWidth()
	if len(sample) == 0 || len(sample)%width != 0 {
		return nil, fmt.Errorf("sae: the initial sample has %d values, which is not a positive number of rows of width %d", len(sample), width)
	}
	if i := firstNonFinite(sample); i >= 0 {
		return nil, fmt.Errorf("sae: row %d, dimension %d of the initial sample is %v: %w; look at the store with `loupe store verify`", i/width, i%width, sample[i], ErrNonFinite)
	}
	n := len(sample) / width
	x, y := make([]float32, n*cfg.inWidth()), make([]float32, n*(width-cfg.inWidth()))
	split(cfg, sample, x, y)
	t := &Trainer{cfg: cfg, scales: siteScales(cfg, x, cfg.inSites(), cfg.DIn), control: newController(cfg), threshold: make([]float64, cfg.selections()), near: float64(cfg.latents())}
	t.outScales = t.scales
	if cfg.transcodes() {
		t.outScales = siteScales(cfg, y, cfg.outSites(), cfg.width()/cfg.outSites())
	}
	if cfg.Normalize == NormalizePerDimension {
		t.standard = newStandardizer(x, cfg.inWidth())
		t.outStandard = t.standard
		if cfg.transcodes() {
			t.outStandard = newStandardizer(y, cfg.width())
		}
	}
	t.normalize(x, y)
	if !cfg.transcodes() {
		y = x
	}
	w := initialWeights(cfg, x, y)
	if cfg.archetypal() {
		if err := startArchetypes(b, cfg, w, x); err != nil {
			return nil, err
		}
	}
	if cfg.base() == ArchJumpReLU && cfg.JumpReLU.InitL0 > 0 {
		if err := measureThresholds(b, cfg, w, x); err != nil {
			return nil, err
		}
		t.near = cfg.JumpReLU.InitL0
	}
	p := newParams(w)
	if cfg.Engine == EngineAuto {
		name, err := fastestEngine(b, cfg, p, x, y)
		if err != nil {
			return nil, err
		}
		t.cfg.Engine = name
	}
	return t, t.open(b, p)
}

// open makes the engine with parameters p and the trainer's memory.
func (t *Trainer) open(b compute.Backend, p params) error {
	var err error
	if t.eng, err = newEngine(b, t.cfg.Engine, t.cfg, p); err != nil {
		return err
	}
	t.silent, t.born = make([]int64, t.cfg.latents()), make([]int64, t.cfg.latents())
	t.scaled = make([]float32, t.cfg.Batch*t.cfg.inWidth())
	if t.cfg.transcodes() {
		t.target = make([]float32, t.cfg.Batch*t.cfg.width())
	}
	return nil
}

// normalize applies what is folded into the weights on save to rows of inputs x and of a transcoder's targets y.
func (t *Trainer) normalize(x, y []float32) {
	scaleSites(x, t.scales, t.cfg.DIn)
	t.standard.apply(x)
	if t.cfg.transcodes() {
		scaleSites(y, t.outScales, t.cfg.width()/t.cfg.outSites())
		t.outStandard.apply(y)
	}
}

// split writes the inputs of rows to x and, for a transcoder, the targets to y.
func split(cfg Config, rows, x, y []float32) {
	if !cfg.transcodes() {
		copy(x, rows)
		return
	}
	d, w := cfg.inWidth(), cfg.width()
	for r := range len(rows) / (d + w) {
		row := rows[r*(d+w) : (r+1)*(d+w)]
		copy(x[r*d:(r+1)*d], row)
		copy(y[r*w:(r+1)*w], row[d:])
	}
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

// Step trains on one batch of exactly Batch rows, [B, d], in the units of the activations; a transcoder's rows have the
// target after the input. When it returns an error
// that wraps [ErrNonFinite] the weights are those before the step.
func (t *Trainer) Step(batch []float32) (StepStats, error) {
	n, next := int64(t.cfg.Batch), t.step+1
	if len(batch) != t.cfg.Batch*t.cfg.rowWidth() {
		return StepStats{}, fmt.Errorf("sae: step %d: the batch has %d values, not %d rows of width %d", next, len(batch), n, t.cfg.rowWidth())
	}
	split(t.cfg, batch, t.scaled, t.target)
	t.normalize(t.scaled, t.target)
	t.dead = t.deadLatents(t.dead)
	rate := learningRate(t.cfg, next)
	coef := t.control.Coef * sparsityShare(t.cfg, next)
	out, err := t.eng.step(stepInput{x: t.scaled, y: t.target, rate: rate, t: next, dead: t.dead, coef: coef, near: t.near})
	if err != nil {
		return StepStats{}, fmt.Errorf("sae: step %d: %w", next, err)
	}
	t.near = out.near
	t.control.observe(t.cfg, out.l0)
	if t.cfg.byBatch() {
		for i, least := range out.least {
			t.threshold[i] = followThreshold(t.threshold[i], least, t.cfg.ThresholdLR)
		}
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
	var causes *DeadCauses
	if dead > 0 && next%((t.cfg.Steps()+99)/100) == 0 {
		c, err := t.DeadCauses()
		if err != nil {
			return StepStats{}, fmt.Errorf("sae: step %d: look at dead latents: %w", next, err)
		}
		causes = &c
	}
	resampled, err := t.resample(out.rowSSE)
	if err != nil {
		return StepStats{}, fmt.Errorf("sae: step %d: resample dead latents: %w", next, err)
	}
	stats := StepStats{
		Step: t.step, Tokens: t.Tokens(),
		Loss: out.loss, AuxLoss: out.aux, Sparsity: out.sparsity, Coef: coef, FVU: out.mse * inverse(out.variance),
		L0: out.l0, Dead: dead, Resampled: resampled, GradNorm: out.gradNorm, LR: rate, Causes: causes,
	}
	if len(t.outScales) == 1 {
		stats.MSE = out.mse / (t.outScales[0] * t.outScales[0])
		return stats, nil
	}
	for i, s := range t.outScales {
		stats.MSE += out.siteMSE[i] / (s * s)
		stats.SiteFVU = append(stats.SiteFVU, out.siteMSE[i]*inverse(out.siteVar[i]))
	}
	return stats, nil
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
