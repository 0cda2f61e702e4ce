package sae

import "loupe/internal/matmul"

// The vector kernels of the host half of a training step. Each has a plain form here and, on amd64 with
// GOEXPERIMENT=simd, a vector form in kernels_simd.go. Both round after every product and every sum and add in the
// same order, so that they give the same bytes.

// dotLanes is the number of partial sums of a dot product.
const dotLanes = 32

// axpyPlain adds a*x to y.
func axpyPlain(a float32, x, y []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += float32(a * x[i])
	}
}

// dotPlain returns the dot product of x and y.
func dotPlain(x, y []float32) float32 {
	var lane [dotLanes]float32
	y = y[:len(x)]
	n := len(x) / dotLanes * dotLanes
	for i := 0; i < n; i += dotLanes {
		for j := range lane {
			lane[j] += float32(x[i+j] * y[i+j])
		}
	}
	return foldLanes(&lane) + tailDot(x[n:], y[n:])
}

// foldLanes adds the partial sums pairwise down to eight and then in order.
func foldLanes(lane *[dotLanes]float32) float32 {
	var sum float32
	for j := range 8 {
		sum += (lane[j] + lane[j+8]) + (lane[j+16] + lane[j+24])
	}
	return sum
}

func tailDot(x, y []float32) float32 {
	var sum float32
	for i, v := range x {
		sum += float32(v * y[i])
	}
	return sum
}

// finishTilePlain turns the products of a tile into scores, (product + bias) scale, and marks those above both their row's
// limit and their column's floor, or those whose magnitude is. It tells whether there are any; scores of rows without any
// are left unfinished.
func finishTilePlain(t *tile, c tileColumns, limits []float32, magnitude bool) bool {
	bias := c.bias[:matmul.TileCols]
	some := false
	for r, limit := range limits[:matmul.TileRows] {
		row := t.scores[r*matmul.TileCols : (r+1)*matmul.TileCols]
		var hits uint32
		for j := range row {
			v := row[j] + bias[j]
			if c.scale != nil {
				v *= c.scale[j]
			}
			row[j] = v
			if magnitude && v < 0 {
				v = -v
			}
			if v > limit && (c.floor == nil || v > c.floor[j]) {
				hits |= 1 << j
			}
		}
		t.hits[r] = hits
		some = some || hits != 0
	}
	return some
}
