package probe

import (
	"context"
	"fmt"
	"math"
	"slices"

	"loupe/vectors"
)

// solve moves the weights to the minimum at this penalty.
func (p *elastic) solve(ctx context.Context, lambda float64) error {
	edge := p.cfg.Alpha * lambda
	p.derive()
	keep := make([]bool, len(p.w)) // columns that the strong rule or a violated condition lets in
	for j := range keep {
		keep[j] = p.w[j] != 0 || math.Abs(p.slope(j)) >= p.cfg.Alpha*(2*lambda-p.last)
	}
	for range 100 {
		var kept []int
		for j, k := range keep {
			if k && p.u[j] != nil {
				kept = append(kept, j)
			}
		}
		if err := p.newton(ctx, lambda, kept); err != nil {
			return err
		}
		missed := false
		for j := range keep {
			if !keep[j] && math.Abs(p.slope(j)) > edge*(1+1e-9) {
				keep[j], missed = true, true
			}
		}
		if !missed {
			p.last = lambda
			return nil
		}
	}
	return fmt.Errorf("columns enter without end: %w", vectors.ErrNotConverged)
}

// newton minimises over the kept columns. At its end rest is that of the minimum.
func (p *elastic) newton(ctx context.Context, lambda float64, kept []int) error {
	value := p.objective(p.derive(), lambda)
	for range 100 {
		if err := ctx.Err(); err != nil {
			return err
		}
		oldW, oldB, oldEta := pick(p.w, kept), p.b, slices.Clone(p.eta)
		if err := p.descend(ctx, lambda, kept); err != nil {
			return err
		}
		newW, newB, newEta := pick(p.w, kept), p.b, slices.Clone(p.eta)
		next := p.objective(p.derive(), lambda)
		for share := 0.5; next > value+1e-14*math.Abs(value) && share > 1e-6; share /= 2 {
			for i, j := range kept {
				p.w[j] = oldW[i] + share*(newW[i]-oldW[i])
			}
			p.b = oldB + share*(newB-oldB)
			for i := range p.eta {
				p.eta[i] = oldEta[i] + share*(newEta[i]-oldEta[i])
			}
			next = p.objective(p.derive(), lambda)
		}
		done := value-next <= p.cfg.Tolerance*p.null
		value = next
		if done || !p.logistic {
			return nil
		}
	}
	return fmt.Errorf("100 Newton steps: %w; end the path at a larger penalty (min_ratio)", vectors.ErrNotConverged)
}

// descend minimises the quadratic of weight and rest by coordinates, most of the time over those with weight. It keeps
// eta at the scores and leaves rest used up.
func (p *elastic) descend(ctx context.Context, lambda float64, kept []int) error {
	n := float64(len(p.eta))
	total := 0.0
	for _, v := range p.weight {
		total += v
	}
	bend := make([]float64, len(p.w))
	for _, j := range kept {
		for i, v := range p.u[j] {
			bend[j] += p.weight[i] * v * v / n
		}
	}
	var active []int
	for sweep := range 10_000 {
		if err := ctx.Err(); err != nil {
			return err
		}
		full := sweep == 0 || active == nil
		over := active
		if full {
			over = kept
		}
		change := 0.0
		for _, j := range over {
			s := 0.0
			for i, v := range p.u[j] {
				s += v * p.rest[i]
			}
			w := soft(s/n+bend[j]*p.w[j], lambda*p.cfg.Alpha) / (bend[j] + lambda*(1-p.cfg.Alpha))
			if step := w - p.w[j]; step != 0 {
				p.w[j] = w
				p.move(step, p.u[j])
				change = max(change, bend[j]*step*step)
			}
		}
		s := 0.0
		for _, v := range p.rest {
			s += v
		}
		p.b += s / total
		p.move(s/total, nil)
		change = max(change, s*s/total/n)
		switch converged := change <= p.cfg.Tolerance*p.null; {
		case converged && full:
			return nil
		case converged:
			active = nil // look at all once more
		default:
			active = slices.DeleteFunc(slices.Clone(kept), func(j int) bool { return p.w[j] == 0 })
		}
	}
	return fmt.Errorf("10,000 sweeps of coordinate descent: %w; end the path at a larger penalty (min_ratio)", vectors.ErrNotConverged)
}

// move adds step times a column (nil: ones) to the scores.
func (p *elastic) move(step float64, column []float64) {
	if column == nil {
		for i, c := range p.weight {
			p.eta[i] += step
			p.rest[i] -= step * c
		}
		return
	}
	for i, v := range column {
		p.eta[i] += step * v
		p.rest[i] -= step * v * p.weight[i]
	}
}

// soft is the soft threshold: v moved towards 0 by edge.
func soft(v, edge float64) float64 {
	switch {
	case v > edge:
		return v - edge
	case v < -edge:
		return v + edge
	}
	return 0
}
