package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/gemm"
	"loupe/probe/store"
)

// chunk is how many rows are copied at a time where a method changes them; it bounds its memory.
const chunk = 1024

// Scatter holds the count, mean and sum of outer products of deviations of rows of width d, in one pass and without
// keeping the rows (Chan, Golub and LeVeque, The American Statistician 37, 1983).
type Scatter struct {
	Count int
	Mean  []float64     // [d]
	Sum   *mat.SymDense // [d, d]: sum over rows of (x-mean)(x-mean)'
}

// NewScatter returns a Scatter of no rows of width d.
func NewScatter(d int) (*Scatter, error) {
	if d < 1 {
		return nil, fmt.Errorf("vectors: scatter of width %d: %w; give the activations' width", d, ErrArgument)
	}
	return &Scatter{Mean: make([]float64, d), Sum: mat.NewSymDense(d, nil)}, nil
}

// ScatterFromStore takes a store's moments, which must have kept cross moments.
func ScatterFromStore(m *store.Moments) (*Scatter, error) {
	d := len(m.Mean)
	s, err := NewScatter(d)
	if err != nil {
		return nil, err
	}
	if len(m.Cross) != d*d {
		return nil, fmt.Errorf("vectors: moments of %s have no cross moments: %w; keep them when the store is written (see docs/store.md)", m.Site, ErrArgument)
	}
	s.Count = int(m.Count)
	copy(s.Mean, m.Mean)
	s.Sum = symmetrised(mat.NewDense(d, d, append([]float64(nil), m.Cross...)))
	return s, nil
}

// Update adds the rows of x [n, d].
func (s *Scatter) Update(x *mat.Dense) error {
	n, d, err := checkRows("x", x)
	if err != nil {
		return err
	}
	if d != len(s.Mean) {
		return fmt.Errorf("vectors: rows of width %d for moments of width %d: %w", d, len(s.Mean), ErrShape)
	}
	mean, sum := deviations(x)
	s.merge(n, mean, sum)
	return nil
}

// merge adds n rows of the given mean and sum of outer products of deviations.
func (s *Scatter) merge(n int, mean []float64, sum mat.Symmetric) {
	s.Sum.AddSym(s.Sum, sum)
	addShift(s.Sum, s.Count, n, s.Mean, mean)
	s.Count = moveMean(s.Mean, s.Count, mean, n)
}

// deviations returns the mean and the sum of outer products of deviations of rows that lie side by side in the parts, in one
// pass: about the mean of some rows, spread over all, and then moved to that of all. A column of ones gives the mean.
func deviations(parts ...*mat.Dense) (mean []float64, sum *mat.SymDense) {
	n, _ := parts[0].Dims()
	raw := make([]blas64.General, 0, len(parts)+1)
	for _, p := range parts {
		mean = append(mean, spreadMean(p)...)
		raw = append(raw, p.RawMatrix())
	}
	d := len(mean)
	raw = append(raw, blas64.General{Rows: n, Cols: 1, Stride: 0, Data: []float64{1}})
	about := mat.NewSymDense(d+1, nil)
	gemm.AddGram(about.RawSymmetric(), append(mean[:d:d], 0), raw...)
	off := make([]float64, d) // of the first mean from the true one
	for i := range off {
		off[i] = about.At(i, d) / float64(n)
	}
	floats.Add(mean, off)
	sum = mat.NewSymDense(d, nil)
	for i := range d {
		to, from := sum.RawSymmetric().Data[i*d:(i+1)*d], about.RawSymmetric().Data[i*(d+1):]
		for j := i; j < d; j++ {
			to[j] = from[j] - float64(n)*off[i]*off[j]
		}
	}
	return mean, sum
}

// spreadMean is the mean of up to 128 rows of x, evenly spread.
func spreadMean(x *mat.Dense) []float64 {
	n, d := x.Dims()
	picked := mat.NewDense(min(n, 128), d, nil)
	for i := range min(n, 128) {
		picked.SetRow(i, x.RawRowView(i*n/min(n, 128)))
	}
	return columnMeans(picked)
}

// Covariance is Sum over Count-1.
func (s *Scatter) Covariance() (*mat.SymDense, error) { return s.per(s.Count - 1) }

func (s *Scatter) per(n int) (*mat.SymDense, error) {
	if n < 1 {
		return nil, fmt.Errorf("vectors: covariance of %d rows: %w; it needs two", s.Count, ErrArgument)
	}
	out := mat.NewSymDense(len(s.Mean), nil)
	out.ScaleSym(1/float64(n), s.Sum)
	return out, nil
}

// addGram adds c'c to the upper triangle of sum.
func addGram(sum *mat.SymDense, c *mat.Dense) {
	gemm.AddGram(sum.RawSymmetric(), nil, c.RawMatrix())
}

// addShift adds what two groups' means differ by: n0 n1/(n0+n1) (m1-m0)(m1-m0)'.
func addShift(sum *mat.SymDense, n0, n1 int, m0, m1 []float64) {
	if n0 == 0 || n1 == 0 {
		return
	}
	delta := make([]float64, len(m0))
	floats.SubTo(delta, m1, m0)
	sum.SymRankOne(sum, float64(n0)*float64(n1)/float64(n0+n1), mat.NewVecDense(len(delta), delta))
}

// moveMean updates a mean of n0 rows by n1 rows of mean m1 and returns n0+n1.
func moveMean(m0 []float64, n0 int, m1 []float64, n1 int) int {
	share := float64(n1) / float64(n0+n1)
	for i := range m0 {
		m0[i] += share * (m1[i] - m0[i])
	}
	return n0 + n1
}
