package model

import (
	"math"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
)

// TestFreezeNorms: an RMS norm without bias gives the same output whatever its input's length, so the gradient of a projection of it has no
// component along the input; with the divisor frozen it is linear, and the component along the input is the projection itself.
func TestFreezeNorms(t *testing.T) {
	engine := NewEngine(graphtest.Interpreted(t), nil)
	m := tiny(t, engine, "llama-tied")
	last, out := Site{ResidPost, m.Spec.Layers - 1}, Site{Kind: LNFinalOut}
	weights := normal(3, 1, 4, m.Spec.DModel)
	in := Inputs{IDs: someIDs(1, 4, m.Spec.Vocab), Objective: map[string]*tensors.Tensor{"weights": weights}}
	var objective, component [2]float64
	for i, frozen := range []bool{false, true} {
		plan := Plan{Batch: 1, Seq: 4, Objective: SiteDot(m.Spec, out, 1, 4), GradSites: []Site{last}, Captures: []Capture{{Site: last}}, FreezeNorms: frozen}
		result := run(t, engine, m, plan, in)
		x, g := values(t, result.Site(last)), values(t, result.Grad(last))
		for j := range x {
			component[i] += float64(x[j]) * float64(g[j])
		}
		v, err := result.Objective()
		if err != nil {
			t.Fatal(err)
		}
		objective[i] = float64(v)
	}
	if objective[0] != objective[1] {
		t.Errorf("freezing changes the value from %g to %g", objective[0], objective[1])
	}
	if size := math.Abs(objective[0]); math.Abs(component[0]) > 0.01*size || math.Abs(component[1]-objective[1]) > 1e-4*size {
		t.Errorf("the gradient has %g along the input, want 0; frozen %g, want %g", component[0], component[1], objective[1])
	}
}
