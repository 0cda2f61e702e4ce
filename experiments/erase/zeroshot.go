package erase

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// ZeroShot classifies embeddings by the nearest prototype.
type ZeroShot struct {
	Prototypes *mat.Dense // unit rows [k, d]
}

// NewZeroShot makes each class's prototype from the original encoder's embeddings of its name in several templates [templates, d]:
// the unit vector along the mean of their unit vectors. Use other templates than for the texts to classify.
func NewZeroShot(classes []*mat.Dense) (*ZeroShot, error) {
	if len(classes) < 2 {
		return nil, fmt.Errorf("erase: prototypes of %d classes: %w; give two or more", len(classes), vectors.ErrShape)
	}
	_, d, err := checkRows("class 0", classes[0], 0)
	if err != nil {
		return nil, err
	}
	z := &ZeroShot{Prototypes: mat.NewDense(len(classes), d, nil)}
	for k, x := range classes {
		unit, err := unitRows(fmt.Sprintf("class %d", k), x, d)
		if err != nil {
			return nil, err
		}
		n, _ := unit.Dims()
		row := z.Prototypes.RawRowView(k)
		for i := range n {
			floats.Add(row, unit.RawRowView(i))
		}
		norm := floats.Norm(row, 2)
		if norm == 0 {
			return nil, fmt.Errorf("erase: class %d: the templates' unit embeddings add up to 0: %w", k, vectors.ErrArgument)
		}
		floats.Scale(1/norm, row)
	}
	return z, nil
}

// Similarity returns the cosines [n, k] of embeddings x [n, d] with the prototypes.
func (z *ZeroShot) Similarity(x *mat.Dense) (*mat.Dense, error) {
	_, d := z.Prototypes.Dims()
	unit, err := unitRows("embeddings", x, d)
	if err != nil {
		return nil, err
	}
	return times(unit, z.Prototypes), nil
}

// Predict returns the class of largest cosine for each row of x [n, d]; of equal ones the first.
func (z *ZeroShot) Predict(x *mat.Dense) ([]int, error) {
	s, err := z.Similarity(x)
	if err != nil {
		return nil, err
	}
	n, _ := s.Dims()
	out := make([]int, n)
	for i := range out {
		out[i] = floats.MaxIdx(s.RawRowView(i))
	}
	return out, nil
}

// unitRows are the rows of x scaled to norm 1; a zero row is an error.
func unitRows(what string, x *mat.Dense, d int) (*mat.Dense, error) {
	n, _, err := checkRows(what, x, d)
	if err != nil {
		return nil, err
	}
	out := mat.DenseCopyOf(x)
	for i := range n {
		row := out.RawRowView(i)
		norm := floats.Norm(row, 2)
		if norm == 0 {
			return nil, fmt.Errorf("erase: %s, row %d is zero: %w; it has no cosine", what, i, vectors.ErrArgument)
		}
		floats.Scale(1/norm, row)
	}
	return out, nil
}

// CLIPScore is 2.5 max(cos(a, b), 0), of a text with a fixed image or prototype vector.
func CLIPScore(a, b []float64) (float64, error) {
	if err := checkVector("text", a, len(b)); err != nil {
		return 0, err
	}
	if err := checkVector("vector to compare with", b, len(a)); err != nil {
		return 0, err
	}
	return 2.5 * max(cosineOf(a, b), 0), nil
}
