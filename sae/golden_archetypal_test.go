package sae

import (
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"loupe/internal/graphtest"
)

// runArchetypal compares the projections and the dictionary of RA-SAE, or JumpReLU's kernels.
func (c *goldenCase) runArchetypal(t *testing.T) {
	if c.Kind == "jump_kernels" {
		c.runKernels(t)
		return
	}
	close := func(name string, got []float64) {
		t.Helper()
		want := c.f64(t, name)
		if len(got) != len(want) {
			t.Fatalf("%s has %d values, want %d", name, len(got), len(want))
		}
		for i, w := range want {
			if math.Abs(got[i]-w) > c.Tolerance.ATol+c.Tolerance.RTol*math.Abs(w) {
				t.Fatalf("%s[%d] is %v, want %v", name, i, got[i], w)
			}
		}
	}
	shape := c.Tensors["points"].Shape
	points, d := shape[0], shape[1]
	a := archetypes{
		points: points, delta: c.Config.Delta, weight: c.f64(t, "W_raw"), relax: c.f64(t, "Relax_raw"),
		multiplier: c.number(t, "multiplier"),
	}
	a.project(d)
	close("W_projected", a.weight)
	close("Relax_projected", a.relax)
	dict := a.dictionary(c.f64(t, "points"), d)
	close("dictionary", dict)
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
	close("recon", recon)
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
		want := c.f64(t, name)
		for j, v := range got[i].Value().([]float64) {
			if math.Abs(v-want[j]) > c.Tolerance.ATol+c.Tolerance.RTol*math.Abs(want[j]) {
				t.Errorf("%s(%v) is %v, want %v", name, x[j], v, want[j])
			}
		}
	}
}
