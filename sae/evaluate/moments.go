package evaluate

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// add takes in n rows of a site and, where joined, of its target.
func (m *siteMoments) add(x, target []float32, n int, joined bool) {
	d, in := len(m.sum), len(x)/n
	rows := make([]float64, 0, n*d)
	for r := range n {
		for _, v := range x[r*in : (r+1)*in] {
			rows = append(rows, float64(v))
		}
		if joined {
			for _, v := range target[r*(d-in) : (r+1)*(d-in)] {
				rows = append(rows, float64(v))
			}
		}
	}
	for i, v := range rows {
		m.sum[i%d] += v
	}
	m.n += float64(n)
	a := blas64.General{Rows: n, Cols: d, Stride: d, Data: rows}
	blas64.Gemm(blas.Trans, blas.NoTrans, 1, a, a, 1, blas64.General{Rows: d, Cols: d, Stride: d, Data: m.cross})
}
