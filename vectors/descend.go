package vectors

import (
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// lanes rows descend at the same time, one in each lane.
const lanes = 8

// descend minimises |b - x w|² over one column of x [n, r] >= 0 at a time, given with = b w' [n, r] and gram = w w' [r, r].
// Rows do not depend on each other. A concept without any weight (gram 0 on its diagonal) stays as it is.
func descend(x, with blas64.General, gram *mat.Dense, sweeps int) {
	parallelRows((x.Rows+lanes-1)/lanes, func(lo, hi int) { descendRows(x, with, gram, sweeps, lo*lanes, min(hi*lanes, x.Rows)) })
}

// descendRows is descend of the rows from..to.
func descendRows(x, with blas64.General, gram *mat.Dense, sweeps, from, to int) {
	r := x.Cols
	rows, slope := make([][lanes]float64, r), make([][lanes]float64, r)
	for i := from; i < to; i += lanes {
		count := min(lanes, to-i)
		transposeIn(rows, x, i, count)
		transposeIn(slope, with, i, count)
		descendLanes(rows, slope, gram.RawMatrix().Data, sweeps)
		for l := range count {
			out := x.Data[(i+l)*x.Stride:][:r]
			for k := range out {
				out[k] = rows[k][l]
			}
		}
	}
}

// transposeIn puts count rows of x, from row i on, into the lanes.
func transposeIn(to [][lanes]float64, x blas64.General, i, count int) {
	clear(to)
	for l := range count {
		for k, v := range x.Data[(i+l)*x.Stride:][:x.Cols] {
			to[k][l] = v
		}
	}
}

// descendPlain is descendLanes without vector instructions.
func descendPlain(x, slope [][lanes]float64, gram []float64, sweeps int) {
	r := len(x)
	for k := range x {
		for j, v := range gram[k*r : (k+1)*r] {
			for l := range lanes {
				slope[j][l] -= float64(x[k][l] * v) // the conversion keeps the compiler from fusing, so that all machines agree
			}
		}
	}
	for range sweeps {
		for k := range x {
			g := gram[k*r : (k+1)*r]
			if g[k] == 0 {
				continue
			}
			var step [lanes]float64
			for l := range step {
				step[l] = max(-x[k][l], slope[k][l]/g[k])
				x[k][l] += step[l]
			}
			for j, v := range g {
				for l := range step {
					slope[j][l] -= float64(step[l] * v)
				}
			}
		}
	}
}
