package vectors

import "gonum.org/v1/gonum/mat"

// LDA is Fisher's linear discriminant for two classes, as scikit-learn's "lsqr" solver defines it: weights
// S^-1 (mean1 - mean0) with S the covariance within classes over n (maximum likelihood), and log(n1/n0) in the bias. With
// shrinkage, S is Scatter.Shrunk.
func LDA(x *mat.Dense, y []int, shrinkage bool) (Linear, error) {
	return discriminant("LDA", x, y, CovarianceOptions{Prior: true, Shrinkage: shrinkage}, 0)
}
