package bottleneck

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// checkMatrix returns the shape of a matrix that must have width columns (0: any) and be finite.
func checkMatrix(what string, x *mat.Dense, width int) (rows, columns int, err error) {
	if x == nil || x.IsEmpty() {
		return 0, 0, fmt.Errorf("bottleneck: %s is empty: %w; give at least one row and one column", what, vectors.ErrShape)
	}
	rows, columns = x.Dims()
	if width > 0 && columns != width {
		return 0, 0, fmt.Errorf("bottleneck: %s has width %d and needs %d: %w; is it of another encoder or concept set?", what, columns, width, vectors.ErrShape)
	}
	for i := range rows {
		for j, v := range x.RawRowView(i) {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return 0, 0, fmt.Errorf("bottleneck: %s[%d, %d] is %v: %w; drop the row or find what made it", what, i, j, v, vectors.ErrNotFinite)
			}
		}
	}
	return rows, columns, nil
}

// checkLabels fails unless y has n labels among 0..k-1, every class with a row.
func checkLabels(n int, y []int, k int) error {
	if len(y) != n {
		return fmt.Errorf("bottleneck: %d labels for %d rows: %w", len(y), n, vectors.ErrShape)
	}
	if k < 2 {
		return fmt.Errorf("bottleneck: %d classes: %w; a head needs two or more", k, vectors.ErrClasses)
	}
	counts := make([]int, k)
	for i, c := range y {
		if c < 0 || c >= k {
			return fmt.Errorf("bottleneck: label %d of row %d is not among 0..%d: %w", c, i, k-1, vectors.ErrClasses)
		}
		counts[c]++
	}
	for c, m := range counts {
		if m == 0 {
			return fmt.Errorf("bottleneck: class %d has no row: %w", c, vectors.ErrClasses)
		}
	}
	return nil
}

func argument(format string, args ...any) error {
	return fmt.Errorf("bottleneck: "+format+": %w", append(args, vectors.ErrArgument)...)
}
