package matmul

import "fmt"

// AddRows adds sum_j coef[j] x[rows[j]] to y, row after row: x is [n, len(y)].
func AddRows(y, x []float32, rows []int32, coef []float32) {
	d := len(y)
	if len(rows) != len(coef) || d == 0 || len(x)%d != 0 {
		panic(fmt.Sprintf("matmul: %d rows with %d factors of a matrix of %d values, %d in a row", len(rows), len(coef), len(x), d))
	}
	n := uint(len(x) / d)
	for _, r := range rows {
		if uint(r) >= n {
			panic(fmt.Sprintf("matmul: row %d of %d", r, n))
		}
	}
	if len(rows) == 0 {
		return
	}
	at := 0
	if haveVector {
		for ; at+384 <= d; at += 384 {
			addRows384(&y[at], &x[at], 4*d, &rows[0], &coef[0], len(rows))
		}
		for ; at+64 <= d; at += 64 {
			addRows64(&y[at], &x[at], 4*d, &rows[0], &coef[0], len(rows))
		}
	}
	if at == d {
		return
	}
	addRowsPlain(y, x, rows, coef, at)
}

// addRowsPlain is AddRows from column at on.
func addRowsPlain(y, x []float32, rows []int32, coef []float32, at int) {
	d := len(y)
	y = y[at:]
	for j, r := range rows {
		a, row := coef[j], x[int(r)*d+at:(int(r)+1)*d]
		for i := range y {
			y[i] += float32(a * row[i])
		}
	}
}
