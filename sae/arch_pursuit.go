package sae

import "fmt"

// Pursuit are the settings of matching pursuit.
type Pursuit struct {
	Iterations    int     // at most so many steps
	Residual      float64 // a row stops when its residual's norm is below; 0: never
	StopDuplicate bool    // a row stops when a step brought no new latent
}

// matchingPursuitArch is greedy and tied: repeat i = argmax relu(r W_dec^T), v = relu(r . W_i), f_i += v, r -= v W_i.
func matchingPursuitArch() architecture {
	return architecture{
		name: ArchMatchingPursuit,
		tensors: func(s *SAE) []slot {
			return []slot{{"W_dec", []int{s.DSAE, s.Width()}, &s.WDec}, {"b_dec", []int{s.Width()}, &s.BDec}}
		},
		read: func(c *saelensConfig, s *SAE) error {
			if c.MaxIterations == 0 { // SAELens's null
				c.MaxIterations = s.DIn
			}
			s.Pursuit = &Pursuit{Iterations: c.MaxIterations, Residual: c.ResidualThreshold, StopDuplicate: c.StopDuplicate == nil || *c.StopDuplicate}
			return nil
		},
		write: func(s *SAE, cfg map[string]any) {
			cfg["max_iterations"] = s.Pursuit.Iterations
			cfg["residual_threshold"] = s.Pursuit.Residual
			cfg["stop_on_duplicate_support"] = s.Pursuit.StopDuplicate
		},
		validate: func(s *SAE) error {
			if s.Pursuit == nil || s.Pursuit.Iterations < 1 || !(s.Pursuit.Residual >= 0) {
				return fmt.Errorf("matching pursuit needs max_iterations of at least 1 and residual_threshold of at least 0; got %+v", s.Pursuit)
			}
			return nil
		},
	}
}

// pursuitRow is a row on its way through matching pursuit.
type pursuitRow struct {
	residual []float32 // [d]
	act      map[int32]float32
	done     bool
}

// step takes the latent with the largest correlation h = r W_dec^T, [F], out of the residual. It tells whether the row
// goes on.
func (p *pursuitRow) step(s *SAE, h []float32) bool {
	best := 0
	for i, v := range h {
		if v > h[best] {
			best = i
		}
	}
	v := max(h[best], 0)
	_, seen := p.act[int32(best)]
	if v > 0 {
		p.act[int32(best)] += v
		axpy(-v, s.Decoder(best), p.residual)
	}
	p.done = s.Pursuit.StopDuplicate && (seen || v == 0) || s.Pursuit.Residual > 0 && float64(norm2(p.residual)) < s.Pursuit.Residual
	return !p.done
}

// emit hands over the row's latents.
func (p *pursuitRow) emit(to *active) {
	for i, v := range p.act {
		to.add(i, v)
	}
}
