package vectors

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// MassMean is the mass-mean probe (arXiv:2310.06824): weights mean1 - mean0, and the boundary midway between the means.
func MassMean(x *mat.Dense, y []int) (Linear, error) {
	_, d, counts, err := checkBinary(x, y)
	if err != nil {
		return Linear{}, err
	}
	means := classMeans(x, y, counts)
	w := floats.SubTo(make([]float64, d), means.RawRowView(1), means.RawRowView(0))
	return midway(w, means), nil
}

// CovarianceOptions say how a probe inverts the covariance within classes.
type CovarianceOptions struct {
	// Prior adds log(n1/n0) to the bias: the class frequencies of the training rows.
	Prior bool
	// Shrinkage regularises the covariance (see Scatter.Shrunk). Without it a singular covariance is an error.
	Shrinkage bool
}

// MassMeanCov is the mass-mean probe for independent and identically distributed data (arXiv:2310.06824):
// weights S^-1 (mean1 - mean0) with S the covariance within classes over n-2.
func MassMeanCov(x *mat.Dense, y []int, opt CovarianceOptions) (Linear, error) {
	return discriminant("mass-mean", x, y, opt, 2)
}

// discriminant is S^-1 (mean1 - mean0) with S the scatter within classes over n - lost.
func discriminant(what string, x *mat.Dense, y []int, opt CovarianceOptions, lost int) (Linear, error) {
	_, d, counts, err := checkBinary(x, y)
	if err != nil {
		return Linear{}, err
	}
	means := classMeans(x, y, counts)
	within := withinScatter(x, y, counts, means)
	var cov *mat.SymDense
	if opt.Shrinkage {
		cov, err = within.Shrunk()
	} else {
		cov, err = within.per(within.Count - lost)
	}
	if err != nil {
		return Linear{}, err
	}
	w := floats.SubTo(make([]float64, d), means.RawRowView(1), means.RawRowView(0))
	w, err = solvePositive(what+": covariance within classes", cov, w)
	if err != nil {
		return Linear{}, err
	}
	l := midway(w, means)
	if opt.Prior {
		l.Bias += math.Log(float64(counts[1]) / float64(counts[0]))
	}
	return l, nil
}

// midway puts the boundary of weights w midway between the two means.
func midway(w []float64, means *mat.Dense) Linear {
	return Linear{Weights: w, Bias: -(floats.Dot(w, means.RawRowView(0)) + floats.Dot(w, means.RawRowView(1))) / 2}
}
