package vectors

import (
	"context"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// AboutMean extracts from activations with their mean taken away, so that a concept is a departure from the mean and a row
// without concepts is the mean: where a residual stream has a mean larger than its spread, concepts would all be near it.
type AboutMean struct{ Extractor Extractor }

// Name is the extractor's.
func (x AboutMean) Name() string { return x.Extractor.Name() }

// Extract is Extractor's.
func (x AboutMean) Extract(ctx context.Context, a *mat.Dense, r int, seed uint64) (*Concepts, error) {
	if _, _, err := checkExtract(x.Name(), a, r); err != nil {
		return nil, err
	}
	mean := columnMeans(a)
	c, err := x.Extractor.Extract(ctx, centred(a, mean), r, seed)
	if err != nil {
		return nil, err
	}
	out := &Concepts{Method: c.Method, W: c.W, Centre: append([]float64(nil), c.Centre...), U: c.U, jacobian: c.jacobian}
	floats.Add(out.Centre, mean)
	out.encode = func(ctx context.Context, a *mat.Dense) (*mat.Dense, error) { return c.encode(ctx, centred(a, mean)) }
	return out, nil
}
