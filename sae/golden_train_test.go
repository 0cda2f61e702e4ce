package sae

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// weightsOf reads the tensors of cfg's layout with a prefix; W_enc is transposed to [F, d].
func (c *goldenCase) weightsOf(t *testing.T, prefix string, cfg Config) weights {
	t.Helper()
	w := newWeights(cfg)
	for i, info := range layout(cfg) {
		values := c.f32(t, prefix+info.name)
		if info.name == "W_enc" {
			transpose(w.enc, values, cfg.DIn, cfg.DSAE)
		} else {
			copy(w.slices()[i], values)
		}
	}
	return w
}

func (c *goldenCase) deadLatents(t *testing.T) []int32 {
	var dead []int32
	if _, ok := c.file.Info("dead_mask"); !ok {
		return nil
	}
	c.seen["dead_mask"] = true
	mask, err := c.file.Int64("dead_mask")
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range mask {
		if v != 0 {
			dead = append(dead, int32(i))
		}
	}
	return dead
}

// trainingConfig is the case's configuration in loupe's terms.
func (c *goldenCase) trainingConfig() Config {
	sc := c.Config.SAEConfig
	or := func(v *float64, otherwise float64) float64 {
		if v == nil {
			return otherwise
		}
		return *v
	}
	cfg := Config{
		Arch: c.Config.Arch, DIn: sc.DIn, DSAE: sc.DSAE, K: int(sc.K), Batch: c.Config.Batch, Loss: LossMSE, Decoder: DecoderFree,
		Normalize: cmp.Or(sc.Normalize, NormalizeNone), AuxCoef: or(sc.AuxCoef, 1), AuxK: sc.DIn / 2, LpNorm: or(sc.LpNorm, 1), ThresholdLR: 0.01,
		Beta1: c.Config.Adam.Beta1, Beta2: c.Config.Adam.Beta2, AdamEps: c.Config.Adam.Eps, Clip: or(c.Config.ClipNorm, 0),
		GatedFreeDecoder: true,
		JumpReLU:         JumpReLUConfig{Bandwidth: sc.Bandwidth, Sparsity: sc.Sparsity, TanhScale: 4, PreActCoef: sc.PreAct, STEToInput: sc.STEToInput},
		Pursuit:          PursuitConfig{Iterations: sc.Iterations, Residual: sc.Residual, StopDuplicate: true},
		TargetL0:         sc.TargetL0,
		Matryoshka:       MatryoshkaConfig{Widths: sc.Widths, LevelAux: sc.LevelAux},
	}
	cfg.RescaleByDecoder = cfg.selects() && (sc.Rescale == nil || *sc.Rescale)
	if cfg.byBatch() {
		cfg.TargetL0 = sc.K // may be a fraction
	}
	return cfg
}

// enginesFor are the engines of an architecture on the backend under test.
func enginesFor(t testing.TB, cfg Config) []string {
	var out []string
	for _, name := range engines(t) {
		if supports(cfg, name) {
			out = append(out, name)
		}
	}
	return out
}

// runTraining performs three Adam steps of a SAELens training SAE in every engine that the architecture has.
func (c *goldenCase) runTraining(t *testing.T) {
	cfg := c.trainingConfig()
	var losses []map[string]float64
	var norms, thresholds []float64
	c.scalar(t, "losses_per_step", &losses)
	c.scalar(t, "grad_norm_before_clip_per_step", &norms)
	if cfg.byBatch() {
		c.scalar(t, "topk_threshold_per_step", &thresholds)
	}
	x, dead := c.f32(t, "x"), c.deadLatents(t)
	start, after, grad := c.weightsOf(t, "param.", cfg), c.weightsOf(t, "after3.", cfg), c.weightsOf(t, "grad.", cfg)
	c.compareForward(t, cfg, start, x[:cfg.Batch*cfg.DIn])
	for _, name := range enginesFor(t, cfg) {
		e, err := newEngine(graphtest.Backend(t), name, cfg, newParams(start.clone()))
		if err != nil {
			t.Fatal(err)
		}
		defer e.close()
		threshold := c.Config.Threshold
		for s := range norms {
			in := stepInput{x: x[s*cfg.Batch*cfg.DIn : (s+1)*cfg.Batch*cfg.DIn], rate: c.Config.Adam.LR, t: int64(s + 1), dead: dead}
			in.coef = c.Config.Coefficients["l1"] + c.Config.Coefficients["l0"]
			out, err := e.step(in)
			if err != nil {
				t.Fatal(err)
			}
			compareLosses(t, name, out, losses[s])
			near(t, name+" gradient norm", out.gradNorm, norms[s], 1e-4)
			if cfg.byBatch() {
				threshold = followThreshold(threshold, out.least[0], cfg.ThresholdLR)
				near(t, name+" topk_threshold", threshold, thresholds[s], 1e-6)
			}
			if s > 0 {
				continue
			}
			p, err := e.snapshot()
			if err != nil {
				t.Fatal(err)
			}
			for n, m := range p.m.slices() { // after one step the first moment is (1 - beta1) times the gradient
				g := slices.Clone(m)
				scaleBy(g, float32(1/((1-cfg.Beta1)*clipScale(cfg.Clip, out.gradNorm))))
				label := layout(cfg)[n].name
				// The case's 2e-6, or the rounding of a float32 run of the reference itself where that is larger, plus
				// the rounding of the detour through the moment.
				nearly(t, name+" grad."+label, g, grad.slices()[n], 1e-4, max(4e-6, 3*c.Config.NoiseGrad[label]))
			}
		}
		p, err := e.snapshot()
		if err != nil {
			t.Fatal(err)
		}
		for n, w := range p.w.slices() {
			label := layout(cfg)[n].name
			nearly(t, name+" after3."+label, w, after.slices()[n], 0, max(1e-5, 3*c.Config.Noise3[label]))
		}
	}
}

// compareLosses compares a step's terms with those of SAELens. The inner losses of matryoshka are compared as their sum.
func compareLosses(t *testing.T, name string, got stepOutput, want map[string]float64) {
	t.Helper()
	near(t, name+" loss", got.loss, want["loss"], 1e-5)
	var inner float64
	for term, w := range want {
		switch {
		case term == "loss":
		case term == "mse_loss":
			near(t, name+" "+term, got.mse, w, 1e-5)
		case term == "l1_loss" || term == "l0_loss":
			near(t, name+" "+term, got.sparsity, w, 1e-5)
		case term == "auxiliary_reconstruction_loss" || term == "pre_act_loss":
			near(t, name+" "+term, got.aux, w, 1e-5)
		case strings.HasPrefix(term, "inner_mse_loss_"):
			inner += w
		default:
			t.Errorf("%s: loss term %s is not compared", name, term)
		}
	}
	if inner > 0 {
		near(t, name+" inner losses", got.loss-got.mse-got.aux-got.sparsity, inner, 2e-5) // a difference
	}
}

// compareForward compares activations and output at the start, on the host. batchtopk selects by the batch while it
// trains, so that its threshold is that of this batch.
func (c *goldenCase) compareForward(t *testing.T, cfg Config, w weights, x []float32) {
	acts, out := c.f32(t, "feature_acts"), c.f32(t, "sae_out")
	s := exported(cfg, w)
	if cfg.byBatch() {
		least := float32(0)
		for _, v := range acts {
			if v > 0 && (least == 0 || v < least) {
				least = v
			}
		}
		s.Arch, s.RescaleByDecoder = ArchJumpReLU, false
		s.Threshold = make([]float32, cfg.DSAE)
		norms := make([]float32, cfg.DSAE)
		rowNorms(norms, s.WDec, cfg.DIn)
		for i := range s.Threshold {
			s.Threshold[i] = least * (1 - 1e-5)
			if cfg.RescaleByDecoder {
				s.Threshold[i] /= norms[i]
			}
		}
		if cfg.RescaleByDecoder { // SAELens reports pre * |W_dec row|
			for i, v := range norms {
				for r := range len(acts) / cfg.DSAE {
					acts[r*cfg.DSAE+i] /= v
				}
			}
		}
	}
	lat, y, err := s.Reconstruct(x)
	if err != nil {
		t.Fatal(err)
	}
	nearly(t, "feature_acts", denseLatents(lat, cfg.DSAE), acts, 2e-5, 2e-5)
	nearly(t, "sae_out", y, out, 2e-5, 2e-5)
}
