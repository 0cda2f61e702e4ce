package gemm

// tallRows is the height of the tile that fills the registers.
const tallRows = 2 * tileRows

// kernelTall is kernel for a tile [8, 16].
func kernelTall(c []float64, stride int, a []float64, row, step int, b []float64, next, terms int) {
	if !haveTall {
		kernel(c, stride, a, row, step, b, next, terms)
		kernel(c[tileRows*stride:], stride, a[tileRows*row:], row, step, b, next, terms)
		return
	}
	if terms == 0 {
		return
	}
	_, _, _ = a[(tallRows-1)*row+(terms-1)*step], b[(terms-1)*next+BlockCols-1], c[(tallRows-1)*stride+BlockCols-1]
	tall(&c[0], stride, &a[0], row, step, &b[0], next, terms)
}
