package probe

import (
	"fmt"

	"loupe/vectors"
)

// MassMeanConfig says how mass-mean probes are fitted.
type MassMeanConfig struct {
	Covariance bool `json:"covariance" doc:"divide by the covariance within classes"`
	Shrinkage  bool `json:"shrinkage" doc:"shrink that covariance, for few rows against dimensions"`
}

// DefaultMassMean divides by the shrunk covariance.
func DefaultMassMean() MassMeanConfig { return MassMeanConfig{Covariance: true, Shrinkage: true} }

// MassMean is the mass-mean probe of a concept (Marks and Tegmark, arXiv:2310.06824): see vectors.MassMean and
// vectors.MassMeanCov.
func MassMean(x Rows, t Target, cfg MassMeanConfig) (Linear, error) {
	rows, err := classRows(x, t, 1)
	if err != nil {
		return Linear{}, fmt.Errorf("probe: mass-mean: %w", err)
	}
	if t.Task != Binary {
		return Linear{}, fmt.Errorf("probe: mass-mean: target %s is %s: %w; it needs a binary one", t.Name, t.Task, vectors.ErrArgument)
	}
	m, class := x.Take(rows).Dense(), t.Take(rows).Class
	var l vectors.Linear
	if cfg.Covariance {
		l, err = vectors.MassMeanCov(m, class, vectors.CovarianceOptions{Shrinkage: cfg.Shrinkage})
	} else {
		l, err = vectors.MassMean(m, class)
	}
	if err != nil {
		return Linear{}, fmt.Errorf("probe: mass-mean of %s: %w", t.Name, err)
	}
	return Linear{D: x.D, Weights: l.Weights, Bias: []float64{l.Bias}}, nil
}
