package custom

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// checkMatrix returns the shape of a matrix of finite values without zero rows; d > 0 is the width that it needs.
func checkMatrix(what string, x *mat.Dense, d int) (n, width int, err error) {
	if x == nil || x.IsEmpty() {
		return 0, 0, fmt.Errorf("custom: %s: no rows: %w; give at least one", what, vectors.ErrShape)
	}
	n, width = x.Dims()
	if d > 0 && width != d {
		return 0, 0, fmt.Errorf("custom: %s has width %d and needs %d: %w; is it of another encoder?", what, width, d, vectors.ErrShape)
	}
	for i := range n {
		switch norm := floats.Norm(x.RawRowView(i), 2); {
		case math.IsNaN(norm) || math.IsInf(norm, 0):
			return 0, 0, fmt.Errorf("custom: %s, row %d: %w; find what made it", what, i, vectors.ErrNotFinite)
		case norm == 0:
			return 0, 0, fmt.Errorf("custom: %s, row %d is zero: %w; it has no cosine", what, i, vectors.ErrArgument)
		}
	}
	return n, width, nil
}

// unitRows are the rows of x scaled to norm 1, with the norms that they had.
func unitRows(x *mat.Dense) (*mat.Dense, []float64) {
	n, _ := x.Dims()
	out, norms := mat.DenseCopyOf(x), make([]float64, n)
	for i := range n {
		norms[i] = floats.Norm(x.RawRowView(i), 2)
		floats.Scale(1/norms[i], out.RawRowView(i))
	}
	return out, norms
}

// throughUnit turns gradients with respect to unit rows z, in place, into those with respect to the rows of the given norms.
func throughUnit(grad, z *mat.Dense, norms []float64) {
	for i, norm := range norms {
		g, u := grad.RawRowView(i), z.RawRowView(i)
		floats.AddScaled(g, -floats.Dot(g, u), u)
		floats.Scale(1/norm, g)
	}
}
