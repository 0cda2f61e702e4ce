package vectors

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Unit returns v over its Euclidean norm.
func Unit(v []float64) ([]float64, error) {
	if err := checkVector("vector", v, 0); err != nil {
		return nil, err
	}
	out := make([]float64, len(v))
	floats.ScaleTo(out, 1/floats.Norm(v, 2), v)
	return out, nil
}

// Cosine is the cosine of the angle between a and b.
func Cosine(a, b []float64) (float64, error) {
	if err := checkVector("a", a, 0); err != nil {
		return 0, err
	}
	if err := checkVector("b", b, len(a)); err != nil {
		return 0, err
	}
	return floats.Dot(a, b) / (floats.Norm(a, 2) * floats.Norm(b, 2)), nil
}

func checkWidth(what string, got, d int) error {
	if got != d {
		return fmt.Errorf("vectors: %s is of width %d and the activations of width %d: %w; is it of another model or layer?", what, got, d, ErrShape)
	}
	return nil
}

// orient flips v in place so that its entry of largest magnitude is positive: the sign where data give none.
func orient(v []float64) {
	at := 0
	for i := range v {
		if math.Abs(v[i]) > math.Abs(v[at]) {
			at = i
		}
	}
	if v[at] < 0 {
		floats.Scale(-1, v)
	}
}

// columnMeans is the mean row of x. Rows are summed less the first one, which keeps the digits of activations that are far
// from 0.
func columnMeans(x *mat.Dense) []float64 {
	n, d := x.Dims()
	origin, mean := x.RawRowView(0), make([]float64, d)
	for i := 1; i < n; i++ {
		for j, v := range x.RawRowView(i) {
			mean[j] += v - origin[j]
		}
	}
	floats.Scale(1/float64(n), mean)
	floats.Add(mean, origin)
	return mean
}

// centred returns x with centre taken from every row.
func centred(x *mat.Dense, centre []float64) *mat.Dense {
	out := mat.DenseCopyOf(x)
	n, _ := out.Dims()
	for i := range n {
		floats.Sub(out.RawRowView(i), centre)
	}
	return out
}
