package gemm

import "math"

// kernelGeneric adds sum_k a_k b_k' to the tile [4, 16] of c with the given row stride. Term k of tile row r is a[r*row+k*step],
// term k of b are 16 values from k*next on. Fused multiply-adds make it equal to the vector kernels bit for bit.
func kernelGeneric(c []float64, stride int, a []float64, row, step int, b []float64, next, terms int) {
	var acc [tileRows][BlockCols]float64
	for k := range terms {
		bk := b[k*next:][:BlockCols]
		for r := range tileRows {
			x := a[r*row+k*step]
			for j, y := range bk {
				acc[r][j] = math.FMA(x, y, acc[r][j])
			}
		}
	}
	for r := range tileRows {
		out := c[r*stride : r*stride+BlockCols]
		for j := range out {
			out[j] += acc[r][j]
		}
	}
}
