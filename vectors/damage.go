package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Change is how far activations moved.
type Change struct {
	Squared float64 `json:"squared"` // mean squared distance
	Share   float64 `json:"share"`   // of the variance of the rows before: Squared over the mean squared distance from their mean
	Norm    float64 `json:"norm"`    // mean of the norm after over the norm before
	Cosine  float64 `json:"cosine"`  // mean cosine of before and after; 0 for a row that became 0
}

// MeasureChange compares rows x [n, d], none of them 0, with what became of them. What it costs in accuracy on other tasks is
// for probes to say.
func MeasureChange(x, after *mat.Dense) (Change, error) {
	n, _, err := checkDirections(x)
	if err != nil {
		return Change{}, fmt.Errorf("change of rows: %w", err)
	}
	squared, err := Damage(x, after)
	if err != nil {
		return Change{}, err
	}
	c, spread, mean := Change{Squared: squared}, 0.0, columnMeans(x)
	for i := range n {
		a, b := x.RawRowView(i), after.RawRowView(i)
		from := floats.Distance(a, mean, 2)
		spread += from * from / float64(n)
		old, now := floats.Norm(a, 2), floats.Norm(b, 2)
		c.Norm += now / old / float64(n)
		if now > 0 {
			c.Cosine += floats.Dot(a, b) / (old * now) / float64(n)
		}
	}
	if spread == 0 {
		return Change{}, fmt.Errorf("vectors: change of rows that are all equal: %w", ErrSingular)
	}
	c.Share = squared / spread
	return c, nil
}

// Damage is the mean squared distance between the rows of x and of what became of them, both [n, d].
func Damage(x, erased *mat.Dense) (float64, error) {
	n, d, err := checkRows("x", x)
	if err != nil {
		return 0, err
	}
	if m, w, err := checkRows("erased", erased); err != nil || m != n || w != d {
		return 0, fmt.Errorf("vectors: damage between [%d, %d] and [%d, %d]: %w", n, d, m, w, ErrShape)
	}
	total := 0.0
	for i := range n {
		gap := floats.Distance(x.RawRowView(i), erased.RawRowView(i), 2)
		total += gap * gap
	}
	return total / float64(n), nil
}
