package vectors

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// ControlVector has a direction for some layers of a model: the value that is exchanged in files, added and scaled. Methods
// return new values.
type ControlVector struct {
	ModelHint  string            // the model's architecture, as in config.json's model_type
	Directions map[int][]float32 // by layer; all of one width
}

// Layers lists the layers that have a direction, ascending.
func (c *ControlVector) Layers() []int { return slices.Sorted(maps.Keys(c.Directions)) }

// Direction is the direction of a layer in float64.
func (c *ControlVector) Direction(layer int) ([]float64, error) {
	d, ok := c.Directions[layer]
	if !ok {
		return nil, fmt.Errorf("vectors: control vector has no layer %d: %w; it has %v", layer, ErrArgument, c.Layers())
	}
	out := make([]float64, len(d))
	for i, v := range d {
		out[i] = float64(v)
	}
	return out, nil
}

// Validate says what is wrong: no layer, a negative one, directions of different widths, a value that is not finite.
func (c *ControlVector) Validate() error {
	if len(c.Directions) == 0 {
		return fmt.Errorf("vectors: control vector without a layer: %w", ErrArgument)
	}
	layers := c.Layers()
	width := len(c.Directions[layers[0]])
	for _, l := range layers {
		d := c.Directions[l]
		if l < 0 || len(d) == 0 || len(d) != width {
			return fmt.Errorf("vectors: control vector: layer %d has a direction of width %d, layer %d of width %d: %w", l, len(d), layers[0], width, ErrShape)
		}
		for i, v := range d {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return fmt.Errorf("vectors: control vector: layer %d, entry %d is %v: %w", l, i, v, ErrNotFinite)
			}
		}
	}
	return nil
}

// Scale returns c with every direction times f.
func (c *ControlVector) Scale(f float64) *ControlVector {
	out := &ControlVector{ModelHint: c.ModelHint, Directions: make(map[int][]float32, len(c.Directions))}
	for l, d := range c.Directions {
		row := make([]float32, len(d))
		for i, v := range d {
			row[i] = float32(f * float64(v))
		}
		out.Directions[l] = row
	}
	return out
}

// Add returns c + f other, layer by layer; a layer that only one has counts as zero in the other. The two must be of one
// model and width.
func (c *ControlVector) Add(f float64, other *ControlVector) (*ControlVector, error) {
	if c.ModelHint != other.ModelHint {
		return nil, fmt.Errorf("vectors: control vectors of models %q and %q: %w; directions of different models do not add", c.ModelHint, other.ModelHint, ErrShape)
	}
	out := c.Scale(1)
	for l, d := range other.Directions {
		row := out.Directions[l]
		if row == nil {
			row = make([]float32, len(d))
		}
		if len(row) != len(d) {
			return nil, fmt.Errorf("vectors: control vectors of widths %d and %d at layer %d: %w", len(row), len(d), l, ErrShape)
		}
		for i, v := range d {
			row[i] = float32(float64(row[i]) + f*float64(v))
		}
		out.Directions[l] = row
	}
	return out, out.Validate()
}
