package attack

import (
	"fmt"
	"math"

	"loupe/internal/adam"
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

// solver returns the optimizer of n numbers.
func (c AdamConfig) solver(n int) *adam.Solver {
	s := adam.NewSolver(c.LR, n)
	s.Decay = c.Decay
	return s
}
