package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/store"
)

// chunk is how many rows are centred at a time; it bounds the memory of an update.
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
	for lo := 0; lo < n; lo += chunk {
		part := x.Slice(lo, min(lo+chunk, n), 0, d).(*mat.Dense)
		mean := columnMeans(part)
		s.merge(part.RawMatrix().Rows, mean, centred(part, mean))
	}
	return nil
}

// merge adds n rows of the given mean; c [n, d] are the rows less that mean.
func (s *Scatter) merge(n int, mean []float64, c *mat.Dense) {
	addGram(s.Sum, c)
	addShift(s.Sum, s.Count, n, s.Mean, mean)
	s.Count = moveMean(s.Mean, s.Count, mean, n)
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
	blas64.Syrk(blas.Trans, 1, c.RawMatrix(), 1, sum.RawSymmetric())
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
