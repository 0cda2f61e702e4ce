package attack

import (
	"fmt"
	"math"
)

// AdamConfig are the settings of a descent.
type AdamConfig struct {
	Steps int     `json:"steps" doc:"steps of the descent"`
	LR    float64 `json:"lr" doc:"learning rate"`
	Decay float64 `json:"decay" doc:"decoupled weight decay"`
}

// Validate refuses settings that go nowhere.
func (c AdamConfig) Validate() error {
	if c.Steps < 1 || !(c.LR > 0) || math.IsInf(c.LR, 0) || !(c.Decay >= 0) || c.LR*c.Decay >= 1 {
		return fmt.Errorf("steps is %d, lr %v, decay %v; use 1 or more, a number above 0 and one from 0 with lr x decay below 1", c.Steps, c.LR, c.Decay)
	}
	return nil
}

// adam is AdamW with betas 0.9 and 0.999 on one slice of numbers (arXiv:1711.05101).
type adam struct {
	cfg  AdamConfig
	m, v []float64
	t    float64
}

func newAdam(cfg AdamConfig, n int) *adam {
	return &adam{cfg: cfg, m: make([]float64, n), v: make([]float64, n)}
}

// step moves x down the gradient g.
func (a *adam) step(x, g []float64) {
	const b1, b2, eps = 0.9, 0.999, 1e-8
	a.t++
	c1, c2 := 1-math.Pow(b1, a.t), 1-math.Pow(b2, a.t)
	for i, v := range g {
		a.m[i] = b1*a.m[i] + (1-b1)*v
		a.v[i] = b2*a.v[i] + (1-b2)*v*v
		x[i] -= a.cfg.LR * (a.cfg.Decay*x[i] + a.m[i]/c1/(math.Sqrt(a.v[i]/c2)+eps))
	}
}
