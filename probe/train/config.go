package train

import (
	"fmt"
	"math"
)

// The shapes of the learning rate after its warm-up.
const (
	ScheduleConstant = "constant"
	ScheduleLinear   = "linear" // falls to zero
	ScheduleCosine   = "cosine" // falls to zero as half a cosine
)

// Config are the settings of an optimiser.
type Config struct {
	Steps       int     `json:"steps" doc:"optimiser steps; with the constant schedule 0 leaves their number open"`
	LR          float64 `json:"lr" doc:"highest learning rate"`
	Schedule    string  `json:"schedule" enum:"constant,linear,cosine" doc:"learning rate after the warm-up: constant, or falling to zero at the end"`
	Warmup      int     `json:"warmup" doc:"steps over which the learning rate rises linearly from zero"`
	Beta1       float64 `json:"beta1" doc:"decay of the mean of the gradients"`
	Beta2       float64 `json:"beta2" doc:"decay of the mean of their squares"`
	Eps         float64 `json:"eps" doc:"added to the root of the mean square"`
	WeightDecay float64 `json:"weight_decay" doc:"decoupled weight decay (AdamW): each step multiplies the weights by 1 - lr * weight_decay"`
	ClipNorm    float64 `json:"clip_norm" doc:"largest norm of the whole gradient; 0: not clipped"`
	Seed        int64   `json:"seed" doc:"seed of what is drawn: initial weights, order of the texts, masked tokens"`
}

// DefaultConfig is Adam as PyTorch has it, without decay and clipping.
func DefaultConfig() Config {
	return Config{Steps: 100, LR: 1e-3, Schedule: ScheduleConstant, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}
}

// Validate checks the settings.
func (c Config) Validate() error {
	switch {
	case c.Steps < 0 || c.Steps == 0 && c.Schedule != ScheduleConstant:
		return fmt.Errorf("train: steps is %d; give a positive number (0 only with schedule constant)", c.Steps)
	case !(c.LR >= 0) || math.IsInf(c.LR, 0):
		return fmt.Errorf("train: lr is %v; give a number of 0 or more", c.LR)
	case c.Schedule != ScheduleConstant && c.Schedule != ScheduleLinear && c.Schedule != ScheduleCosine:
		return fmt.Errorf("train: unknown schedule %q; use constant, linear or cosine", c.Schedule)
	case c.Warmup < 0 || c.Schedule != ScheduleConstant && c.Warmup >= c.Steps:
		return fmt.Errorf("train: warmup is %d of %d steps; it must be less", c.Warmup, c.Steps)
	case !(c.Beta1 >= 0 && c.Beta1 < 1) || !(c.Beta2 >= 0 && c.Beta2 < 1):
		return fmt.Errorf("train: beta1 %v and beta2 %v must be at least 0 and below 1", c.Beta1, c.Beta2)
	case !(c.Eps > 0) || math.IsInf(c.Eps, 0):
		return fmt.Errorf("train: eps is %v; it must be positive", c.Eps)
	case !(c.WeightDecay >= 0 && c.LR*c.WeightDecay < 1):
		return fmt.Errorf("train: weight_decay is %v at lr %v; lr * weight_decay must be at least 0 and below 1", c.WeightDecay, c.LR)
	case !(c.ClipNorm >= 0):
		return fmt.Errorf("train: clip_norm is %v; it must be 0 (no clipping) or positive", c.ClipNorm)
	}
	return nil
}

// Rate is the learning rate of step t, counted from 1. During the warm-up it is lr t / warmup; of the p-th of the n steps
// after it (p from 0) it is lr (1 - p/n) with the linear and lr (1 + cos(pi p/n)) / 2 with the cosine schedule.
func (c Config) Rate(t int) float64 {
	if t <= c.Warmup {
		return c.LR * float64(t) / float64(c.Warmup)
	}
	p := float64(t-c.Warmup-1) / float64(max(c.Steps-c.Warmup, 1))
	switch c.Schedule {
	case ScheduleLinear:
		return c.LR * (1 - p)
	case ScheduleCosine:
		return c.LR * (1 + math.Cos(math.Pi*p)) / 2
	}
	return c.LR
}
