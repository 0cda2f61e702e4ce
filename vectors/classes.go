package vectors

import (
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// ClassMeans returns the mean row of each class [k, d] of x [n, d] and its number of rows [k]. Every label from 0 to the
// largest needs a row.
func ClassMeans(x *mat.Dense, y []int) (means *mat.Dense, counts []int, err error) {
	_, _, counts, err = checkClasses(x, y, 0, 1)
	if err != nil {
		return nil, nil, err
	}
	return classMeans(x, y, counts), counts, nil
}

func classMeans(x *mat.Dense, y, counts []int) *mat.Dense {
	_, d := x.Dims()
	means := mat.NewDense(len(counts), d, nil)
	for i, c := range y {
		floats.Add(means.RawRowView(c), x.RawRowView(i))
	}
	for c, m := range counts {
		floats.Scale(1/float64(m), means.RawRowView(c))
	}
	return means
}

// WithinCovariance is the covariance of the rows of x [n, d] about the means of their k classes, over n-k.
func WithinCovariance(x *mat.Dense, y []int) (*mat.SymDense, error) {
	within, _, counts, err := WithinScatter(x, y)
	if err != nil {
		return nil, err
	}
	return within.per(within.Count - len(counts))
}

// WithinScatter returns the scatter of the rows of x [n, d] about the means of their k classes, the means [k, d] and the
// numbers of rows [k].
func WithinScatter(x *mat.Dense, y []int) (within *Scatter, means *mat.Dense, counts []int, err error) {
	_, _, counts, err = checkClasses(x, y, 0, 1)
	if err != nil {
		return nil, nil, nil, err
	}
	means = classMeans(x, y, counts)
	return withinScatter(x, y, counts, means), means, counts, nil
}

// withinScatter is the scatter of x about the means of its classes; its Mean is 0.
func withinScatter(x *mat.Dense, y, counts []int, means *mat.Dense) *Scatter {
	n, d := x.Dims()
	s := &Scatter{Count: n, Mean: make([]float64, d), Sum: mat.NewSymDense(d, nil)}
	for lo := 0; lo < n; lo += chunk {
		part := mat.DenseCopyOf(x.Slice(lo, min(lo+chunk, n), 0, d))
		for i := range part.RawMatrix().Rows {
			floats.Sub(part.RawRowView(i), means.RawRowView(y[lo+i]))
		}
		addGram(s.Sum, part)
	}
	return s
}
