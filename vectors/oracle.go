package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// OracleEraser removes from x what z predicts of it, for data whose concept columns are known: x' = x - Coef (z - MeanZ).
type OracleEraser struct {
	Coef  *mat.Dense // [d, k]
	MeanZ []float64  // [k]
}

// OracleLEACE is oracle concept erasure (arXiv:2306.03819): the residual of the least-squares regression of x on z, with
// Coef = Sxz Szz+. It moves x less than any map that does not see z. Singular values of Szz at or below tolerance count as
// 0; concept-erasure takes 0.01, which ignores columns of less variance.
func OracleLEACE(m *Moments, tolerance float64) (*OracleEraser, error) {
	if !(tolerance >= 0) {
		return nil, fmt.Errorf("vectors: oracle LEACE: tolerance %v: %w; it is 0 or more", tolerance, ErrArgument)
	}
	cross, err := m.CrossCovariance()
	if err != nil {
		return nil, err
	}
	cov, err := m.Z.Covariance()
	if err != nil {
		return nil, err
	}
	e, err := eigen(cov)
	if err != nil {
		return nil, err
	}
	least := max(tolerance, e.cutoff())
	inverse := e.apply(func(l float64) float64 {
		if l <= least {
			return 0
		}
		return 1 / l
	})
	var coef mat.Dense
	coef.Mul(cross, inverse)
	return &OracleEraser{Coef: &coef, MeanZ: append([]float64(nil), m.Z.Mean...)}, nil
}

// Apply returns the erased rows of x [n, d] with concept columns z [n, k].
func (e *OracleEraser) Apply(x, z *mat.Dense) (*mat.Dense, error) {
	n, d, err := checkRows("x", x)
	if err != nil {
		return nil, err
	}
	nz, k, err := checkRows("z", z)
	if err != nil {
		return nil, err
	}
	if rows, columns := e.Coef.Dims(); rows != d || columns != k || nz != n {
		return nil, fmt.Errorf("vectors: x [%d, %d] and z [%d, %d] for an oracle eraser [%d, %d]: %w", n, d, nz, k, rows, columns, ErrShape)
	}
	var expected, out mat.Dense
	expected.Mul(centred(z, e.MeanZ), e.Coef.T())
	out.Sub(x, &expected)
	return &out, nil
}
