package store

import (
	"fmt"

	"loupe/internal/gemm"
)

// Filter chooses rows by kind of token.
type Filter string

// The token filters of moments. For example sites the two are the same.
const (
	All        Filter = "all"
	NonSpecial Filter = "non-special"
)

// Moments are the first and second moments of a site over a set of rows, in float64.
type Moments struct {
	Site   string
	Filter Filter
	// Label and Class name the set of rows where it is a class; both are empty for all classes together.
	Label, Class string
	Count        int64
	// Mean is [d].
	Mean []float64
	// M2 is [d]: the sums of squared deviations from the mean.
	M2 []float64
	// Cross is [d, d]: the sums of products of deviations from the mean, or nil where the store does not keep it.
	Cross []float64
}

// Variance returns the population variance [d].
func (m *Moments) Variance() []float64 { return m.perRow(m.M2) }

// Covariance returns the population covariance [d, d], or an error where the store has no cross moments.
func (m *Moments) Covariance() ([]float64, error) {
	if m.Cross == nil {
		return nil, m.noCross()
	}
	return m.perRow(m.Cross), nil
}

// SecondMoment returns E[x x'] [d, d], not centred, or an error where the store has no cross moments.
func (m *Moments) SecondMoment() ([]float64, error) {
	if m.Cross == nil {
		return nil, m.noCross()
	}
	out, d := m.perRow(m.Cross), len(m.Mean)
	for i, a := range m.Mean {
		for j, b := range m.Mean {
			out[i*d+j] += a * b
		}
	}
	return out, nil
}

func (m *Moments) noCross() error {
	return fmt.Errorf("store: site %s has no cross moments for %q %q; capture it again with a greater moments.max_cross or with moments.class_cross",
		m.Site, m.Filter, m.Class)
}

func (m *Moments) perRow(v []float64) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = v[i] / float64(m.Count)
	}
	return out
}

// merge adds the rows of other (Chan, Golub and LeVeque 1983, eq. 2.1):
// S = Sa + Sb + dd' na nb / n with d = mean_b - mean_a.
func (m *Moments) merge(other *Moments) {
	if other.Count == 0 {
		return
	}
	if m.Count == 0 {
		m.Count = other.Count
		m.Mean, m.M2 = append([]float64{}, other.Mean...), append([]float64{}, other.M2...)
		if other.Cross != nil {
			m.Cross = append([]float64{}, other.Cross...)
		}
		return
	}
	na, nb := float64(m.Count), float64(other.Count)
	n, d := na+nb, len(m.Mean)
	delta := make([]float64, d)
	for i := range delta {
		delta[i] = other.Mean[i] - m.Mean[i]
		m.Mean[i] += delta[i] * (nb / n)
		m.M2[i] += other.M2[i] + delta[i]*delta[i]*(na*nb/n)
	}
	if m.Cross != nil {
		for i, a := range delta {
			row, add := m.Cross[i*d:(i+1)*d], other.Cross[i*d:(i+1)*d]
			for j, b := range delta {
				row[j] += add[j] + a*b*(na*nb/n)
			}
		}
	}
	m.Count += other.Count
}

// accumulator sums a site's rows of one shard, shifted by the mean of the first rows that it sees, so that a large
// common mean does not cancel digits.
type accumulator struct {
	d     int
	n     int64
	shift []float64
	sum   []float64 // of shifted values
	sq    []float64 // of their squares; unused with cross
	cross []float64 // of their products: upper blocks of [D, D], D a multiple of the block; nil if not kept
}

func newAccumulator(d int, cross bool) *accumulator {
	a := &accumulator{d: d, sum: make([]float64, d)}
	if cross {
		w := gemm.Blocks(d) * gemm.BlockCols
		a.cross = make([]float64, w*w)
	} else {
		a.sq = make([]float64, d)
	}
	return a
}

// add takes rows of x [*, d].
func (a *accumulator) add(s *gemm.Gram, x []float32, rows []int32) {
	if len(rows) == 0 {
		return
	}
	if a.shift == nil {
		a.shift = make([]float64, a.d)
		for _, r := range rows {
			for i, v := range x[int(r)*a.d : (int(r)+1)*a.d] {
				a.shift[i] += float64(v)
			}
		}
		for i := range a.shift {
			a.shift[i] /= float64(len(rows))
		}
	}
	a.n += int64(len(rows))
	if a.cross == nil {
		for _, r := range rows {
			for i, v := range x[int(r)*a.d : (int(r)+1)*a.d] {
				y := float64(v) - a.shift[i]
				a.sum[i] += y
				a.sq[i] += y * y
			}
		}
		return
	}
	pack := s.Panel(a.d)
	clear(pack[(gemm.Blocks(a.d)-1)*gemm.PanelRows*gemm.BlockCols:]) // columns past d of the last block
	for len(rows) > 0 {
		n := min(gemm.PanelRows, len(rows))
		for k, r := range rows[:n] {
			row := x[int(r)*a.d : (int(r)+1)*a.d]
			for b := 0; b < a.d; b += gemm.BlockCols {
				e := min(b+gemm.BlockCols, a.d)
				out := pack[(b/gemm.BlockCols*gemm.PanelRows+k)*gemm.BlockCols:]
				shift, sum := a.shift[b:e], a.sum[b:e]
				for i, v := range row[b:e] {
					y := float64(v) - shift[i]
					out[i] = y
					sum[i] += y
				}
			}
		}
		s.Add(a.cross, pack, a.d, n)
		rows = rows[n:]
	}
}

// moments returns what was summed: M2 = sum y^2 - (sum y)^2 / n for shifted values y.
func (a *accumulator) moments() *Moments {
	m := &Moments{Count: a.n, Mean: make([]float64, a.d), M2: make([]float64, a.d)}
	if a.n == 0 {
		return m
	}
	n, w := float64(a.n), gemm.Blocks(a.d)*gemm.BlockCols
	if a.cross != nil {
		m.Cross = make([]float64, a.d*a.d)
	}
	for i := range a.d {
		m.Mean[i] = a.shift[i] + a.sum[i]/n
		if a.cross == nil {
			m.M2[i] = max(0, a.sq[i]-a.sum[i]*a.sum[i]/n)
			continue
		}
		for j := i; j < a.d; j++ {
			v := a.cross[i*w+j] - a.sum[i]*a.sum[j]/n
			m.Cross[i*a.d+j], m.Cross[j*a.d+i] = v, v
		}
		m.Cross[i*a.d+i] = max(0, m.Cross[i*a.d+i])
		m.M2[i] = m.Cross[i*a.d+i]
	}
	return m
}
