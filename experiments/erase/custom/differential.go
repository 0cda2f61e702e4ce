package custom

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// Differential is what removing a concept's words from texts changes in each layer.
type Differential struct {
	Shift  [][]float64  // [layers][n]: |h_l(p) - h_l(p less the concept)| / |h_l(p)|
	Offset []*mat.Dense // [layers], each [n, d]: h_l(p) - h_l(p less the concept)
}

// ProbeDifferences compares texts with the same texts less a concept's words, by one row a text [n, d] at each layer: differential
// probing with layers in place of a denoiser's times (ConceptWeaver). Shifts are relative, because residual streams grow with depth.
func ProbeDifferences(with, without []*mat.Dense) (*Differential, error) {
	if len(with) == 0 || len(without) != len(with) {
		return nil, fmt.Errorf("custom: %d layers with the concept, %d without: %w; give the same layers of both", len(with), len(without), vectors.ErrShape)
	}
	out := &Differential{}
	texts, _ := with[0].Dims()
	for l := range with {
		n, d, err := checkMatrix(fmt.Sprintf("layer %d with the concept", l), with[l], 0)
		if err != nil {
			return nil, err
		}
		m, _, err := checkMatrix(fmt.Sprintf("layer %d without the concept", l), without[l], d)
		if err != nil {
			return nil, err
		}
		if n != texts || m != texts {
			return nil, fmt.Errorf("custom: layer %d has %d and %d texts, the first %d: %w", l, n, m, texts, vectors.ErrShape)
		}
		offset, shift := mat.NewDense(n, d, nil), make([]float64, n)
		offset.Sub(with[l], without[l])
		for i := range shift {
			shift[i] = floats.Norm(offset.RawRowView(i), 2) / floats.Norm(with[l].RawRowView(i), 2)
		}
		out.Shift, out.Offset = append(out.Shift, shift), append(out.Offset, offset)
	}
	return out, nil
}

// Above is, for each layer and text, the shift of d less that of control, which removes other words of the same texts [layers][n].
func (d *Differential) Above(control *Differential) ([][]float64, error) {
	if len(control.Shift) != len(d.Shift) || len(control.Shift[0]) != len(d.Shift[0]) {
		return nil, fmt.Errorf("custom: %d layers of %d texts and %d of %d in the control: %w", len(d.Shift), len(d.Shift[0]), len(control.Shift), len(control.Shift[0]), vectors.ErrShape)
	}
	out := make([][]float64, len(d.Shift))
	for l, s := range d.Shift {
		out[l] = floats.SubTo(make([]float64, len(s)), s, control.Shift[l])
	}
	return out, nil
}

// Peak is the layer of the largest mean of values [layers][n], the first of equal ones.
func Peak(values [][]float64) int {
	sums := make([]float64, len(values))
	for l, v := range values {
		sums[l] = floats.Sum(v)
	}
	return floats.MaxIdx(sums)
}

// Steering is the mean offset [d] of the given texts at a layer: the vector that puts the concept into a text that lacks it.
func (d *Differential) Steering(layer int, texts []int) ([]float64, error) {
	if layer < 0 || layer >= len(d.Offset) || len(texts) == 0 {
		return nil, fmt.Errorf("custom: layer %d of %d, %d texts: %w", layer, len(d.Offset), len(texts), vectors.ErrArgument)
	}
	n, width := d.Offset[layer].Dims()
	out := make([]float64, width)
	for _, i := range texts {
		if i < 0 || i >= n {
			return nil, fmt.Errorf("custom: text %d of %d: %w", i, n, vectors.ErrArgument)
		}
		floats.AddScaled(out, 1/float64(len(texts)), d.Offset[layer].RawRowView(i))
	}
	return out, nil
}
