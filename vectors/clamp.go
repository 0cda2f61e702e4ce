package vectors

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// Side says which activations a clamp moves.
type Side string

// Sides: all of them; those whose component lies below the value; those whose component lies above it.
const (
	Both    Side = ""
	Floor   Side = "floor"
	Ceiling Side = "ceiling"
)

// Clamp sets the component of activations along a direction, and leaves all that is orthogonal to it:
//
//	x' = x + u (Value - u.x),  u = Vector / |Vector|
//
// With Floor only where u.x < Value, with Ceiling only where u.x > Value.
type Clamp struct {
	Vector []float64 // [d], of any norm but 0
	Value  float64   // in units of the activations, along the unit vector
	Side   Side
}

func (c Clamp) unit() ([]float64, error) {
	u, err := Unit(c.Vector)
	switch {
	case err != nil:
		return nil, fmt.Errorf("clamp: %w", err)
	case math.IsNaN(c.Value) || math.IsInf(c.Value, 0):
		return nil, fmt.Errorf("vectors: clamp to %v: %w", c.Value, ErrNotFinite)
	case c.Side != Both && c.Side != Floor && c.Side != Ceiling:
		return nil, fmt.Errorf("vectors: clamp side %q: %w; it is %q, %q or empty", c.Side, ErrArgument, Floor, Ceiling)
	}
	return u, nil
}

// Apply returns the clamped rows of x [n, d].
func (c Clamp) Apply(x *mat.Dense) (*mat.Dense, error) {
	n, d, err := checkRows("x", x)
	if err != nil {
		return nil, err
	}
	u, err := c.unit()
	if err != nil {
		return nil, err
	}
	if err := checkWidth("clamp", len(u), d); err != nil {
		return nil, err
	}
	out := mat.DenseCopyOf(x)
	for i := range n {
		row := out.RawRowView(i)
		gap := c.Value - floats.Dot(row, u)
		if c.Side == Both || c.Side == Floor && gap > 0 || c.Side == Ceiling && gap < 0 {
			floats.AddScaled(row, gap, u)
		}
	}
	return out, nil
}

// EditAt is Intervention's.
func (c Clamp) EditAt(spec *model.Spec, site model.Site, batch, seq int, weight []float32) (*Edit, error) {
	u, err := c.unit()
	if err != nil {
		return nil, err
	}
	e, err := Steering{Vector: u, Strength: c.Value, Ablate: true}.EditAt(spec, site, batch, seq, weight)
	if err != nil || c.Side == Both {
		return e, err
	}
	sign := 1.0
	if c.Side == Floor {
		sign = -1
	}
	probe := make([]float64, len(u))
	floats.ScaleTo(probe, sign, u)
	e.Class.Gate = model.GateStep
	e.Values["probe"], e.Values["threshold"] = vector32(probe), tensors.FromScalar(float32(sign*c.Value))
	e.Values["sharpness"] = tensors.FromScalar(float32(0)) // a step has none, but a generation wants every tensor
	return e, nil
}
