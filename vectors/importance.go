package vectors

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Importance says how much each concept counts for a score (Fel et al., arXiv:2306.07304). A concept is absent where its code
// is 0. Where the score is linear in the codes, g.u + b, all but Sobol's return g_k u_k, and Sobol's the shares of the squares.
type Importance interface {
	Name() string
	// Signed tells whether importances have the sign of what the concept does to the score.
	Signed() bool
	// Attribute returns the importance of each concept at each row of codes u [n, r], [n, r].
	Attribute(ctx context.Context, f Score, u *mat.Dense, seed uint64) (*mat.Dense, error)
}

// Importances are all methods with settings that suit some 20 concepts or fewer.
func Importances() []Importance {
	return []Importance{GradientImportance{}, IntegratedImportance{Points: 16}, OcclusionImportance{}, SobolImportance{Points: 128}, ShapleyImportance{Exact: 8, Permutations: 32}}
}

// together is how many rows a score is asked for at once.
const together = 4096

// variantScores are the scores of `per` variants of each row of u [n, r], [n, per]; change turns a copy of row i into variant j.
func variantScores(ctx context.Context, what string, f Score, u *mat.Dense, per int, change func(i, j int, row []float64)) (*mat.Dense, error) {
	n, _ := u.Dims()
	out := mat.NewDense(n, per, nil)
	err := eachVariants(u, per, change, func(lo int, variants *mat.Dense) error {
		v, err := scoresOf(ctx, what, f, variants)
		if err != nil {
			return err
		}
		copy(out.RawMatrix().Data[lo:], v)
		return nil
	})
	return out, err
}

// eachVariants hands the variants of all rows to f, those of a row behind each other, in parts that begin at variant lo.
func eachVariants(u *mat.Dense, per int, change func(i, j int, row []float64), f func(lo int, variants *mat.Dense) error) error {
	n, r := u.Dims()
	for lo := 0; lo < n*per; lo += together {
		part := mat.NewDense(min(together, n*per-lo), r, nil)
		rows, _ := part.Dims()
		for v := range rows {
			i, j := (lo+v)/per, (lo+v)%per
			part.SetRow(v, u.RawRowView(i))
			change(i, j, part.RawRowView(v))
		}
		if err := f(lo, part); err != nil {
			return err
		}
	}
	return nil
}

// scoresOf are the finite values of f at the rows of u.
func scoresOf(ctx context.Context, what string, f Score, u *mat.Dense) ([]float64, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("vectors: %s: %w", what, err)
	}
	v, err := f.Values(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("vectors: %s: %w", what, err)
	}
	if n, _ := u.Dims(); len(v) != n {
		return nil, fmt.Errorf("vectors: %s: %d scores of %d rows: %w", what, len(v), n, ErrShape)
	}
	for i, e := range v {
		if math.IsNaN(e) || math.IsInf(e, 0) {
			return nil, fmt.Errorf("vectors: %s: the score of row %d is %v: %w", what, i, e, ErrNotFinite)
		}
	}
	return v, nil
}

// gradientsOf are the gradients of f at the rows of u.
func gradientsOf(ctx context.Context, what string, f Score, u *mat.Dense) (*mat.Dense, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("vectors: %s: %w", what, err)
	}
	g, err := f.Gradients(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("vectors: %s: %w", what, err)
	}
	n, r := u.Dims()
	if gn, gr, err := checkRows("gradients", g); err != nil || gn != n || gr != r {
		return nil, fmt.Errorf("vectors: %s: gradients [%d, %d] of codes [%d, %d]: %w", what, gn, gr, n, r, ErrShape)
	}
	return g, nil
}
