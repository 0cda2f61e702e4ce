package vectors

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// QuadraticEraser moves each class, given its labels, to one common mean and covariance: x' = Maps[y] (x - Means[y]) + Centre.
type QuadraticEraser struct {
	Means  *mat.Dense   // [k, d]
	Maps   []*mat.Dense // k symmetric matrices [d, d]
	Centre []float64    // [d], the unweighted mean of Means
}

// QuadraticFitter gathers each class's moments.
type QuadraticFitter struct {
	Classes []*Scatter
}

// NewQuadraticFitter starts a fit for activations of width d and k classes.
func NewQuadraticFitter(d, k int) (*QuadraticFitter, error) {
	if k < 2 {
		return nil, fmt.Errorf("vectors: quadratic LEACE of %d classes: %w", k, ErrClasses)
	}
	f := &QuadraticFitter{Classes: make([]*Scatter, k)}
	for c := range f.Classes {
		s, err := NewScatter(d)
		if err != nil {
			return nil, err
		}
		f.Classes[c] = s
	}
	return f, nil
}

// Update adds rows x [n, d] with their classes.
func (f *QuadraticFitter) Update(x *mat.Dense, y []int) error {
	n, _, err := checkRows("x", x)
	if err != nil {
		return err
	}
	if len(y) != n {
		return fmt.Errorf("vectors: %d labels for %d rows: %w", len(y), n, ErrShape)
	}
	rows := make([][]int, len(f.Classes))
	for i, c := range y {
		if c < 0 || c >= len(rows) {
			return fmt.Errorf("vectors: label %d of row %d is not among 0..%d: %w", c, i, len(rows)-1, ErrClasses)
		}
		rows[c] = append(rows[c], i)
	}
	for c, of := range rows {
		if len(of) == 0 {
			continue
		}
		part, _ := selectRows(x, y, of)
		if err := f.Classes[c].Update(part); err != nil {
			return err
		}
	}
	return nil
}

// Eraser is quadratic LEACE as the concept-erasure library defines it: each class is moved by optimal transport to the Wasserstein
// barycentre of the classes' normal approximations, weighted by their frequencies, so that on the fitted rows all classes
// have one mean and one covariance and no quadratic predictor does better than a constant. Two classes have a closed
// form, more take a fixed-point iteration. Like concept-erasure it centres on the unweighted mean of class means. With
// shrinkage the covariances are Scatter.Shrunk; a class of fewer rows than dimensions needs it.
func (f *QuadraticFitter) Eraser(ctx context.Context, shrinkage bool) (*QuadraticEraser, error) {
	d := len(f.Classes[0].Mean)
	covs, weights, err := f.covariances(shrinkage)
	if err != nil {
		return nil, err
	}
	var centre *mat.SymDense
	if len(covs) == 2 {
		centre, err = midpoint(covs[0], covs[1], weights[0], weights[1])
	} else {
		centre, err = barycentre(ctx, covs, weights)
	}
	if err != nil {
		return nil, err
	}
	e := &QuadraticEraser{Means: mat.NewDense(len(covs), d, nil), Maps: make([]*mat.Dense, len(covs)), Centre: make([]float64, d)}
	for c, cov := range covs {
		e.Means.SetRow(c, f.Classes[c].Mean)
		floats.AddScaled(e.Centre, 1/float64(len(covs)), f.Classes[c].Mean)
		if e.Maps[c], err = transportMap(cov, centre); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// covariances are those of the classes with their frequencies.
func (f *QuadraticFitter) covariances(shrinkage bool) ([]*mat.SymDense, []float64, error) {
	covs, weights := make([]*mat.SymDense, len(f.Classes)), make([]float64, len(f.Classes))
	for c, s := range f.Classes {
		cov, err := s.Covariance()
		if shrinkage && err == nil {
			cov, err = s.Shrunk()
		}
		if err != nil {
			return nil, nil, fmt.Errorf("quadratic LEACE, class %d: %w", c, err)
		}
		covs[c], weights[c] = cov, float64(s.Count)
	}
	floats.Scale(1/floats.Sum(weights), weights)
	return covs, weights, nil
}

// Apply returns the erased rows of x [n, d], whose classes must be known.
func (e *QuadraticEraser) Apply(x *mat.Dense, y []int) (*mat.Dense, error) {
	n, d, err := checkRows("x", x)
	if err != nil {
		return nil, err
	}
	if err := checkWidth("eraser", len(e.Centre), d); err != nil {
		return nil, err
	}
	if len(y) != n {
		return nil, fmt.Errorf("vectors: %d labels for %d rows: %w", len(y), n, ErrShape)
	}
	out := mat.NewDense(n, d, nil)
	delta := make([]float64, d)
	for i, c := range y {
		if c < 0 || c >= len(e.Maps) {
			return nil, fmt.Errorf("vectors: label %d of row %d is not among 0..%d: %w", c, i, len(e.Maps)-1, ErrClasses)
		}
		floats.SubTo(delta, x.RawRowView(i), e.Means.RawRowView(c))
		row := mat.NewVecDense(d, out.RawRowView(i))
		row.MulVec(e.Maps[c], mat.NewVecDense(d, delta))
		floats.Add(out.RawRowView(i), e.Centre)
	}
	return out, nil
}
