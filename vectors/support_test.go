package vectors

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// normalRows draws [n, d] from a standard normal distribution.
func normalRows(seed uint64, n, d int) *mat.Dense {
	r := rand.New(rand.NewPCG(seed, 7))
	m := mat.NewDense(n, d, nil)
	for i := range m.RawMatrix().Data {
		m.RawMatrix().Data[i] = r.NormFloat64()
	}
	return m
}

// planted draws rows with correlated noise, balanced labels 0..k-1, and class means of the given gap apart; for two
// classes direction is the unit vector between them.
func planted(seed uint64, n, d, k int, gap float64) (x *mat.Dense, y []int, direction []float64) {
	mix := normalRows(seed, d, d)
	mix.Scale(1/math.Sqrt(float64(d)), mix)
	x = mat.NewDense(n, d, nil)
	x.Mul(normalRows(seed+1, n, d), mix)
	centres := normalRows(seed+2, k, d)
	for c := range k {
		row := centres.RawRowView(c)
		floats.Scale(gap/floats.Norm(row, 2), row)
	}
	if k == 2 {
		floats.ScaleTo(centres.RawRowView(0), -1, centres.RawRowView(1))
		centres.Scale(0.5, centres)
		direction = mat.Row(nil, 1, centres)
		floats.Scale(1/floats.Norm(direction, 2), direction)
	}
	y = make([]int, n)
	for i := range y {
		y[i] = i % k
		floats.Add(x.RawRowView(i), centres.RawRowView(y[i]))
		floats.AddConst(0.3, x.RawRowView(i))
	}
	return x, y, direction
}

func rows(v ...[]float64) *mat.Dense {
	m := mat.NewDense(len(v), len(v[0]), nil)
	for i, r := range v {
		m.SetRow(i, r)
	}
	return m
}

// closeTo fails unless got and want agree entry by entry to tol (1 + |want|).
func closeTo(t testing.TB, what string, got, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tol*(1+math.Abs(want[i]))) {
			t.Fatalf("%s: value %d is %v, want %v (tolerance %g)", what, i, got[i], want[i], tol)
		}
	}
}

func flat(m mat.Matrix) []float64 { return mat.DenseCopyOf(m).RawMatrix().Data }

// ok returns v, or ends the test on err.
func ok[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
