package sae

import (
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"loupe/internal/graphtest"
)

// runArchetypal compares the projections and the dictionary of RA-SAE.
func (c *goldenCase) runArchetypal(t *testing.T) {
	shape := c.Tensors["points"].Shape
	points, d := shape[0], shape[1]
	a := archetypes{
		points: points, delta: c.Config.Delta, weight: c.f64(t, "W_raw"), relax: c.f64(t, "Relax_raw"),
		multiplier: c.number(t, "multiplier"),
	}
	a.project(d)
	c.equalVector(t, "W_projected", a.weight)
	c.equalVector(t, "Relax_projected", a.relax)
	dict := a.dictionary(c.f64(t, "points"), d)
	c.equalVector(t, "dictionary", dict)
	codes := c.f64(t, "codes")
	f := len(dict) / d
	recon := make([]float64, len(codes)/f*d)
	for r := range len(codes) / f {
		for i, v := range codes[r*f : (r+1)*f] {
			for j, w := range dict[i*d : (i+1)*d] {
				recon[r*d+j] += v * w
			}
		}
	}
	c.equalVector(t, "recon", recon)
	var sumError, longest float64
	for i := range f {
		var sum float64
		for _, v := range a.weight[i*points : (i+1)*points] {
			sum += v
		}
		sumError = max(sumError, math.Abs(sum-1))
		row := a.relax[i*d : (i+1)*d]
		longest = max(longest, math.Sqrt(dot64(row, row)))
	}
	near(t, "row_sum_max_error", sumError, c.number(t, "row_sum_max_error"), 1e-6)
	near(t, "relax_norm_max", longest, c.number(t, "relax_norm_max"), 1e-12)
}

// runKernels compares JumpReLU's kernels.
func (c *goldenCase) runKernels(t *testing.T) {
	b := graphtest.Backend(t)
	x := c.f64(t, "u")
	exec, err := NewExec(b, func(x *Node) []*Node {
		var out []*Node
		for _, name := range jumpKernels {
			out = append(out, jumpKernelGraph(name, x, c.Config.Bandwidth))
		}
		return out
	})
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	got, err := exec.Call(x)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range jumpKernels {
		c.equalVector(t, name, got[i].Value().([]float64))
	}
}
