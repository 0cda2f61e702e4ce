package vectors

import (
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
)

// Intervention is a change of the activations of one site, on the host or inside a model: Steering, Clamp, Gated.
type Intervention interface {
	// Apply returns the changed rows of x [n, d].
	Apply(x *mat.Dense) (*mat.Dense, error)
	// EditAt makes the change act at a site of a model, at position i of [batch, seq] with weight[i] (row-major; nil: 1
	// everywhere). Weight 0 leaves a position alone. What is compiled depends neither on weights nor on strengths.
	EditAt(spec *model.Spec, site model.Site, batch, seq int, weight []float32) (*Edit, error)
}

// Placed is an intervention at a site. Several at one site act in their order.
type Placed struct {
	Site model.Site
	Do   Intervention
}

// Edits are the classes and run-time tensors of interventions for a pass over [batch, seq], as Plan.Edits and Inputs.Edits.
func Edits(spec *model.Spec, list []Placed, batch, seq int, weight []float32) ([]model.Edit, []map[string]*tensors.Tensor, error) {
	var classes []model.Edit
	var values []map[string]*tensors.Tensor
	for i, p := range list {
		e, err := p.Do.EditAt(spec, p.Site, batch, seq, weight)
		if err != nil {
			return nil, nil, fmt.Errorf("intervention %d: %w", i, err)
		}
		classes, values = append(classes, e.Class), append(values, e.Values)
	}
	return classes, values, nil
}

// PlaceControl makes a control vector act on the residual stream: after layer l for direction l, added with the strength times
// itself. layers limits it to some of its layers; nil is all of them.
func PlaceControl(c *ControlVector, strength float64, layers []int, keepNorm bool) ([]Placed, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if layers == nil {
		layers = c.Layers()
	}
	var out []Placed
	for _, l := range layers {
		v, err := c.Direction(l)
		if err != nil {
			return nil, err
		}
		out = append(out, Placed{model.Site{Kind: model.ResidPost, Layer: l}, Steering{Vector: v, Strength: strength, KeepNorm: keepNorm}})
	}
	return out, nil
}
