package sae

import (
	"fmt"
	"math"
)

// A controller drives the weight of the sparsity term towards a mean L0. After each step
//
//	log coef += gain * clamp(log(L0 / target) + ahead * slope, -1, 1)
//
// where slope is that of log L0 over the last steps, so that the coefficient rises while too many latents are active,
// falls while too few are, and turns back early while L0 is on its way; it stays within a
// factor of 1e4 of where it began, and a batch without any active latent counts as far too few. Architectures that keep
// a number of latents need none: their target is the number.
type controller struct {
	Coef   float64   `json:"coef"`   // weight in the next step, before the warm-up's factor
	Start  float64   `json:"start"`  // where it began
	Recent []float64 `json:"recent"` // L0 of the last steps, at most l0Window, oldest first
}

const (
	controlGain  = 0.02
	controlSpan  = 20 // steps over which the slope is taken
	controlAhead = 60 // steps that it is followed ahead
	controlRange = 1e4
	l0Window     = 100
)

// newController starts at cfg's coefficient.
func newController(cfg Config) controller {
	return controller{Coef: cfg.SparsityCoef, Start: cfg.SparsityCoef}
}

// observe takes in the L0 of a step.
func (c *controller) observe(cfg Config, l0 float64) {
	if len(c.Recent) == l0Window {
		c.Recent = append(c.Recent[:0], c.Recent[1:]...)
	}
	c.Recent = append(c.Recent, l0)
	if !cfg.controlled() {
		return
	}
	now := math.Log(max(l0, 1e-3))
	off := now - math.Log(cfg.TargetL0)
	if n := len(c.Recent); n > controlSpan {
		off += controlAhead * (now - math.Log(max(c.Recent[n-1-controlSpan], 1e-3))) / controlSpan
	}
	c.Coef *= math.Exp(controlGain * min(max(off, -1), 1))
	c.Coef = min(max(c.Coef, c.Start/controlRange), c.Start*controlRange)
}

// valid tells whether a controller from a checkpoint can be gone on with.
func (c *controller) valid() error {
	if !(c.Coef >= 0) || math.IsInf(c.Coef, 1) || !(c.Start >= 0) || len(c.Recent) > l0Window {
		return fmt.Errorf("controller: coefficient %v from %v with %d steps", c.Coef, c.Start, len(c.Recent))
	}
	return nil
}

// L0Interval is a mean of L0 over recent steps with its 95 % interval, from the spread over steps (n = 1: the value
// alone).
type L0Interval struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	N    int     `json:"steps"`
}

// AchievedL0 returns the mean L0 of the last steps, 100 at most.
func (t *Trainer) AchievedL0() L0Interval {
	out := L0Interval{N: len(t.control.Recent)}
	if out.N == 0 {
		return L0Interval{Mean: math.NaN(), Low: math.NaN(), High: math.NaN()}
	}
	for _, v := range t.control.Recent {
		out.Mean += v / float64(out.N)
	}
	var sq float64
	for _, v := range t.control.Recent {
		sq += (v - out.Mean) * (v - out.Mean)
	}
	var half float64
	if out.N > 1 {
		half = 1.96 * math.Sqrt(sq/float64(out.N-1)/float64(out.N))
	}
	out.Low, out.High = out.Mean-half, out.Mean+half
	return out
}
