package autoencoders

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"

	"loupe/internal/gemm"
)

// moments returns the sum, [d], and the sum of outer products, [d, d], of rows [n, d].
func moments(rows []float32, d int) (sum, cross []float64) {
	sum, cross = make([]float64, d), make([]float64, d*d)
	const block = 4096
	wide := make([]float64, min(block*d, len(rows)))
	for lo := 0; lo < len(rows); lo += block * d {
		part := wide[:min(block*d, len(rows)-lo)]
		for i := range part {
			part[i] = float64(rows[lo+i])
			sum[i%d] += part[i]
		}
		gemm.AddGram(blas64.Symmetric{N: d, Stride: d, Uplo: blas.Upper, Data: cross}, nil, blas64.General{Rows: len(part) / d, Cols: d, Stride: d, Data: part})
	}
	for i := range d {
		for j := range i {
			cross[i*d+j] = cross[j*d+i]
		}
	}
	return sum, cross
}
