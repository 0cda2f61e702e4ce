package probe

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// Rows are activations [N, D] in float32, row by row, as a store gives them. A function of this package never changes
// or keeps them.
type Rows struct {
	N, D   int
	Values []float32
}

// NewRows returns rows of width d, which must all be finite.
func NewRows(values []float32, d int) (Rows, error) {
	if d < 1 || len(values) == 0 || len(values)%d != 0 {
		return Rows{}, fmt.Errorf("probe: %d values are not rows of width %d: %w", len(values), d, vectors.ErrShape)
	}
	x := Rows{N: len(values) / d, D: d, Values: values}
	return x, x.check("x")
}

// RowsOf copies a matrix, rounded to float32.
func RowsOf(m *mat.Dense) (Rows, error) {
	if m == nil || m.IsEmpty() {
		return Rows{}, fmt.Errorf("probe: no activations: %w", vectors.ErrShape)
	}
	n, d := m.Dims()
	values := make([]float32, 0, n*d)
	for i := range n {
		for _, v := range m.RawRowView(i) {
			values = append(values, float32(v))
		}
	}
	return NewRows(values, d)
}

// check fails on rows that are empty, misshapen or not finite.
func (x Rows) check(what string) error {
	if x.N < 1 || x.D < 1 || len(x.Values) != x.N*x.D {
		return fmt.Errorf("probe: %s has %d values for %d rows of width %d: %w", what, len(x.Values), x.N, x.D, vectors.ErrShape)
	}
	for i, v := range x.Values {
		// the exponent's bits are all set in NaN and the infinities
		if math.Float32bits(v)&0x7f800000 == 0x7f800000 {
			return fmt.Errorf("probe: %s[%d, %d] is %v: %w; drop the row or find what made it", what, i/x.D, i%x.D, v, vectors.ErrNotFinite)
		}
	}
	return nil
}

// Row returns row i, which must not be changed.
func (x Rows) Row(i int) []float32 { return x.Values[i*x.D : (i+1)*x.D] }

// Take returns the rows that index names, in its order.
func (x Rows) Take(index []int) Rows {
	out := Rows{N: len(index), D: x.D, Values: make([]float32, 0, len(index)*x.D)}
	for _, i := range index {
		out.Values = append(out.Values, x.Row(i)...)
	}
	return out
}

// Columns returns the given columns, in their order.
func (x Rows) Columns(columns []int) Rows {
	out := Rows{N: x.N, D: len(columns), Values: make([]float32, 0, x.N*len(columns))}
	for i := range x.N {
		row := x.Row(i)
		for _, c := range columns {
			out.Values = append(out.Values, row[c])
		}
	}
	return out
}

// Dense returns the rows in float64.
func (x Rows) Dense() *mat.Dense {
	out := mat.NewDense(x.N, x.D, nil)
	for i, v := range x.Values {
		out.RawMatrix().Data[i] = float64(v)
	}
	return out
}

// spread returns the mean and the standard deviation of each column over the rows of index (nil: all), in float64,
// about the first of them, which keeps the digits of activations that are far from 0.
func (x Rows) spread(index []int) (mean, deviation []float64) {
	if index == nil {
		index = upTo(x.N)
	}
	mean, deviation = make([]float64, x.D), make([]float64, x.D)
	origin := x.Row(index[0])
	for _, i := range index {
		for j, v := range x.Row(i) {
			e := float64(v) - float64(origin[j])
			mean[j] += e
			deviation[j] += e * e
		}
	}
	n := float64(len(index))
	for j := range mean {
		mean[j] /= n
		deviation[j] = math.Sqrt(max(deviation[j]/n-mean[j]*mean[j], 0))
		if deviation[j] < 1e-7*math.Abs(mean[j]) { // rounding of a constant column
			deviation[j] = 0
		}
		mean[j] += float64(origin[j])
	}
	return mean, deviation
}

// upTo returns 0 to n-1.
func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// constant tells whether no column varies.
func constant(deviation []float64) bool {
	return !slices.ContainsFunc(deviation, func(s float64) bool { return s > 0 })
}
