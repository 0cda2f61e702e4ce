package vectors

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// The reasons for which inputs are refused; every error of this package wraps one of them or a context's error.
var (
	ErrShape        = errors.New("shapes do not agree")
	ErrNotFinite    = errors.New("value is not finite")
	ErrClasses      = errors.New("labels do not give the classes that are needed")
	ErrSingular     = errors.New("covariance is singular")
	ErrArgument     = errors.New("argument out of range")
	ErrNotConverged = errors.New("optimiser did not converge")
)

// checkRows returns the shape of a matrix of activations, or what is wrong with it.
func checkRows(what string, x *mat.Dense) (n, d int, err error) {
	if x == nil || x.IsEmpty() {
		return 0, 0, fmt.Errorf("vectors: %s is empty: %w; give at least one row and one column", what, ErrShape)
	}
	n, d = x.Dims()
	for i := range n {
		row := x.RawRowView(i)
		if sum := floats.Sum(row); sum-sum == 0 { // a NaN or Inf in the row would be in its sum
			continue
		}
		for j, v := range row {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return 0, 0, fmt.Errorf("vectors: %s[%d, %d] is %v: %w; drop the row or find what made it", what, i, j, v, ErrNotFinite)
			}
		}
	}
	return n, d, nil
}

// checkVector fails unless v is finite, not zero, and has d entries (any number if d is 0).
func checkVector(what string, v []float64, d int) error {
	if len(v) == 0 || d > 0 && len(v) != d {
		return fmt.Errorf("vectors: %s has %d entries and needs %d: %w; is it of another model or layer?", what, len(v), d, ErrShape)
	}
	largest := 0.0
	for i, e := range v {
		if math.IsNaN(e) || math.IsInf(e, 0) {
			return fmt.Errorf("vectors: %s[%d] is %v: %w", what, i, e, ErrNotFinite)
		}
		largest = max(largest, math.Abs(e))
	}
	if largest == 0 {
		return fmt.Errorf("vectors: %s is zero: %w; it has no direction", what, ErrArgument)
	}
	return nil
}

// checkLabels returns the number of rows of each of the classes 0..k-1; k = 0 stands for the largest label plus one. Every
// class needs least rows.
func checkLabels(n int, y []int, k, least int) ([]int, error) {
	if len(y) != n {
		return nil, fmt.Errorf("vectors: %d labels for %d rows: %w", len(y), n, ErrShape)
	}
	if k == 0 {
		for _, c := range y {
			k = max(k, c+1)
		}
	}
	if k < 2 || k > n {
		return nil, fmt.Errorf("vectors: %d classes in %d rows: %w; give rows of two classes or more", k, n, ErrClasses)
	}
	counts := make([]int, k)
	for i, c := range y {
		if c < 0 || c >= k {
			return nil, fmt.Errorf("vectors: label %d of row %d is not among 0..%d: %w", c, i, k-1, ErrClasses)
		}
		counts[c]++
	}
	for c, m := range counts {
		if m < least {
			return nil, fmt.Errorf("vectors: class %d has %d rows and needs %d: %w", c, m, least, ErrClasses)
		}
	}
	return counts, nil
}

// checkBinary checks activations with labels 0 and 1, both present.
func checkBinary(x *mat.Dense, y []int) (n, d int, counts []int, err error) {
	return checkClasses(x, y, 2, 1)
}

// checkClasses checks activations with labels 0..k-1 (k = 0: the largest label plus one), least rows a class.
func checkClasses(x *mat.Dense, y []int, k, least int) (n, d int, counts []int, err error) {
	n, d, err = checkRows("x", x)
	if err != nil {
		return 0, 0, nil, err
	}
	counts, err = checkLabels(n, y, k, least)
	return n, d, counts, err
}
