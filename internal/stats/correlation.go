package stats

import (
	"fmt"
	"math"
)

// Correlation is a correlation coefficient with the p-value of no correlation.
type Correlation struct {
	R float64 `json:"r"`
	P float64 `json:"p"` // two-sided, by Student's t with N-2 degrees of freedom
	N int     `json:"n"`
}

// Pearson returns the product-moment correlation of x[n] and y[n], n >= 3. Its p-value is exact for normal data. It fails
// with ErrDegenerate when x or y is constant.
func Pearson(x, y []float64) (Correlation, error) {
	if err := checkPaired(x, y, checkFinite); err != nil {
		return Correlation{}, err
	}
	return productMoment(x, y)
}

// Spearman returns the rank correlation of x[n] and y[n], n >= 3: Pearson's coefficient of the average ranks, which is
// right with ties where the formula of squared rank differences is not. Below n = 10 or with heavy ties prefer the p-value
// of PermutePairing.
func Spearman(x, y []float64) (Correlation, error) {
	if err := checkPaired(x, y, checkOrdered); err != nil {
		return Correlation{}, err
	}
	rx, _ := ranks(x)
	ry, _ := ranks(y)
	return productMoment(rx, ry)
}

func checkPaired(x, y []float64, check func(string, []float64) error) error {
	if err := checkLengths("x", len(x), "y", len(y)); err != nil {
		return err
	}
	if err := checkCount("x", len(x), 3); err != nil {
		return err
	}
	if err := check("x", x); err != nil {
		return err
	}
	if err := check("y", y); err != nil {
		return err
	}
	if constant(x) || constant(y) {
		return fmt.Errorf("stats: correlation of %d pairs of which one side is constant: %w", len(x), ErrDegenerate)
	}
	return nil
}

func productMoment(x, y []float64) (Correlation, error) {
	n := len(x)
	ux, uy := unit(x), unit(y)
	products := make([]float64, n)
	for i := range products {
		products[i] = ux[i] * uy[i]
	}
	r := max(-1, min(1, sum(products)))
	if err := checkResult("the correlation", r); err != nil {
		return Correlation{}, err
	}
	df := float64(n - 2)
	t := r * math.Sqrt(df/((1+r)*(1-r)))
	return Correlation{R: r, P: studentTwoSided(t, df), N: n}, nil
}

// unit centres x and scales it to norm 1, by the largest deviation first so that squares can neither overflow nor vanish.
func unit(x []float64) []float64 {
	m, largest := mean(x), 0.0
	u := make([]float64, len(x))
	for i, v := range x {
		u[i] = v - m
		largest = max(largest, math.Abs(u[i]))
	}
	squares := make([]float64, len(x))
	for i := range u {
		u[i] /= largest
		squares[i] = u[i] * u[i]
	}
	norm := math.Sqrt(sum(squares))
	for i := range u {
		u[i] /= norm
	}
	return u
}
