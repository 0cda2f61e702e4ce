package sae

// widen returns x in float64.
func widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// dot64 returns the dot product of x and y.
func dot64(x, y []float64) float64 {
	var sum float64
	for i, v := range x {
		sum += v * y[i]
	}
	return sum
}

// affine returns w x + b for w [len(b), len(x)].
func affine(w, b []float32, x []float64) []float64 {
	out := widen(b)
	for i := range out {
		for j, v := range x {
			out[i] += float64(w[i*len(x)+j]) * v
		}
	}
	return out
}

// addRows adds sum_i weight[i] rows[i] to out.
func addRows(out, weight []float64, rows [][]float64) {
	for i, w := range weight {
		if w == 0 {
			continue
		}
		for j, v := range rows[i] {
			out[j] += w * v
		}
	}
}
