package sae

import "math"

// Archetypes make a dictionary whose atoms lie near the data (RA-SAE, arXiv:2502.12892): D = (W C + Lambda) exp(m), where
// the rows of W are convex weights of the fixed data points C, and the rows of Lambda are no longer than Delta.
type archetypes struct {
	points     int
	delta      float64
	weight     []float64 // W, [F, points]
	relax      []float64 // Lambda, [F, d]
	multiplier float64   // m
}

// project brings weights and relaxation back into their sets: W <- relu(W) / (sum + 1e-8), row by row, and
// Lambda <- Lambda * min(1, delta / |Lambda|).
func (a *archetypes) project(d int) {
	f := len(a.weight) / a.points
	for i := range f {
		row := a.weight[i*a.points : (i+1)*a.points]
		var sum float64
		for j, v := range row {
			row[j] = max(v, 0)
			sum += row[j]
		}
		for j := range row {
			row[j] /= sum + 1e-8
		}
		free := a.relax[i*d : (i+1)*d]
		if n := math.Sqrt(dot64(free, free)); n > a.delta {
			for j := range free {
				free[j] *= a.delta / n
			}
		}
	}
}

// dictionary returns D, [F, d], for data points [points, d].
func (a *archetypes) dictionary(points []float64, d int) []float64 {
	f := len(a.weight) / a.points
	out := make([]float64, f*d)
	scale := math.Exp(a.multiplier)
	for i := range f {
		row := out[i*d : (i+1)*d]
		copy(row, a.relax[i*d:(i+1)*d])
		for p, w := range a.weight[i*a.points : (i+1)*a.points] {
			for j, v := range points[p*d : (p+1)*d] {
				row[j] += w * v
			}
		}
		for j := range row {
			row[j] *= scale
		}
	}
	return out
}
