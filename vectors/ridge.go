package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Ridge is the minimum over w and b of |t - x w - b|² + lambda |w|² for targets t [n]; the intercept b is not penalised.
// It solves the d x d normal equations of centred rows, or the n x n dual ones when n < d. lambda = 0 is ordinary least
// squares and needs rows of full rank.
func Ridge(x *mat.Dense, t []float64, lambda float64) (Linear, error) {
	n, d, err := checkRows("x", x)
	if err != nil {
		return Linear{}, err
	}
	if len(t) != n {
		return Linear{}, fmt.Errorf("vectors: %d targets for %d rows: %w", len(t), n, ErrShape)
	}
	if _, _, err := checkRows("targets", mat.NewDense(n, 1, t)); err != nil {
		return Linear{}, err
	}
	if !(lambda >= 0) {
		return Linear{}, fmt.Errorf("vectors: ridge penalty %v: %w; it is 0 or more", lambda, ErrArgument)
	}
	mean, level := columnMeans(x), floats.Sum(t)/float64(n)
	c := centred(x, mean)
	r := mat.NewVecDense(n, nil)
	for i := range n {
		r.SetVec(i, t[i]-level)
	}
	w := mat.NewVecDense(d, nil)
	if dual := n < d && lambda > 0; dual {
		gram := mat.NewSymDense(n, nil)
		gram.SymOuterK(1, c)
		a, err := solvePositive("ridge", addDiagonal(gram, lambda), r.RawVector().Data)
		if err != nil {
			return Linear{}, err
		}
		w.MulVec(c.T(), mat.NewVecDense(n, a))
	} else {
		gram := mat.NewSymDense(d, nil)
		addGram(gram, c)
		w.MulVec(c.T(), r)
		a, err := solvePositive("ridge", addDiagonal(gram, lambda), w.RawVector().Data)
		if err != nil {
			return Linear{}, err
		}
		w = mat.NewVecDense(d, a)
	}
	weights := w.RawVector().Data
	return Linear{Weights: weights, Bias: level - floats.Dot(mean, weights)}, nil
}

// R2 is the share of the variance of targets t [n] that the scores of x [n, d] explain.
func (l Linear) R2(x *mat.Dense, t []float64) (float64, error) {
	scores, err := l.Scores(x)
	if err != nil {
		return 0, err
	}
	if len(t) != len(scores) {
		return 0, fmt.Errorf("vectors: %d targets for %d rows: %w", len(t), len(scores), ErrShape)
	}
	level := floats.Sum(t) / float64(len(t))
	left, total := 0.0, 0.0
	for i, s := range scores {
		left += (t[i] - s) * (t[i] - s)
		total += (t[i] - level) * (t[i] - level)
	}
	if total == 0 {
		return 0, fmt.Errorf("vectors: R² of constant targets: %w", ErrArgument)
	}
	return 1 - left/total, nil
}

func addDiagonal(s *mat.SymDense, v float64) *mat.SymDense {
	for i := range s.SymmetricDim() {
		s.SetSym(i, i, s.At(i, i)+v)
	}
	return s
}
