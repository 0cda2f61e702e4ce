package sae

import (
	"math"
	"math/rand/v2"
	"slices"
)

// startTemporal writes the start of the paper's code: a dictionary of standard normal numbers, or with rows of
// InitDecoderNorm, and attention weights whose rows have norms that keep the scale of the latents; biases are those of a
// torch.nn.Linear.
func startTemporal(cfg Config, w weights, rng *rand.Rand) {
	fill := func(x []float32) {
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
	}
	fill(w.dec)
	if cfg.InitDecoderNorm > 0 {
		for row := range slices.Chunk(w.dec, cfg.DIn) {
			unit(row)
			scaleBy(row, float32(cfg.InitDecoderNorm))
		}
	}
	if w.enc != nil {
		if copy(w.enc, w.dec); cfg.InitEncoder == InitRandom {
			fill(w.enc)
		}
	}
	f := cfg.DSAE
	for i := range cfg.Temporal.Layers {
		for _, part := range temporalParts(f, cfg.Temporal.Bottleneck) {
			norm := 1 / math.Sqrt(float64(part.out/cfg.Temporal.Heads))
			if part.name == "c_proj" {
				norm = 1 / math.Sqrt(float64(f))
			}
			weight := w.named(cfg, temporalName(i, part.name)+".weight")
			fill(weight)
			for row := range slices.Chunk(weight, f) {
				unit(row)
				scaleBy(row, float32(norm))
			}
			for j, bias := 0, w.named(cfg, temporalName(i, part.name)+".bias"); j < len(bias); j++ {
				bias[j] = float32((2*rng.Float64() - 1) / math.Sqrt(float64(f)))
			}
		}
	}
}

// exportTemporal fills in what a temporal SAE has besides the dictionary. The scale of the training cannot be folded into
// tied weights: the SAE keeps it as a factor of its input.
func exportTemporal(cfg Config, w weights, s *SAE, scale float64) {
	t := cfg.Temporal
	s.K = 0 // the number is one of the novel latents
	s.Temporal = &Temporal{Heads: t.Heads, Bottleneck: t.Bottleneck, Tied: !t.Untied, Scale: 1, Layers: make([]TemporalLayer, t.Layers)}
	if t.Novel == NovelTopK {
		s.Temporal.TopK = cfg.K
	}
	if cfg.scales() {
		s.Normalize, s.Temporal.Scale = normalizeConstantScalar, scale
	}
	for i := range s.Temporal.Layers {
		l := &s.Temporal.Layers[i]
		for _, to := range []struct {
			part         string
			weight, bias *[]float32
		}{{"k_ctx", &l.KWeight, &l.KBias}, {"q_target", &l.QWeight, &l.QBias}, {"v_ctx", &l.VWeight, &l.VBias}, {"c_proj", &l.OutWeight, &l.OutBias}} {
			*to.weight, *to.bias = w.named(cfg, temporalName(i, to.part)+".weight"), w.named(cfg, temporalName(i, to.part)+".bias")
		}
	}
	s.Metadata[contextKey] = t.Context
}

// contextKey is where an SAE's metadata says how long its sequences are.
const contextKey = "context_size"

// context returns the length of the sequences that a temporal SAE was trained on; 0: not known.
func (s *SAE) context() int {
	switch v := s.Metadata[contextKey].(type) {
	case int:
		return v
	case float64:
		return int(v)
	}
	return 0
}
