package sae

// squaredNorm returns |x|^2.
func squaredNorm(x []float32) float64 { return float64(dot(x, x)) }

// norm2 returns |x|.
func norm2(x []float32) float32 { return sqrt32(dot(x, x)) }

// scaleBy multiplies x by a.
func scaleBy(x []float32, a float32) {
	for i := range x {
		x[i] *= a
	}
}

// unit scales x to norm 1; a vector of norm 0 stays.
func unit(x []float32) {
	if n := norm2(x); n > 0 {
		scaleBy(x, 1/n)
	}
}

// bound brings a decoder row back into the set that a policy allows.
func bound(policy string, row []float32) {
	switch policy {
	case DecoderUnit:
		unit(row)
	case DecoderBounded:
		if n := norm2(row); n > 1 {
			scaleBy(row, 1/n)
		}
	}
}

// rowNorms writes the norm of each row of w, [len(dst), d], into dst.
func rowNorms(dst, w []float32, d int) {
	for i := range dst {
		dst[i] = norm2(w[i*d : (i+1)*d])
	}
}

// transpose writes src, [rows, cols], into dst as [cols, rows].
func transpose(dst, src []float32, rows, cols int) {
	const tile = 32
	parallel(rows, func(_, _, lo, hi int) {
		for c0 := 0; c0 < cols; c0 += tile {
			for c := c0; c < min(c0+tile, cols); c++ {
				out := dst[c*rows+lo : c*rows+hi]
				for r := range out {
					out[r] = src[(lo+r)*cols+c]
				}
			}
		}
	})
}

// sum32 returns the sum of x in order.
func sum32(x []float32) float32 {
	var sum float32
	for _, v := range x {
		sum += v
	}
	return sum
}
