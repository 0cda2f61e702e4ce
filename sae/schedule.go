package sae

import "math"

// The shapes of the learning rate after its warm-up.
const (
	ScheduleLinear = "linear" // constant, then falling linearly to zero over the last decay share
	ScheduleCosine = "cosine" // constant, then falling as half a cosine over the last decay share
)

// learningRate is the rate of step (1-based): it rises linearly to lr over the first warmup share, stays, and falls over
// the last decay share so that the step after the last would have rate zero. A decay share of 0 keeps it constant.
func learningRate(cfg Config, step int64) float64 {
	n, at, lr := float64(cfg.Steps()), float64(step), cfg.LR
	if up := cfg.Warmup * n; at < up {
		lr *= at / up
	}
	if down := cfg.Decay * n; at > n-down {
		left := (n - at + 1) / (down + 1) // from 1 to 0
		if cfg.Schedule == ScheduleCosine {
			left = (1 - math.Cos(math.Pi*left)) / 2
		}
		lr *= left
	}
	return lr
}

// sparsityShare is the share of the sparsity coefficient at a step: it rises linearly over the first sparsity_warmup
// share of the steps.
func sparsityShare(cfg Config, step int64) float64 {
	if up := cfg.SparsityWarmup * float64(cfg.Steps()); float64(step) < up {
		return float64(step) / up
	}
	return 1
}

// followThreshold moves batchtopk's running threshold towards a batch's smallest active score; a batch without any
// leaves it. The threshold is part of the trainer's state, in float64.
func followThreshold(threshold, least, rate float64) float64 {
	if least == 0 {
		return threshold
	}
	return (1-rate)*threshold + rate*least
}
