package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/store"
)

// Moments are the joint first and second moments of activations x and concept columns z, in one pass without keeping rows:
// what LEACE, OracleLEACE and SAL are fitted from.
type Moments struct {
	X, Z  *Scatter
	Cross *mat.Dense // [d, k]: sum over rows of (x-mean)(z-mean)'
}

// NewMoments returns moments of no rows for activations of width d and k concept columns.
func NewMoments(d, k int) (*Moments, error) {
	x, err := NewScatter(d)
	if err != nil {
		return nil, err
	}
	z, err := NewScatter(k)
	if err != nil {
		return nil, fmt.Errorf("concept columns: %w", err)
	}
	return &Moments{X: x, Z: z, Cross: mat.NewDense(d, k, nil)}, nil
}

// Update adds rows x [n, d] with concept columns z [n, k].
func (m *Moments) Update(x, z *mat.Dense) error {
	n, d, err := checkRows("x", x)
	if err != nil {
		return err
	}
	nz, k, err := checkRows("z", z)
	if err != nil {
		return err
	}
	if nz != n || d != len(m.X.Mean) || k != len(m.Z.Mean) {
		return fmt.Errorf("vectors: x [%d, %d] and z [%d, %d] for moments of widths %d and %d: %w", n, d, nz, k, len(m.X.Mean), len(m.Z.Mean), ErrShape)
	}
	mean, sum := deviations(x, z)
	meanX, meanZ := mean[:d], mean[d:]
	for i := range d {
		row := m.Cross.RawRowView(i)
		for j := range k {
			row[j] += sum.At(i, d+j)
		}
	}
	m.shift(n, meanX, meanZ)
	m.X.merge(n, meanX, sum.SliceSym(0, d))
	m.Z.merge(n, meanZ, sum.SliceSym(d, d+k))
	return nil
}

// shift adds to Cross what the means of n new rows differ by from those so far.
func (m *Moments) shift(n int, meanX, meanZ []float64) {
	if m.X.Count == 0 {
		return
	}
	dx, dz := make([]float64, len(meanX)), make([]float64, len(meanZ))
	floats.SubTo(dx, meanX, m.X.Mean)
	floats.SubTo(dz, meanZ, m.Z.Mean)
	weight := float64(m.X.Count) * float64(n) / float64(m.X.Count+n)
	m.Cross.RankOne(m.Cross, weight, mat.NewVecDense(len(dx), dx), mat.NewVecDense(len(dz), dz))
}

// CrossCovariance is Cross over Count-1 [d, k].
func (m *Moments) CrossCovariance() (*mat.Dense, error) {
	if m.X.Count < 2 {
		return nil, fmt.Errorf("vectors: cross-covariance of %d rows: %w; it needs two", m.X.Count, ErrArgument)
	}
	var out mat.Dense
	out.Scale(1/float64(m.X.Count-1), m.Cross)
	return &out, nil
}

// OneHot returns the k concept columns [n, k] of class labels; k = 0 stands for the largest label plus one.
func OneHot(y []int, k int) (*mat.Dense, error) {
	counts, err := checkLabels(len(y), y, k, 0)
	if err != nil {
		return nil, err
	}
	z := mat.NewDense(len(y), len(counts), nil)
	for i, c := range y {
		z.Set(i, c, 1)
	}
	return z, nil
}

// MomentsFromStore takes the joint moments of a site and a label from a store, without reading its rows: classes as
// Store.ClassMoments gives them, and all as Store.Moments does. z is one-hot over the classes in their order. Every row of
// all must have a class, because rows without one have no z; all may be nil where the classes keep cross moments.
func MomentsFromStore(all *store.Moments, classes []*store.Moments) (*Moments, error) {
	if len(classes) < 2 {
		return nil, fmt.Errorf("vectors: moments of %d classes: %w; it needs two", len(classes), ErrClasses)
	}
	d := len(classes[0].Mean)
	m, err := NewMoments(d, len(classes))
	if err != nil {
		return nil, err
	}
	for c, class := range classes {
		if class.Count < 1 || len(class.Mean) != d {
			return nil, fmt.Errorf("vectors: class %q has %d rows of width %d, others width %d: %w", class.Class, class.Count, len(class.Mean), d, ErrClasses)
		}
		z := make([]float64, len(classes))
		z[c] = 1
		m.shift(int(class.Count), class.Mean, z)
		addShift(m.Z.Sum, m.Z.Count, int(class.Count), m.Z.Mean, z)
		m.Z.Count = moveMean(m.Z.Mean, m.Z.Count, z, int(class.Count))
		addShift(m.X.Sum, m.X.Count, int(class.Count), m.X.Mean, class.Mean)
		m.X.Count = moveMean(m.X.Mean, m.X.Count, class.Mean, int(class.Count))
	}
	if all != nil && int(all.Count) == m.X.Count {
		m.X, err = ScatterFromStore(all)
		return m, err
	}
	for _, class := range classes {
		within, err := ScatterFromStore(class)
		if err != nil {
			return nil, fmt.Errorf("class %q, needed because the classes do not cover every row: %w", class.Class, err)
		}
		m.X.Sum.AddSym(m.X.Sum, within.Sum)
	}
	return m, nil
}
