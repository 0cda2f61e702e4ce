package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// NNLSJacobian is the derivative [r, d] of u with respect to its row of a at a solution u [r] of NNLS, by implicit
// differentiation of the optimality conditions (CRAFT, Fel et al., arXiv:2211.10154, section 3.3): on the support S,
// u_S = (W_S W_S')^-1 W_S a, and the other entries do not move. Since u is linear in a on a support, J a = u. At the edge of a
// support, where an entry is 0 and would move, there is no derivative; the side of 0 is returned.
func NNLSJacobian(u []float64, w *mat.Dense) (*mat.Dense, error) {
	r, d, err := checkRows("concepts", w)
	if err != nil {
		return nil, err
	}
	if len(u) != r {
		return nil, fmt.Errorf("vectors: NNLS: %d values for %d concepts: %w", len(u), r, ErrShape)
	}
	out := mat.NewDense(r, d, nil)
	active := make([]bool, r)
	for k, v := range u {
		active[k] = v > 0
	}
	places := supportOf(active)
	if len(places) == 0 {
		return out, nil
	}
	var c mat.Cholesky
	if !c.Factorize(submatrix(product(w, w.T()), places)) {
		return nil, fmt.Errorf("vectors: NNLS: concepts of a row depend on each other: %w; extract fewer", ErrSingular)
	}
	rows := mat.NewDense(len(places), d, nil)
	for i, p := range places {
		rows.SetRow(i, w.RawRowView(p))
	}
	var solved mat.Dense
	_ = c.SolveTo(&solved, rows) // its error is a condition number; Factorize has judged it
	for i, p := range places {
		out.SetRow(p, solved.RawRowView(i))
	}
	return out, nil
}
