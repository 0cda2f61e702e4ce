package vectors

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// LEACEConfig says which linear erasure is computed.
type LEACEConfig struct {
	// Affine leaves the mean of x in place; without it the map is linear and moves the mean.
	Affine bool `json:"affine" yaml:"affine"`
	// Shrinkage regularises the covariance of x (Scatter.Shrunk): erasure stays exact, damage is no longer least.
	Shrinkage bool `json:"shrinkage" yaml:"shrinkage"`
	// Orthogonal skips the whitening: an orthogonal projection away from the columns of the cross-covariance.
	Orthogonal bool `json:"orthogonal" yaml:"orthogonal"`
	// AbsoluteTolerance drops singular values of the whitened cross-covariance at or below it. Those depend on the scale
	// of z, so that a large one keeps weak concepts in silence: concept-erasure's default of 0.01 keeps a concept that
	// explains 1 % of a standard deviation.
	AbsoluteTolerance float64 `json:"absolute_tolerance" yaml:"absolute_tolerance"`
	// RelativeTolerance drops singular values at or below this share of the largest: rounding, and the null direction of
	// one-hot columns.
	RelativeTolerance float64 `json:"relative_tolerance" yaml:"relative_tolerance"`
}

// DefaultLEACE is the method of the paper: affine, the sample covariance, every direction above rounding.
func DefaultLEACE() LEACEConfig { return LEACEConfig{Affine: true, RelativeTolerance: 1e-9} }

// Validate names the field that is out of range.
func (c LEACEConfig) Validate() error {
	if !(c.AbsoluteTolerance >= 0) || !(c.RelativeTolerance >= 0 && c.RelativeTolerance < 1) {
		return fmt.Errorf("vectors: LEACE: absolute_tolerance %v, relative_tolerance %v: %w; they are 0 or more, the relative one below 1", c.AbsoluteTolerance, c.RelativeTolerance, ErrArgument)
	}
	return nil
}

// LEACEFit is an erasure with what decided its rank.
type LEACEFit struct {
	*Eraser
	// Singular are the singular values of the whitened cross-covariance W Sxz, descending; the first Rank are erased.
	Singular []float64
}

// LEACE is least-squares concept erasure (arXiv:2306.03819): of all affine maps after which no linear predictor
// of z beats a constant, the one that moves x least. With W the pseudo-inverse square root of the covariance of x and U
// the left singular vectors of W Sxz,
//
//	x' = x - W+ U U' W (x - mean)
//
// On the rows of the moments the cross-covariance of x' and z is 0. Least damage holds for DefaultLEACE only.
// Eigenvalues of the covariance at or below max*d*eps count as 0, so that fewer rows than dimensions are allowed. Where the
// covariance is well conditioned W is its inverse Cholesky factor instead, which gives the same map for less work.
// concept-erasure's constrain_cov_trace is left out: tr(P S P') = tr S - |W+ U|² never rises.
func LEACE(m *Moments, cfg LEACEConfig) (*LEACEFit, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cross, err := m.CrossCovariance()
	if err != nil {
		return nil, err
	}
	var w whitening = plain{}
	if !cfg.Orthogonal {
		if w, err = m.whitening(cfg.Shrinkage); err != nil {
			return nil, err
		}
	}
	cross = w.whiten(cross)
	u, singular, err := leftSingular(cross)
	if err != nil {
		return nil, err
	}
	least := max(cfg.AbsoluteTolerance, cfg.RelativeTolerance*floats.Max(singular))
	rank := 0
	for rank < len(singular) && singular[rank] > least {
		rank++
	}
	bias := make([]float64, len(m.X.Mean))
	if cfg.Affine {
		copy(bias, m.X.Mean)
	}
	fit := &LEACEFit{Eraser: newEraser(nil, nil, bias), Singular: singular}
	if rank == 0 {
		return fit, nil
	}
	kept := mat.DenseCopyOf(u.Slice(0, len(bias), 0, rank))
	fit.Eraser = newEraser(w.restore(kept), mat.DenseCopyOf(w.whitenRows(kept).T()), bias)
	return fit, nil
}

// leftSingular returns the left singular vectors [d, min(d, k)] of a [d, k] matrix and its singular values, descending.
func leftSingular(a *mat.Dense) (*mat.Dense, []float64, error) {
	var svd mat.SVD
	if !svd.Factorize(a, mat.SVDThinU) {
		d, k := a.Dims()
		return nil, nil, fmt.Errorf("vectors: singular value decomposition of a %d x %d cross-covariance: %w", d, k, ErrNotConverged)
	}
	var u mat.Dense
	svd.UTo(&u)
	values := svd.Values(nil)
	for i, v := range values {
		if math.IsNaN(v) {
			return nil, nil, fmt.Errorf("vectors: singular value %d of a cross-covariance: %w", i, ErrNotFinite)
		}
	}
	return &u, values, nil
}

// FitLEACE is LEACE of rows x [n, d] and concept columns z [n, k].
func FitLEACE(x, z *mat.Dense, cfg LEACEConfig) (*LEACEFit, error) {
	m, err := jointMoments(x, z)
	if err != nil {
		return nil, err
	}
	return LEACE(m, cfg)
}

func jointMoments(x, z *mat.Dense) (*Moments, error) {
	_, d, err := checkRows("x", x)
	if err != nil {
		return nil, err
	}
	_, k, err := checkRows("z", z)
	if err != nil {
		return nil, err
	}
	m, err := NewMoments(d, k)
	if err != nil {
		return nil, err
	}
	return m, m.Update(x, z)
}
