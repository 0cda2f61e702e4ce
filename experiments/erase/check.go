package erase

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

var (
	// ErrSingular says that a system has no unique solution in floating point.
	ErrSingular = errors.New("the system is singular")
	// ErrAnchor says that a concept is its own anchor, so that nothing would be erased.
	ErrAnchor = errors.New("a concept equals its anchor")
)

// checkRows returns the shape of a matrix of finite values; d > 0 is the width that it needs.
func checkRows(what string, x *mat.Dense, d int) (n, width int, err error) {
	if x == nil || x.IsEmpty() {
		return 0, 0, fmt.Errorf("erase: %s: no rows: %w; give at least one", what, vectors.ErrShape)
	}
	n, width = x.Dims()
	if d > 0 && width != d {
		return 0, 0, fmt.Errorf("erase: %s has width %d and needs %d: %w; is it of another encoder?", what, width, d, vectors.ErrShape)
	}
	for i := range n {
		if err := checkFinite(fmt.Sprintf("%s, row %d", what, i), x.RawRowView(i)); err != nil {
			return 0, 0, err
		}
	}
	return n, width, nil
}

func checkFinite(what string, v []float64) error {
	if sum := floats.Sum(v); sum-sum == 0 {
		return nil
	}
	for j, e := range v {
		if math.IsNaN(e) || math.IsInf(e, 0) {
			return fmt.Errorf("erase: %s: entry %d is %v: %w; drop the row or find what made it", what, j, e, vectors.ErrNotFinite)
		}
	}
	return nil
}

// checkVector checks finite entries, as many as d, not all of them 0.
func checkVector(what string, v []float64, d int) error {
	if len(v) != d {
		return fmt.Errorf("erase: %s has %d entries and needs %d: %w", what, len(v), d, vectors.ErrShape)
	}
	if err := checkFinite(what, v); err != nil {
		return err
	}
	if floats.Norm(v, math.Inf(1)) == 0 {
		return fmt.Errorf("erase: %s is zero: %w; it has no direction", what, vectors.ErrArgument)
	}
	return nil
}

// scale is a setting that may not be negative.
type scale struct {
	name  string
	value float64
}

// checkScales reports the first that is negative or not finite.
func checkScales(list ...scale) error {
	for _, s := range list {
		if err := checkScale(s.name, s.value); err != nil {
			return err
		}
	}
	return nil
}

// checkScale fails unless v is a finite number that is not negative.
func checkScale(name string, v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		return fmt.Errorf("erase: %s is %v: %w; use a number that is not negative", name, v, vectors.ErrArgument)
	}
	return nil
}
