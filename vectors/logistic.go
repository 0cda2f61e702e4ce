package vectors

import (
	"context"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Logistic is the exact minimum of 0.5 |w|² + C sum_i log(1 + exp(-s_i (w.x_i + b))), s = +1 for class 1 and -1 for class 0;
// the intercept is not penalised. This is scikit-learn's LogisticRegression(C). Its weights are the logistic direction.
func Logistic(ctx context.Context, x *mat.Dense, y []int, c float64) (Fit, error) {
	return fitMargin(ctx, "logistic regression", x, y, c, logLoss)
}

// logLoss is log(1 + exp(-m)) with its first two derivatives.
func logLoss(m float64) (value, slope, curvature float64) {
	e := math.Exp(-math.Abs(m))
	value = math.Log1p(e) + max(0, -m)
	p := e / (1 + e) // 1/(1+exp(|m|))
	if m < 0 {
		p = 1 / (1 + e)
	}
	return value, -p, p * (1 - p)
}
