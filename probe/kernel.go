package probe

// The two products of linear scores over a block of rows, in float32 without fused multiply-adds, so that the vector
// kernels and these loops agree bit for bit. A value never depends on how many columns or blocks are computed beside it.
const (
	blockRows = 32 // rows that are read once for the scores and, from the cache, once for the gradient
	lanes     = 16 // partial sums of a dot product
)

// scoresPlain sets z[c*blockRows+r] = x_r . w_c for the rows x [rows, d] and the columns w [cols, d].
func scoresPlain(z, x, w []float32, rows, cols, d int) {
	for c := range cols {
		wc := w[c*d : (c+1)*d]
		for r := range rows {
			z[c*blockRows+r] = dotPlain(x[r*d:(r+1)*d], wc)
		}
	}
}

func dotPlain(x, y []float32) float32 {
	var lane [lanes]float32
	n := len(x) / lanes * lanes
	for i := 0; i < n; i += lanes {
		a, b := (*[lanes]float32)(x[i:]), (*[lanes]float32)(y[i:])
		for j := range lane {
			lane[j] += a[j] * b[j]
		}
	}
	return foldLanes(&lane) + tailDot(x[n:], y[n:])
}

// foldLanes adds the halves of the partial sums together until one is left.
func foldLanes(lane *[lanes]float32) float32 {
	for half := lanes / 2; half > 0; half /= 2 {
		for j := range half {
			lane[j] += lane[j+half]
		}
	}
	return lane[0]
}

func tailDot(x, y []float32) float32 {
	var s float32
	for i, v := range x {
		s += v * y[i]
	}
	return s
}

// gatherPlain adds sum_r z[c*blockRows+r] x_r to g_c for the columns g [cols, d]: row after row.
func gatherPlain(g, z, x []float32, rows, cols, d int) { gatherFrom(g, z, x, rows, cols, d, 0) }

// gatherFrom is gatherPlain from the given coordinate on.
func gatherFrom(g, z, x []float32, rows, cols, d, first int) {
	for c := range cols {
		gc := g[c*d+first : (c+1)*d]
		for r := range rows {
			a, xr := z[c*blockRows+r], x[r*d+first:(r+1)*d]
			for j := range gc {
				gc[j] += a * xr[j]
			}
		}
	}
}
