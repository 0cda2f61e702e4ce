package vectors

import (
	"errors"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// TestChangeHand: (3, 4) becomes (3, 0) and (0, 2) becomes 0; their mean is (1.5, 3), from which they are 3.25 away, squared.
func TestChangeHand(t *testing.T) {
	c := ok(MeasureChange(rows([]float64{3, 4}, []float64{0, 2}), rows([]float64{3, 0}, []float64{0, 0})))(t)
	closeTo(t, "change", []float64{c.Squared, c.Share, c.Norm, c.Cosine}, []float64{10, 10 / 3.25, 0.3, 0.3}, 1e-14)
	x := normalRows(1, 20, 4)
	c = ok(MeasureChange(x, x))(t)
	closeTo(t, "nothing", []float64{c.Squared, c.Share, c.Norm, c.Cosine}, []float64{0, 0, 1, 1}, 1e-14)
	if _, err := MeasureChange(mat.NewDense(2, 2, []float64{1, 1, 0, 0}), x); !errors.Is(err, ErrArgument) {
		t.Errorf("a row of zeros: %v", err)
	}
	if _, err := MeasureChange(x, normalRows(1, 20, 3)); !errors.Is(err, ErrShape) {
		t.Errorf("another width: %v", err)
	}
}
