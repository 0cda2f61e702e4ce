package sae

import (
	"context"
	"fmt"
	"math"
	"slices"

	"loupe/internal/stats"
)

// UnlearningConfig is the grid of SAEBench's unlearning score.
type UnlearningConfig struct {
	Latents    []int     `json:"latents" yaml:"latents"`         // how many latents are clamped
	MaxRetain  []float64 `json:"max_retain" yaml:"max_retain"`   // density on the texts to keep above which a latent is spared
	Clamp      []float64 `json:"clamp" yaml:"clamp"`             // active latents are set to minus this
	KeepRetain float64   `json:"keep_retain" yaml:"keep_retain"` // share of the clean accuracy on other tasks that must stay
}

// DefaultUnlearningConfig returns the published grid: 10 or 20 latents, densities 0.001 and 0.01, clamps 25 to 200, 99 %.
func DefaultUnlearningConfig() UnlearningConfig {
	return UnlearningConfig{Latents: []int{10, 20}, MaxRetain: []float64{0.001, 0.01}, Clamp: []float64{25, 50, 100, 200}, KeepRetain: 0.99}
}

// UnlearningPoint is one setting of the grid with its accuracies.
type UnlearningPoint struct {
	Latents []int32 `json:"latents"`
	Clamp   float64 `json:"clamp"`
	Forget  float64 `json:"forget_accuracy"` // on questions about what is to be forgotten
	Retain  float64 `json:"retain_accuracy"` // on other questions
}

// UnlearningReport is the score with the grid behind it.
type UnlearningReport struct {
	Score  float64           `json:"score"`
	Best   int               `json:"best"` // index in Points; -1 where no setting keeps the other tasks or forgets anything
	Clean  UnlearningPoint   `json:"clean"`
	Points []UnlearningPoint `json:"points"`
}

// ForgetLatents selects at most n latents that fire on the texts to forget and hardly on those to keep: density on the latter
// at most maxRetain, in the order of falling density on the former. Both densities are [F].
func ForgetLatents(forget, retain []float64, maxRetain float64, n int) ([]int32, error) {
	if len(forget) != len(retain) || n < 1 {
		return nil, fmt.Errorf("sae: unlearning: %d and %d densities, %d latents; measure both on the same SAE", len(forget), len(retain), n)
	}
	var out []int32
	for _, l := range falling(forget) {
		if len(out) < n && forget[l] > 0 && retain[l] <= maxRetain {
			out = append(out, l)
		}
	}
	return out, nil
}

// ClampLatents returns x with the given latents set to value where they are active, x + sum_i (value - act_i) W_i; the
// reconstruction error stays. Shapes are those of [AblateLatents].
func ClampLatents[T real](x []T, acts *Sparse, decoder []T, latents []int32, value float64) ([]T, error) {
	return setActive(x, acts, decoder, latents, value)
}

// Unlearning scores how far latents can be made to forget without harm: 1 minus the lowest forget accuracy over all settings
// whose retain accuracy is at least KeepRetain of the clean one (Farrell et al., arXiv:2410.19278; SAEBench). measure
// returns both accuracies with the given latents clamped to minus clamp; it is first called without latents. The densities are
// [F], on texts to forget and texts to keep.
func Unlearning(ctx context.Context, forget, retain []float64, cfg UnlearningConfig,
	measure func(ctx context.Context, latents []int32, clamp float64) (forget, retain float64, err error),
) (UnlearningReport, error) {
	if len(cfg.Latents) == 0 || len(cfg.MaxRetain) == 0 || len(cfg.Clamp) == 0 || !(cfg.KeepRetain > 0) {
		return UnlearningReport{}, fmt.Errorf("sae: unlearning: the grid %+v is empty; see DefaultUnlearningConfig", cfg)
	}
	at := func(latents []int32, clamp float64) (UnlearningPoint, error) {
		p := UnlearningPoint{Latents: latents, Clamp: clamp}
		var err error
		if p.Forget, p.Retain, err = measure(ctx, latents, clamp); err != nil {
			return p, fmt.Errorf("sae: unlearning: %d latents at -%v: %w", len(latents), clamp, err)
		}
		if math.IsNaN(p.Forget) || math.IsNaN(p.Retain) {
			return p, fmt.Errorf("sae: unlearning: %d latents at -%v: accuracies %v and %v: %w", len(latents), clamp, p.Forget, p.Retain, stats.ErrNotFinite)
		}
		return p, nil
	}
	clean, err := at(nil, 0)
	if err != nil {
		return UnlearningReport{}, err
	}
	r := UnlearningReport{Best: -1, Clean: clean}
	lowest := clean.Forget
	for _, n := range cfg.Latents {
		for _, maxRetain := range cfg.MaxRetain {
			latents, err := ForgetLatents(forget, retain, maxRetain, n)
			if err != nil {
				return UnlearningReport{}, err
			}
			if len(latents) == 0 {
				continue
			}
			for _, clamp := range cfg.Clamp {
				if slices.ContainsFunc(r.Points, func(p UnlearningPoint) bool { return p.Clamp == clamp && slices.Equal(p.Latents, latents) }) {
					continue
				}
				p, err := at(latents, clamp)
				if err != nil {
					return UnlearningReport{}, err
				}
				if p.Retain >= cfg.KeepRetain*clean.Retain && p.Forget < lowest {
					lowest, r.Best = p.Forget, len(r.Points)
				}
				r.Points = append(r.Points, p)
			}
		}
	}
	r.Score = 1 - lowest
	return r, nil
}
