package vectors

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/gemm"
)

// NNLS returns the u >= 0 [n, r] for which |a - u w| is least, row by row, for a [n, d] and independent rows w [r, d]: by the
// active-set method of Lawson and Hanson (Solving Least Squares Problems, 1974, chapter 23) on w w'.
func NNLS(ctx context.Context, a, w *mat.Dense) (*mat.Dense, error) {
	n, d, err := checkRows("a", a)
	if err != nil {
		return nil, err
	}
	r, width, err := checkRows("concepts", w)
	if err != nil {
		return nil, err
	}
	if err := checkWidth("concepts", width, d); err != nil {
		return nil, err
	}
	gram := product(w, w.T())
	with := mat.NewDense(n, r, nil)
	gemm.AddMulTrans(with.RawMatrix(), a.RawMatrix(), w.RawMatrix())
	out := mat.NewDense(n, r, nil)
	failed := make([]error, n)
	parallelRows(n, func(lo, hi int) {
		for i := lo; i < hi && ctx.Err() == nil; i++ {
			failed[i] = nnlsRow(out.RawRowView(i), gram, with.RawRowView(i))
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("vectors: NNLS: %w", err)
	}
	for i, err := range failed {
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", i, err)
		}
	}
	return out, nil
}

// nnlsRow fills u with the minimum of u' gram u / 2 - with'u over u >= 0.
func nnlsRow(u []float64, gram *mat.Dense, with []float64) error {
	r := len(u)
	clear(u)
	active := make([]bool, r)  // entries that may be above 0
	refused := make([]bool, r) // entries that rounding alone would let in, until another one moves
	slope := make([]float64, r)
	tolerance := 1e-12 * floats.Norm(with, 1)
	for range 10 * r {
		copy(slope, with)
		for k, v := range u {
			if v != 0 {
				floats.AddScaled(slope, -v, gram.RawRowView(k))
			}
		}
		next := -1
		for k, s := range slope {
			if !active[k] && !refused[k] && s > tolerance && (next < 0 || s > slope[next]) {
				next = k
			}
		}
		if next < 0 {
			return nil
		}
		active[next] = true
		z, err := onSupport(gram, with, active)
		if err != nil {
			return err
		}
		if z[next] <= 0 {
			active[next], refused[next] = false, true
			continue
		}
		clear(refused)
		for {
			step, last := 1.0, -1 // how far u can go to z, and the entry that stops it
			for k, on := range active {
				if on && z[k] <= 0 {
					if to := u[k] / (u[k] - z[k]); last < 0 || to < step {
						step, last = to, k
					}
				}
			}
			if last < 0 {
				copy(u, z)
				break
			}
			for k, on := range active {
				if on {
					u[k] += step * (z[k] - u[k])
				}
			}
			u[last] = 0
			for k, on := range active {
				if on && u[k] <= 0 {
					u[k], active[k] = 0, false
				}
			}
			if z, err = onSupport(gram, with, active); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("vectors: NNLS: %d changes of the active set: %w; are concepts nearly equal?", 10*r, ErrNotConverged)
}

// onSupport solves gram z = with on the active entries; the others are 0.
func onSupport(gram *mat.Dense, with []float64, active []bool) ([]float64, error) {
	places := supportOf(active)
	z := make([]float64, len(active))
	if len(places) == 0 {
		return z, nil
	}
	b := make([]float64, len(places))
	for i, p := range places {
		b[i] = with[p]
	}
	solved, err := solvePositive("concepts' Gram matrix", submatrix(gram, places), b)
	if err != nil {
		return nil, err
	}
	for i, p := range places {
		z[p] = solved[i]
	}
	return z, nil
}

func supportOf(active []bool) []int {
	var places []int
	for i, on := range active {
		if on {
			places = append(places, i)
		}
	}
	return places
}

func submatrix(gram *mat.Dense, places []int) *mat.SymDense {
	s := mat.NewSymDense(len(places), nil)
	for i, p := range places {
		for j := i; j < len(places); j++ {
			s.SetSym(i, j, gram.At(p, places[j]))
		}
	}
	return s
}
